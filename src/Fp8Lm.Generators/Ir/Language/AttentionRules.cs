using Fp8Lm.Generators.Model;

namespace Fp8Lm.Generators.Ir.Language;

internal static class AttentionRules
{
    /// <summary>Causal attention of q [Hq, D] over k, v [Hkv, D]; query heads share key/value heads in groups.</summary>
    public static Value[]? Attention(OpContext c)
    {
        string[] names = ["q", "k", "v"];
        for (int i = 0; i < 3; i++)
        {
            if (c[i].Type.Rows != RowKind.Token || c[i].Type.Dims.Count != 2)
            {
                return c.Fail("FP8L0306", names[i], c[i].Type.Features());
            }
        }

        if (!c[0].Type.Columns.Equals(c[1].Type.Columns))
        {
            return c.Fail("FP8L0305", c[0].Type.Features(), c[1].Type.Features());
        }

        if (!c[1].Type.Equals(c[2].Type))
        {
            return c.Fail("FP8L0305", c[1].Type.Features(), c[2].Type.Features());
        }

        TensorType statistics = new(RowKind.Token, [c[0].Type.Dims[0], DimExpr.One]);
        NodeData data = new() { Number = c.Number("scale", 0), Extent = c.Dim("window") };
        return [c.Builder.Node(OpCode.Attention, [c[0], c[1], c[2]], [c[0].Type, statistics], data).Out()];
    }

    /// <summary>Rotary position embedding of x [H, D] (RoFormer, arXiv 2104.09864, eq. 34).</summary>
    public static Value[]? Rotary(OpContext c)
    {
        if (c[0].Type.Rows != RowKind.Token || c[0].Type.Dims.Count != 2)
        {
            return c.Fail("FP8L0306", "x", c[0].Type.Features());
        }

        NodeData data = new()
        {
            Number = c.Number("base", 10000), Interleaved = c.Number("interleaved", 0) != 0, Extent = c.Dim("dims") ?? c[0].Type.Columns, Number2 = 1,
        };
        return [c.Builder.Node(OpCode.Rotary, [c[0]], c[0].Type, data)];
    }
}
