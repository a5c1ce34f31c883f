using System;
using System.Collections.Generic;
using System.Linq;

namespace Fp8Lm.Generators.Ir;

/// <summary>What must hold between passes: operands are defined before use, arities fit, types broadcast, carried values keep their type.</summary>
internal static class GraphVerifier
{
    public static void Verify(Graph graph, string pass)
    {
        HashSet<Node> defined = [];
        foreach (Block block in graph.Blocks)
        {
            foreach (Node node in block.Nodes)
            {
                if (node.Block != block)
                {
                    throw Error(graph, pass, $"{node} stands in {block.Name} but belongs to {node.Block.Name}");
                }

                foreach (Value input in node.Inputs)
                {
                    if (!defined.Contains(input.Node))
                    {
                        throw Error(graph, pass, $"{node} uses {input} before it is defined");
                    }

                    if (input.Index >= input.Node.Types.Count)
                    {
                        throw Error(graph, pass, $"{node} uses output {input.Index} of {input.Node}");
                    }
                }

                int arity = OpTable.Of(node.Op).Arity;
                if (arity >= 0 && arity != node.Inputs.Length)
                {
                    throw Error(graph, pass, $"{node} has {node.Inputs.Length} operands instead of {arity}");
                }

                if (!defined.Add(node))
                {
                    throw Error(graph, pass, $"{node} stands twice");
                }
            }
        }

        foreach (Block block in graph.Blocks)
        {
            foreach (Carry carry in block.Carries)
            {
                if (!defined.Contains(carry.Initial.Node) || !defined.Contains(carry.Result.Node) || !carry.Initial.Type.Equals(carry.Result.Type))
                {
                    throw Error(graph, pass, $"{block.Name} carries {carry.Initial} ({carry.Initial.Type}) as {carry.Result} ({carry.Result.Type})");
                }
            }
        }
    }

    private static InvalidOperationException Error(Graph graph, string pass, string message) =>
        new($"after {pass}: {message}\n{GraphPrinter.Print(graph)}");
}
