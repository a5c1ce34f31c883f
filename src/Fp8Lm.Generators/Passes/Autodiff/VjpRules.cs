using System;
using System.Collections.Generic;
using Fp8Lm.Generators.Ir;
using Fp8Lm.Generators.Model;

namespace Fp8Lm.Generators.Passes.Autodiff;

/// <summary>Vector-Jacobian products, one row per op. Rules are written in ops of the graph, so their results fuse like everything else.</summary>
internal static partial class VjpRules
{
    private static readonly Dictionary<OpCode, Action<VjpContext>> Rules = new()
    {
        [OpCode.Neg] = c => c.Add(0, c.B.Neg(c.Dy)),
        [OpCode.Abs] = c => c.Add(0, c.B.Select(c.B.Binary(OpCode.Less, c.X(), c.B.Constant(0)), c.B.Neg(c.Dy), c.Dy)),
        [OpCode.Exp] = c => c.Add(0, c.B.Mul(c.Dy, c.Y)),
        [OpCode.Log] = c => c.Add(0, c.B.Div(c.Dy, c.X())),
        [OpCode.Sqrt] = c => c.Add(0, c.B.Div(c.B.Mul(c.Dy, 0.5), c.Y)),
        [OpCode.Rsqrt] = c => c.Add(0, c.B.Mul(c.B.Mul(c.Dy, -0.5), c.B.Mul(c.Y, c.B.Mul(c.Y, c.Y)))),
        [OpCode.Tanh] = c => c.Add(0, c.B.Mul(c.Dy, c.B.Sub(c.B.Constant(1), c.B.Mul(c.Y, c.Y)))),
        [OpCode.Sigmoid] = c => c.Add(0, c.B.Mul(c.Dy, c.B.Sub(c.Y, c.B.Mul(c.Y, c.Y)))),    // one fused multiply-add
        [OpCode.Erf] = c => c.Add(0, c.B.Mul(c.Dy, c.B.Mul(c.B.Unary(OpCode.Exp, c.B.Neg(c.B.Mul(c.X(), c.X()))), 2 / Math.Sqrt(Math.PI)))),
        [OpCode.Sin] = c => c.Add(0, c.B.Mul(c.Dy, c.B.Unary(OpCode.Cos, c.X()))),
        [OpCode.Cos] = c => c.Add(0, c.B.Neg(c.B.Mul(c.Dy, c.B.Unary(OpCode.Sin, c.X())))),
        [OpCode.Floor] = _ => { },
        [OpCode.Pow] = c => c.Add(0, c.B.Mul(c.Dy, c.B.Mul(c.B.Unary(OpCode.Pow, c.X(), new NodeData { Number = c.Node.Data.Number - 1 }), c.Node.Data.Number))),
        [OpCode.Add] = c => Both(c, c.Dy, c.Dy),
        [OpCode.Sub] = c => Both(c, c.Dy, c.B.Neg(c.Dy)),
        [OpCode.Mul] = Product,
        [OpCode.Div] = c => Both(c, c.B.Div(c.Dy, c.X(1)), c.B.Neg(c.B.Div(c.B.Mul(c.Dy, c.Y), c.X(1)))),
        [OpCode.Min] = c => Choose(c, c.B.Binary(OpCode.LessEqual, c.X(0), c.X(1))),
        [OpCode.Max] = c => Choose(c, c.B.Binary(OpCode.Less, c.X(1), c.X(0))),
        [OpCode.Select] = c =>
        {
            c.Add(1, c.B.Select(c.X(0), c.Dy, c.B.Constant(0)));
            c.Add(2, c.B.Select(c.X(0), c.B.Constant(0), c.Dy));
        },
        [OpCode.Less] = _ => { },
        [OpCode.LessEqual] = _ => { },
        [OpCode.Equal] = _ => { },
        [OpCode.Uniform] = _ => { },
        [OpCode.Column] = _ => { },
        [OpCode.Constant] = _ => { },
        [OpCode.Tokens] = _ => { },
        [OpCode.Labels] = _ => { },
        [OpCode.CarryIn] = _ => { },
        [OpCode.CarryOut] = _ => { },

        [OpCode.RowSum] = c => c.Add(0, c.B.Expand(Narrowed(c), new TensorType(c.Dy.Type.Rows, c.X().Type.Dims))),
        [OpCode.RowMax] = Maximum,

        [OpCode.LayerNorm] = LayerNorm,
        [OpCode.RmsNorm] = RmsNorm,
        [OpCode.Softmax] = c => c.Add(0, c.B.Mul(c.Y, c.B.Sub(c.Dy, c.B.RowSum(c.B.Mul(c.Dy, c.Y))))),
        [OpCode.Rotary] = c => c.Add(0, c.B.Node(OpCode.Rotary, [c.Dy], c.Dy.Type, c.Node.Data with { Number2 = -c.Node.Data.Number2 })),

        [OpCode.Reshape] = c => c.Add(0, c.B.Reshape(Narrowed(c), c.X().Type.Dims)),
        [OpCode.Slice] = c => c.AddPart(0, c.Node.Data.Extent!, c.Dy),
        [OpCode.Concat] = Concat,

        [OpCode.Gemm] = Linear,
        [OpCode.Attention] = Attention,
        [OpCode.Gather] = c => c.B.Node(OpCode.EmbedGradient, [c.X(1), c.Dy], [TensorType.Scalar], c.X().Node.Data),
        [OpCode.PositionRow] = c => c.B.Node(OpCode.PositionGradient, [c.Dy], [TensorType.Scalar], c.X().Node.Data),
    };

    public static Action<VjpContext> Of(OpCode op) =>
        Rules.TryGetValue(op, out Action<VjpContext>? rule) ? rule : throw new InvalidOperationException($"{op} has no gradient rule");

    public static bool Has(OpCode op) => Rules.ContainsKey(op);

    /// <summary>Statistics outputs of norms and attention carry no gradient of their own.</summary>
    public static bool UsesGradientOf(OpCode op, int output) => output == 0;

    /// <summary>
    /// The gradient with the value's own features. What is made of weights alone has one per token, as wide as what the value was stretched to, until the weight is reached: ops
    /// between elements of one value need its sum over what was stretched.
    /// </summary>
    private static Value Narrowed(VjpContext c) => c.B.ReduceTo(c.Dy, new TensorType(c.Dy.Type.Rows, c.Y.Type.Dims));

    private static void Both(VjpContext c, Value x, Value y)
    {
        c.Add(0, x);
        c.Add(1, y);
    }

    /// <summary>dx = dy y, dy = dy x; of a square 2 dy x, whose 2 joins a constant that is there already.</summary>
    private static void Product(VjpContext c)
    {
        if (c.X(0) == c.X(1))
        {
            c.Add(0, c.B.Mul(c.B.Mul(c.Dy, 2), c.X()));
            return;
        }

        Both(c, c.B.Mul(c.Dy, c.X(1)), c.B.Mul(c.Dy, c.X(0)));
    }

    private static void Choose(VjpContext c, Value first) =>
        Both(c, c.B.Select(first, c.Dy, c.B.Constant(0)), c.B.Select(first, c.B.Constant(0), c.Dy));

    /// <summary>
    /// Elements equal to the maximum share the gradient. The maximum is taken anew from the values that are compared with it: forward's is one of values that had not been rounded
    /// to 16 bits yet, and no element that was stored may be equal to it.
    /// </summary>
    private static void Maximum(VjpContext c)
    {
        GraphBuilder b = c.B;
        Value largest = b.Binary(OpCode.Equal, c.X(), b.RowMax(c.X()));
        Value share = b.Div(Narrowed(c), b.RowSum(b.Select(largest, b.Constant(1), b.Constant(0))));
        c.Add(0, b.Select(largest, share, b.Constant(0)));
    }

    /// <summary>dx = rstd (dy - mean(dy) - xhat mean(dy xhat)); gain and bias are separate element-wise ops.</summary>
    private static void LayerNorm(VjpContext c)
    {
        GraphBuilder b = c.B;
        Value mean = c.Node.Out(1), rstd = c.Node.Out(2);
        Value xhat = b.Mul(b.Sub(c.X(), mean), rstd);
        Value centered = b.Sub(b.Sub(c.Dy, b.RowMean(c.Dy)), b.Mul(xhat, b.RowMean(b.Mul(c.Dy, xhat))));
        c.Add(0, b.Mul(centered, rstd));
    }

    /// <summary>dx = rstd (dy - xhat mean(dy xhat)).</summary>
    private static void RmsNorm(VjpContext c)
    {
        GraphBuilder b = c.B;
        Value rstd = c.Node.Out(1);
        Value xhat = b.Mul(c.X(), rstd);
        c.Add(0, b.Mul(b.Sub(c.Dy, b.Mul(xhat, b.RowMean(b.Mul(c.Dy, xhat)))), rstd));
    }

    private static void Concat(VjpContext c)
    {
        DimExpr start = DimExpr.Zero;
        for (int i = 0; i < c.Node.Inputs.Length; i++)
        {
            DimExpr length = c.X(i).Type.Columns;
            c.Add(i, c.B.Slice(c.Dy, start, length));
            start += length;
        }
    }

    /// <summary>y = x W^T: dx = dy W, dW += dy^T x.</summary>
    private static void Linear(VjpContext c)
    {
        GraphBuilder b = c.B;
        Value x = c.X(0), w = c.X(1);
        c.Add(0, b.Gemm(c.Dy, w, x.Type, GemmRole.Dgrad, aKMajor: true, bKMajor: false));
        Value dw = b.Gemm(c.Dy, x, w.Type, GemmRole.Wgrad, aKMajor: false, bKMajor: false);
        b.Node(OpCode.AccumulateGradient, [dw], [TensorType.Scalar], w.Node.Data);
    }

    /// <summary>FlashAttention-2's backward (arXiv 2307.08691, section 3.1.2), delta = rowsum(dO o O) first.</summary>
    private static void Attention(VjpContext c)
    {
        GraphBuilder b = c.B;
        Value delta = b.RowSum(b.Mul(c.Dy, c.Y));
        Value[] inputs = [c.X(0), c.X(1), c.X(2), c.Dy, c.Node.Out(1), delta];
        Node keyValue = b.Node(OpCode.AttentionGradKeyValue, inputs, [c.X(1).Type, c.X(2).Type], c.Node.Data);
        Node query = b.Node(OpCode.AttentionGradQuery, inputs, [c.X(0).Type], c.Node.Data);
        c.Add(0, query.Out());
        c.Add(1, keyValue.Out(0));
        c.Add(2, keyValue.Out(1));
    }
}
