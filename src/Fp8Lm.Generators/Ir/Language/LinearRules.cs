using System.Linq;

namespace Fp8Lm.Generators.Ir.Language;

internal static class LinearRules
{
    /// <summary>y[.., O] = x[.., I] * w[O, I]^T + bias[O].</summary>
    public static Value[]? Linear(OpContext c)
    {
        Value x = c[0], w = c[1];
        if (x.Type.Rows != RowKind.Token || x.Type.Mask)
        {
            return c.FailUnlessTokens(x);
        }

        if (!c.IsMatrix(1))
        {
            return null;
        }

        if (!x.Type.Columns.Equals(w.Type.Columns))
        {
            return c.Fail("FP8L0302", x.Type.Features(), w.Type.Features());
        }

        if (c.Operands.Count > 2 && !c.IsVector(2, w.Type.Dims[0]))
        {
            return null;
        }

        GraphBuilder b = c.Builder;
        Value flat = x.Type.Dims.Count == 1 ? x : b.Reshape(x, x.Type.Dims);
        TensorType type = x.Type.With(x.Type.Dims.Take(x.Type.Dims.Count - 1).Concat([w.Type.Dims[0]]));
        Value y = b.Gemm(flat, w, type, GemmRole.Fprop, aKMajor: true, bKMajor: true);
        return [c.Operands.Count > 2 ? b.Add(y, c[2]) : y];
    }
}
