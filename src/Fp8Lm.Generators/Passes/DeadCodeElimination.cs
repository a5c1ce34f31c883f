using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Generators.Ir;

namespace Fp8Lm.Generators.Passes;

/// <summary>Drops nodes that reach no sink, and carried values that nobody reads.</summary>
internal static class DeadCodeElimination
{
    public static void Run(Graph graph)
    {
        HashSet<Node> live = [];
        Stack<Node> work = new(graph.Nodes.Where(n => n.Class == OpClass.Sink || n.Op == OpCode.Amax));
        if (graph.Logits.Node is not null)
        {
            work.Push(graph.Logits.Node);
        }

        Dictionary<Node, (Block Block, Carry Carry)> carries = [];
        foreach (Block block in graph.Blocks)
        {
            foreach (Carry carry in block.Carries)
            {
                carries[carry.Parameter] = (block, carry);
                if (carry.Out is not null)
                {
                    carries[carry.Out] = (block, carry);
                }
            }
        }

        while (work.Count > 0)
        {
            Node node = work.Pop();
            if (!live.Add(node))
            {
                continue;
            }

            foreach (Value input in node.Inputs)
            {
                work.Push(input.Node);
            }

            if (carries.TryGetValue(node, out (Block Block, Carry Carry) entry))
            {
                work.Push(entry.Carry.Initial.Node);
                work.Push(entry.Carry.Result.Node);
                work.Push(entry.Carry.Parameter);
            }
        }

        foreach (Block block in graph.Blocks)
        {
            block.Carries.RemoveAll(c => !live.Contains(c.Parameter));
            foreach (Carry carry in block.Carries.Where(c => c.Out is not null && !live.Contains(c.Out)))
            {
                carry.Out = null;
            }

            block.Nodes.RemoveAll(n => !live.Contains(n));
        }

        graph.Blocks.RemoveAll(b => b.Nodes.Count == 0 && b.Carries.Count == 0);
    }
}
