using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Generators.Ir;

namespace Fp8Lm.Generators.Passes.Precision;

/// <summary>
/// A carried value is written straight into its slot by the kernel that computes it. Where no kernel does (the value is another
/// carried value, a slice, or fills two slots) a copy is made explicit; so is one of what a backward loop starts from when something
/// reads that value again once the loop runs, because gradients take turns in two slots.
/// </summary>
internal static class CarryCopies
{
    public static void Run(Graph graph)
    {
        HashSet<Value> taken = [];
        Dictionary<Node, List<Node>> users = graph.Users();
        Dictionary<Block, int> order = graph.Blocks.Select((b, i) => (b, i)).ToDictionary(p => p.b, p => p.i);
        foreach (Block block in graph.Blocks.ToList())
        {
            foreach (Carry carry in block.Carries)
            {
                Block before = graph.Blocks[graph.Blocks.IndexOf(block) - 1];
                bool kept = block.Phase == Phase.Backward && Root(carry.Initial) is { Op: not OpCode.Constant } initial && IsReadFrom(initial.Node, order[block], []);
                carry.Initial = Own(graph, carry.Initial, before, taken, kept);
                carry.Result = Own(graph, carry.Result, block, taken, copy: false);
            }
        }

        // Also through views and what kernels compute on the fly, and by loops that start from it later.
        bool IsReadFrom(Node node, int first, HashSet<Node> seen) =>
            seen.Add(node)
            && (graph.Blocks.Skip(first + 1).SelectMany(b => b.Carries).Any(c => c.Initial.Node == node)
                || (users.TryGetValue(node, out List<Node>? readers) && readers.Any(r => order[r.Block] >= first || (IsPassedOn(r) && IsReadFrom(r, first, seen)))));
    }

    private static bool IsPassedOn(Node node) => node.Class == OpClass.Elementwise || node.Op is OpCode.Reshape or OpCode.Slice or OpCode.Concat;

    private static Value Root(Value value)
    {
        while (value.Op == OpCode.Reshape)
        {
            value = value.Node.Inputs[0];
        }

        return value;
    }

    private static Value Own(Graph graph, Value value, Block block, HashSet<Value> taken, bool copy)
    {
        Value root = Root(value);

        OpClass kind = OpTable.Class(root.Op);
        bool computed = kind is OpClass.Elementwise or OpClass.Anchor or OpClass.RowReduction or OpClass.Cast || (root.Op == OpCode.Constant && root.Type.Rows == RowKind.Token);
        // A slot of a loop is filled by the block itself, or (the initial value) by a straight block before it.
        bool here = root.Node.Block == block || root.Node.Block.Loop is null;
        if (!copy && computed && here && root.Node.Block.Phase != Phase.Setup && taken.Add(root))
        {
            return value;
        }

        Node slot = new GraphBuilder(graph, block).Node(OpCode.Cast, [value], [value.Type], new NodeData { Index = taken.Count });
        taken.Add(slot.Out());
        return slot.Out();
    }
}
