using System;
using System.Linq;
using Fp8Lm.Generators.Ir;
using Fp8Lm.Generators.Model;

namespace Fp8Lm.Generators.Passes;

/// <summary>
/// Norms, softmax, cross-entropy and rotary embeddings become element-wise ops and reductions over rows. It runs after autodiff,
/// whose rules for composites are shorter and better conditioned than what the pieces would give.
/// </summary>
internal static class CompositeExpansion
{
    public static void Run(Graph graph)
    {
        Block? tables = graph.Nodes.Any(n => n.Op == OpCode.Rotary) ? graph.AddBlock(Phase.Setup, null, "tables", at: 0) : null;
        new Rewriter(graph).Run((b, node) => node.Op switch
        {
            OpCode.LayerNorm => LayerNorm(b, node),
            OpCode.RmsNorm => RmsNorm(b, node),
            OpCode.Softmax => Softmax(b, node),
            OpCode.CrossEntropy => CrossEntropy(b, node),
            OpCode.Rotary => Rotary(b, new GraphBuilder(graph, tables!), node),
            _ => null,
        });
    }

    /// <summary>Two passes over the row (mean, then squared distance from it): no cancellation.</summary>
    private static Value[] LayerNorm(GraphBuilder b, Node node)
    {
        Value x = node.Inputs[0];
        Value mean = b.RowMean(x);
        Value centered = b.Sub(x, mean);
        Value rstd = b.Unary(OpCode.Rsqrt, b.Add(b.RowMean(b.Mul(centered, centered)), b.Constant(node.Data.Number)));
        return [b.Mul(centered, rstd), mean, rstd];
    }

    private static Value[] RmsNorm(GraphBuilder b, Node node)
    {
        Value x = node.Inputs[0];
        Value rstd = b.Unary(OpCode.Rsqrt, b.Add(b.RowMean(b.Mul(x, x)), b.Constant(node.Data.Number)));
        return [b.Mul(x, rstd), rstd];
    }

    private static Value[] Softmax(GraphBuilder b, Node node)
    {
        Value x = node.Inputs[0];
        Value e = b.Unary(OpCode.Exp, b.Sub(x, b.RowMax(x)));
        return [b.Div(e, b.RowSum(e))];
    }

    /// <summary>
    /// loss = w (lse - logit[label] + z lse^2), d logits = w lossScale ((1 + 2 z lse) softmax - onehot). The label weight w is zero
    /// for ignored labels.
    /// </summary>
    private static Value[] CrossEntropy(GraphBuilder b, Node node)
    {
        Value logits = node.Inputs[0], labels = node.Inputs[1];
        double z = node.Data.Number2;
        TensorType row = logits.Type.Reduced();
        Value largest = b.RowMax(logits);
        Value lse = b.Add(b.Unary(OpCode.Log, b.RowSum(b.Unary(OpCode.Exp, b.Sub(logits, largest)))), largest);
        Value isLabel = b.Node(OpCode.IsLabel, [labels], logits.Type.AsMask(true));
        Value picked = b.RowSum(b.Select(isLabel, logits, b.Constant(0)));
        Value weight = b.Node(OpCode.LabelWeight, [labels], row);
        Value loss = b.Sub(lse, picked);
        Value softmax = b.Unary(OpCode.Exp, b.Sub(logits, lse));
        if (z != 0)
        {
            loss = b.Add(loss, b.Mul(b.Mul(lse, lse), z));
            softmax = b.Mul(softmax, b.Add(b.Mul(lse, 2 * z), b.Constant(1)));
        }

        Value weighted = b.Mul(loss, weight);
        b.Node(OpCode.LossRow, [weighted, weight], [TensorType.Scalar]);
        Value scale = b.Mul(weight, b.Node(OpCode.LossScale, [], TensorType.Scalar));
        Value gradient = b.Mul(b.Sub(softmax, b.Select(isLabel, b.Constant(1), b.Constant(0))), scale);
        return [weighted, gradient];
    }

    /// <summary>
    /// y = x cos + pair(x) sin, the sign of the sine in the table. The tables [positions, D] are made once in setup; the inverse rotation
    /// (the gradient) negates the sine. It runs on flat rows of all heads, where casts and their transposed copies can join it.
    /// </summary>
    private static Value[] Rotary(GraphBuilder b, GraphBuilder t, Node node)
    {
        Value x = node.Inputs[0];
        DimExpr size = x.Type.Columns, rotated = node.Data.Extent!;
        DimExpr half = DimExpr.TryDivide(rotated, DimExpr.Constant(2))!;
        bool interleaved = node.Data.Interleaved;
        TensorType type = new(RowKind.Position, [size]);
        t.Label = "rotary";
        Value column = t.Node(OpCode.Column, [], type);
        Value halfValue = t.Node(OpCode.Constant, [], TensorType.Scalar, new NodeData { Number = 1, Extent = half });
        Value pair = interleaved
            ? t.Unary(OpCode.Floor, t.Mul(column, 0.5))
            : t.Select(t.Binary(OpCode.Less, column, halfValue), column, t.Sub(column, halfValue));
        Value frequency = t.Unary(OpCode.Exp, t.Mul(pair, t.Node(OpCode.Constant, [], TensorType.Scalar, new NodeData { Number = -2 * Math.Log(node.Data.Number), Divisor = rotated })));
        Value angle = t.Mul(t.Node(OpCode.Position, [], type), frequency);
        Value first = interleaved
            ? t.Binary(OpCode.Equal, column, t.Mul(pair, 2))
            : t.Binary(OpCode.Less, column, halfValue);
        Value cos = t.Unary(OpCode.Cos, angle), sin = t.Unary(OpCode.Sin, angle);
        Value sine = t.Select(first, t.Neg(sin), sin);
        if (!rotated.Equals(size))
        {
            Value inside = t.Binary(OpCode.Less, column, t.Node(OpCode.Constant, [], TensorType.Scalar, new NodeData { Number = 1, Extent = rotated }));
            cos = t.Select(inside, cos, t.Constant(1));
            sine = t.Select(inside, sine, t.Constant(0));
        }

        Value flat = b.Reshape(x, [x.Type.Elements]);
        Value OverHeads(Value table) => x.Type.Outer.IsOne ? table : b.Node(OpCode.Tile, [table], new TensorType(RowKind.Position, flat.Type.Dims));
        Value swapped = b.Node(OpCode.PairSwap, [flat], flat.Type, new NodeData { Extent = rotated, Divisor = size, Interleaved = interleaved });
        Value sines = OverHeads(sine);
        Value turned = b.Add(b.Mul(flat, OverHeads(cos)), b.Mul(swapped, node.Data.Number2 < 0 ? b.Neg(sines) : sines));
        return [b.Reshape(turned, x.Type.Dims)];
    }
}
