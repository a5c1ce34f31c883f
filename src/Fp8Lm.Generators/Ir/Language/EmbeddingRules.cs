using Fp8Lm.Generators.Model;

namespace Fp8Lm.Generators.Ir.Language;

internal static class EmbeddingRules
{
    /// <summary>Row of the table per token.</summary>
    public static Value[]? Embed(OpContext c)
    {
        if (c[0].Type.Dims.Count != 2)
        {
            return c.Fail("FP8L0311", c[0].Type.Features());
        }

        TensorType type = new(RowKind.Token, [c[0].Type.Columns]);
        return [c.Builder.Node(OpCode.Gather, [c[0], c.Builder.Node(OpCode.Tokens, [], new TensorType(RowKind.Token, [DimExpr.One]))], type)];
    }

    /// <summary>Row of the table per position.</summary>
    public static Value[]? PositionEmbed(OpContext c) =>
        c[0].Type.Dims.Count != 2
            ? c.Fail("FP8L0311", c[0].Type.Features())
            : [c.Builder.Node(OpCode.PositionRow, [c[0]], new TensorType(RowKind.Token, [c[0].Type.Columns]))];
}
