using System;
using System.Linq;
using Fp8Lm.Generators.Ir;
using Fp8Lm.Generators.Model;

namespace Fp8Lm.Generators.Passes.Autodiff;

/// <summary>Gradients of weights that take part in element-wise ops: sums over tokens, and over the features the weight was stretched along.</summary>
internal static class ParameterGradients
{
    public static void Accumulate(GraphBuilder b, Value parameter, Value gradient)
    {
        TensorType weight = parameter.Type;
        gradient = gradient.Type.Rows == RowKind.Token ? gradient : throw new InvalidOperationException($"gradient {gradient} of a weight has no tokens");

        if (weight.Elements.IsOne)
        {
            // One number: sum over all features, then over tokens.
            Value rows = gradient.Type.Dims.Count > 1 ? b.Reshape(gradient, [gradient.Type.Elements]) : gradient;
            Sink(b, parameter, rows.Type.Columns.IsOne ? rows : b.RowSum(rows));
        }
        else if (weight.Dims.Count > 1 && weight.Columns.IsOne)
        {
            // [H, 1] against [H, D].
            Value rows = gradient.Type.Columns.IsOne ? gradient : b.RowSum(gradient);
            Sink(b, parameter, b.Reshape(rows, [weight.Elements]));
        }
        else if (weight.Dims.Count > 1)
        {
            Sink(b, parameter, b.Reshape(gradient, [weight.Elements]));
        }
        else
        {
            // [D] against [.., D]: every row of D counts.
            Sink(b, parameter, gradient.Type.Columns.Equals(weight.Columns) ? gradient : b.Expand(gradient, gradient.Type.With(gradient.Type.Dims.Take(gradient.Type.Dims.Count - 1).Concat([weight.Columns]))));
        }
    }

    private static void Sink(GraphBuilder b, Value parameter, Value rows)
    {
        Value slabs = b.Node(OpCode.ColumnSum, [rows], rows.Type);
        b.Node(OpCode.AccumulateColumnSum, [slabs], [TensorType.Scalar], parameter.Node.Data);
    }
}
