using System.Linq;
using Fp8Lm.Generators.Model;

namespace Fp8Lm.Generators.Ir.Language;

internal static class ShapeRules
{
    public static Value[]? Reshape(OpContext c)
    {
        EquatableArray<DimExpr> shape = c.Dims("shape").ToEquatable();
        return c[0].Type.Rows == RowKind.Scalar || !DimExpr.Product(shape).Equals(c[0].Type.Elements)
            ? c.Fail("FP8L0308", c[0].Type.Features(), "[" + string.Join(", ", shape.Select(d => d.ToString())) + "]")
            : [c.Builder.Reshape(c[0], shape)];
    }

    public static Value[]? Slice(OpContext c) =>
        c[0].Type.Rows != RowKind.Token || c[0].Type.Mask
            ? c.FailUnlessTokens(c[0])
            : [c.Builder.Slice(c[0], c.Dim("start") ?? DimExpr.Zero, c.Dim("length") ?? c[0].Type.Columns)];

    public static Value[]? Concat(OpContext c)
    {
        foreach (Value part in c.Operands)
        {
            if (part.Type.Rows != RowKind.Token || part.Type.Mask)
            {
                return c.FailUnlessTokens(part);
            }

            if (part.Type.Dims.Count != c[0].Type.Dims.Count || !part.Type.Dims.Take(part.Type.Dims.Count - 1).SequenceEqual(c[0].Type.Dims.Take(part.Type.Dims.Count - 1)))
            {
                return c.Fail("FP8L0310", c[0].Type.Features(), part.Type.Features());
            }
        }

        return [c.Builder.Concat(c.Operands)];
    }
}
