using System.Linq;
using Fp8Lm.Generators.Model;

namespace Fp8Lm.Generators.Ir.Language;

/// <summary>Norms are nodes with the statistics as extra outputs: the backward pass reads those instead of deriving them again.</summary>
internal static class NormRules
{
    public static Value[]? LayerNorm(OpContext c) => Norm(c, OpCode.LayerNorm, statistics: 2);

    public static Value[]? RmsNorm(OpContext c) => Norm(c, OpCode.RmsNorm, statistics: 1);

    public static Value[]? Softmax(OpContext c) =>
        c[0].Type.Mask || c[0].Type.Rows != RowKind.Token ? c.FailUnlessTokens(c[0]) : [c.Builder.Node(OpCode.Softmax, [c[0]], c[0].Type)];

    private static Value[]? Norm(OpContext c, OpCode op, int statistics)
    {
        Value x = c[0];
        if (x.Type.Rows != RowKind.Token || x.Type.Mask)
        {
            return c.FailUnlessTokens(x);
        }

        for (int i = 1; i < c.Operands.Count; i++)
        {
            if (!c.IsVector(i, x.Type.Columns))
            {
                return null;
            }
        }

        GraphBuilder b = c.Builder;
        TensorType[] types = [x.Type, .. Enumerable.Repeat(x.Type.Reduced(), statistics)];
        Value y = b.Node(op, [x], types, new NodeData { Number = c.Number("epsilon", 1e-5) }).Out();
        if (c.Operands.Count > 1)
        {
            y = b.Mul(y, c[1]);
        }

        return [c.Operands.Count > 2 ? b.Add(y, c[2]) : y];
    }
}
