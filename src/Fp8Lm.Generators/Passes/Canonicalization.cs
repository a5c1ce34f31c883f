using System.Linq;
using Fp8Lm.Generators.Ir;

namespace Fp8Lm.Generators.Passes;

/// <summary>
/// Element-wise ops on [.., H, D] whose operands are all computed on flat rows, or by attention, run on the flat [.., H * D]: then they meet
/// GEMMs, casts and each other in one index space and fuse.
/// </summary>
internal static class Canonicalization
{
    public static void Run(Graph graph) => new Rewriter(graph).Run(Flatten);

    private static Value[]? Flatten(GraphBuilder b, Node node)
    {
        if (node.Op == OpCode.Reshape)
        {
            return [b.Reshape(node.Inputs[0], node.Types[0].Dims)];
        }

        bool positional = node.Op is OpCode.PairSwap or OpCode.Tile or OpCode.Column or OpCode.Position or OpCode.IsLabel;
        if (node.Class != OpClass.Elementwise || positional || node.Types[0].Dims.Count < 2 || node.Types[0].Rows != RowKind.Token)
        {
            return null;
        }

        TensorType type = node.Types[0];
        if (!node.Inputs.All(i => i.Type.Rows == RowKind.Scalar || (i.Type.Rows == RowKind.Token && i.Type.Dims.SequenceEqual(type.Dims) && IsFlat(i))))
        {
            return null;
        }

        Value[] flat = [.. node.Inputs.Select(i => i.Type.Rows == RowKind.Scalar ? i : b.Reshape(i, [type.Elements]))];
        return [b.Reshape(b.Node(node.Op, flat, type.Flat(), node.Data), type.Dims)];
    }

    /// <summary>Computed on flat rows: what is computed per head (norms of queries, rotary embedding) stays with its heads, and so do its users.</summary>
    private static bool IsFlat(Value value)
    {
        while (value.Op == OpCode.Reshape)
        {
            value = value.Node.Inputs[0];
        }

        return value.Type.Dims.Count == 1 || value.Node.Class is OpClass.Anchor or OpClass.Leaf;
    }
}
