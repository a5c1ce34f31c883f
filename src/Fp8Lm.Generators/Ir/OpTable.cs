using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;

namespace Fp8Lm.Generators.Ir;

/// <summary>One row of <see cref="OpTable"/>.</summary>
/// <param name="Class">See <see cref="OpClass"/>.</param>
/// <param name="Arity">Number of inputs; -1: any.</param>
/// <param name="Cuda">Text of an element-wise op in CUDA, <c>{0}</c> being the first operand.</param>
/// <param name="CSharp">The same on <c>Vector256&lt;float&gt;</c>; masks are vectors of all-ones or all-zeros lanes.</param>
/// <param name="Fold">The op on numbers, for constant folding and for the reference interpreter.</param>
internal sealed record OpInfo(OpClass Class, int Arity, string Cuda = "", string CSharp = "", Func<double[], double>? Fold = null);

/// <summary>
/// Facts about operations, one row each. A new element-wise op is a row here, a gradient in VjpRules and a name in the public op set;
/// no pass names it.
/// </summary>
internal static class OpTable
{
    private static readonly Dictionary<OpCode, OpInfo> Rows = new()
    {
        [OpCode.Parameter] = new(OpClass.Leaf, 0),
        [OpCode.Tokens] = new(OpClass.Leaf, 0),
        [OpCode.Labels] = new(OpClass.Leaf, 0),
        [OpCode.Constant] = new(OpClass.Leaf, 0),
        [OpCode.CarryIn] = new(OpClass.Leaf, 0),
        [OpCode.CarryOut] = new(OpClass.Leaf, 0),
        [OpCode.Gradient] = new(OpClass.Leaf, 0),
        [OpCode.MasterInverse] = new(OpClass.Elementwise, 0),
        [OpCode.GradientInverse] = new(OpClass.Elementwise, 0),
        [OpCode.LabelWeight] = new(OpClass.Elementwise, 1),
        [OpCode.LossScale] = new(OpClass.Elementwise, 0),
        [OpCode.DynamicLossScale] = new(OpClass.Elementwise, 0),
        [OpCode.Position] = new(OpClass.Elementwise, 0),
        [OpCode.Column] = new(OpClass.Elementwise, 0),
        [OpCode.Uniform] = new(OpClass.Elementwise, 0),
        [OpCode.Gather] = new(OpClass.Elementwise, 2),
        [OpCode.PositionRow] = new(OpClass.Elementwise, 1),

        [OpCode.Neg] = new(OpClass.Elementwise, 1, "-{0}", "-{0}", a => -a[0]),
        [OpCode.Abs] = new(OpClass.Elementwise, 1, "fp8lm::abs_({0})", "VectorMath.Abs({0})", a => Math.Abs(a[0])),
        [OpCode.Exp] = new(OpClass.Elementwise, 1, "fp8lm::exp_({0})", "VectorMath.Exp({0})", a => Math.Exp(a[0])),
        [OpCode.Log] = new(OpClass.Elementwise, 1, "fp8lm::log_({0})", "VectorMath.Log({0})", a => Math.Log(a[0])),
        [OpCode.Sqrt] = new(OpClass.Elementwise, 1, "fp8lm::sqrt_({0})", "VectorMath.Sqrt({0})", a => Math.Sqrt(a[0])),
        [OpCode.Rsqrt] = new(OpClass.Elementwise, 1, "fp8lm::rsqrt_({0})", "VectorMath.Rsqrt({0})", a => 1 / Math.Sqrt(a[0])),
        [OpCode.Tanh] = new(OpClass.Elementwise, 1, "fp8lm::tanh_({0})", "VectorMath.Tanh({0})", a => Math.Tanh(a[0])),
        [OpCode.Sigmoid] = new(OpClass.Elementwise, 1, "fp8lm::sigmoid_({0})", "VectorMath.Sigmoid({0})", a => 1 / (1 + Math.Exp(-a[0]))),
        [OpCode.Erf] = new(OpClass.Elementwise, 1, "fp8lm::erf_({0})", "VectorMath.Erf({0})"),
        [OpCode.Sin] = new(OpClass.Elementwise, 1, "fp8lm::sin_({0})", "VectorMath.Sin({0})", a => Math.Sin(a[0])),
        [OpCode.Cos] = new(OpClass.Elementwise, 1, "fp8lm::cos_({0})", "VectorMath.Cos({0})", a => Math.Cos(a[0])),
        [OpCode.Floor] = new(OpClass.Elementwise, 1, "fp8lm::floor_({0})", "VectorMath.Floor({0})", a => Math.Floor(a[0])),
        [OpCode.Pow] = new(OpClass.Elementwise, 1, "fp8lm::pow_({0}, {n})", "VectorMath.Pow({0}, {n})"),
        [OpCode.Add] = new(OpClass.Elementwise, 2, "{0} + {1}", "{0} + {1}", a => a[0] + a[1]),
        [OpCode.Sub] = new(OpClass.Elementwise, 2, "{0} - {1}", "{0} - {1}", a => a[0] - a[1]),
        [OpCode.Mul] = new(OpClass.Elementwise, 2, "{0} * {1}", "{0} * {1}", a => a[0] * a[1]),
        [OpCode.Div] = new(OpClass.Elementwise, 2, "{0} / {1}", "{0} / {1}", a => a[0] / a[1]),
        [OpCode.Min] = new(OpClass.Elementwise, 2, "fp8lm::min_({0}, {1})", "VectorMath.Min({0}, {1})", a => Math.Min(a[0], a[1])),
        [OpCode.Max] = new(OpClass.Elementwise, 2, "fp8lm::max_({0}, {1})", "VectorMath.Max({0}, {1})", a => Math.Max(a[0], a[1])),
        [OpCode.Less] = new(OpClass.Elementwise, 2, "{0} < {1}", "Vector256.LessThan({0}, {1})", a => a[0] < a[1] ? 1 : 0),
        [OpCode.LessEqual] = new(OpClass.Elementwise, 2, "{0} <= {1}", "Vector256.LessThanOrEqual({0}, {1})", a => a[0] <= a[1] ? 1 : 0),
        [OpCode.Equal] = new(OpClass.Elementwise, 2, "{0} == {1}", "Vector256.Equals({0}, {1})", a => a[0] == a[1] ? 1 : 0),
        [OpCode.Select] = new(OpClass.Elementwise, 3, "({0}) ? {1} : {2}", "VectorMath.Select({0}, {1}, {2})", a => a[0] != 0 ? a[1] : a[2]),
        [OpCode.IsLabel] = new(OpClass.Elementwise, 1),
        [OpCode.PairSwap] = new(OpClass.Elementwise, 1),
        [OpCode.Tile] = new(OpClass.Elementwise, 1),

        [OpCode.RowSum] = new(OpClass.RowReduction, 1),
        [OpCode.RowMax] = new(OpClass.RowReduction, 1),

        [OpCode.LayerNorm] = new(OpClass.Composite, -1),
        [OpCode.RmsNorm] = new(OpClass.Composite, -1),
        [OpCode.Softmax] = new(OpClass.Composite, 1),
        [OpCode.CrossEntropy] = new(OpClass.Composite, 2),
        [OpCode.Rotary] = new(OpClass.Composite, 1),

        [OpCode.Reshape] = new(OpClass.View, 1),
        [OpCode.Slice] = new(OpClass.View, 1),
        [OpCode.Concat] = new(OpClass.View, -1),

        [OpCode.Gemm] = new(OpClass.Anchor, -1),
        [OpCode.Attention] = new(OpClass.Anchor, 3),
        [OpCode.AttentionGradKeyValue] = new(OpClass.Anchor, 6),
        [OpCode.AttentionGradQuery] = new(OpClass.Anchor, 6),

        [OpCode.Quantize] = new(OpClass.Cast, -1),
        [OpCode.Cast] = new(OpClass.Cast, 1),
        [OpCode.Amax] = new(OpClass.Cast, 1),
        [OpCode.GroupAmax] = new(OpClass.Cast, -1),
        [OpCode.ColumnSum] = new(OpClass.Cast, 1),

        [OpCode.AccumulateGradient] = new(OpClass.Sink, 1),
        [OpCode.StoreGradient] = new(OpClass.Sink, -1),
        [OpCode.AccumulateColumnSum] = new(OpClass.Sink, 1),
        [OpCode.EmbedGradient] = new(OpClass.Sink, 2),
        [OpCode.PositionGradient] = new(OpClass.Sink, 1),
        [OpCode.LossRow] = new(OpClass.Sink, 2),
    };

    public static OpInfo Of(OpCode op) => Rows[op];

    public static OpClass Class(OpCode op) => Rows[op].Class;

    public static bool IsMask(OpCode op) => op is OpCode.Less or OpCode.LessEqual or OpCode.Equal or OpCode.IsLabel;

    /// <summary>Text of an element-wise op with operands filled in.</summary>
    public static string Text(string template, IReadOnlyList<string> operands, string number)
    {
        string text = template;
        for (int i = operands.Count - 1; i >= 0; i--)
        {
            text = text.Replace("{" + i.ToString(CultureInfo.InvariantCulture) + "}", operands[i]);
        }

        return text.Replace("{n}", number);
    }

    public static IEnumerable<OpCode> All => Rows.Keys.OrderBy(k => (int)k);
}
