using System;
using System.Collections.Generic;
using System.Linq;

namespace Fp8Lm.Generators.Ir;

/// <summary>
/// Rebuilds every block in order: each node is kept or replaced by new ones, and all later uses (carried values and logits too) follow.
/// The frame of every rewriting pass.
/// </summary>
internal sealed class Rewriter(Graph graph)
{
    private readonly Dictionary<Value, Value> replaced = [];

    /// <summary>Runs over all blocks. The callback gets a builder that appends in place, and returns replacements for the node's outputs, or null to keep it.</summary>
    public void Run(Func<GraphBuilder, Node, Value[]?> rewrite)
    {
        graph.ForgetShared();
        foreach (Block block in graph.Blocks.ToList())
        {
            List<Node> nodes = [.. block.Nodes];
            block.Nodes.Clear();
            GraphBuilder builder = new(graph, block);
            foreach (Node node in nodes)
            {
                node.Inputs = [.. node.Inputs.Select(Map)];
                builder.Site = node.Site;
                builder.Label = node.Label;
                Value[]? outputs = rewrite(builder, node);
                if (outputs is null)
                {
                    block.Nodes.Add(node);
                    continue;
                }

                for (int i = 0; i < outputs.Length; i++)
                {
                    if (outputs[i].Node is not null && outputs[i] != node.Out(i))
                    {
                        replaced[node.Out(i)] = outputs[i];
                    }
                }
            }
        }

        foreach (Block block in graph.Blocks)
        {
            foreach (Carry carry in block.Carries)
            {
                carry.Initial = Map(carry.Initial);
                carry.Result = Map(carry.Result);
            }
        }

        graph.Logits = Map(graph.Logits);
    }

    private Value Map(Value value)
    {
        while (replaced.TryGetValue(value, out Value next))
        {
            value = next;
        }

        return value;
    }
}
