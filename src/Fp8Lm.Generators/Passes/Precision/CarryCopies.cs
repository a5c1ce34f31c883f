using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Generators.Ir;

namespace Fp8Lm.Generators.Passes.Precision;

/// <summary>
/// A carried value is written straight into its slot by the kernel that computes it. Where no kernel does (the value is another
/// carried value, a slice, or fills two slots) a copy is made explicit.
/// </summary>
internal static class CarryCopies
{
    public static void Run(Graph graph)
    {
        HashSet<Value> taken = [];
        foreach (Block block in graph.Blocks.ToList())
        {
            foreach (Carry carry in block.Carries)
            {
                Block before = graph.Blocks[graph.Blocks.IndexOf(block) - 1];
                carry.Initial = Own(graph, carry.Initial, before, taken);
                carry.Result = Own(graph, carry.Result, block, taken);
            }
        }
    }

    private static Value Own(Graph graph, Value value, Block block, HashSet<Value> taken)
    {
        Value root = value;
        while (root.Op == OpCode.Reshape)
        {
            root = root.Node.Inputs[0];
        }

        OpClass kind = OpTable.Class(root.Op);
        bool computed = kind is OpClass.Elementwise or OpClass.Anchor or OpClass.RowReduction or OpClass.Cast || (root.Op == OpCode.Constant && root.Type.Rows == RowKind.Token);
        // A slot of a loop is filled by the block itself, or (the initial value) by a straight block before it.
        bool here = root.Node.Block == block || root.Node.Block.Loop is null;
        if (computed && here && root.Node.Block.Phase != Phase.Setup && taken.Add(root))
        {
            return value;
        }

        Node copy = new GraphBuilder(graph, block).Node(OpCode.Cast, [value], [value.Type], new NodeData { Index = taken.Count });
        taken.Add(copy.Out());
        return copy.Out();
    }
}
