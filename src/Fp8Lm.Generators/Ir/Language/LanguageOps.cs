using System;
using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Generators.Model;

namespace Fp8Lm.Generators.Ir.Language;

/// <summary>One op of the language: its shape rule and what it becomes in the graph. Returns null after reporting an error.</summary>
internal delegate Value[]? LanguageRule(OpContext context);

/// <summary>
/// The op set users call, by key. Most ops are a few lines of primitives, so gradient, fusion and both renderers come for free;
/// those with a kernel or a gradient of their own become one node.
/// </summary>
internal static class LanguageOps
{
    private static readonly Dictionary<string, LanguageRule> Rules = new(StringComparer.Ordinal)
    {
        ["embed"] = EmbeddingRules.Embed,
        ["position_embed"] = EmbeddingRules.PositionEmbed,
        ["linear"] = LinearRules.Linear,
        ["layer_norm"] = NormRules.LayerNorm,
        ["rms_norm"] = NormRules.RmsNorm,
        ["softmax"] = NormRules.Softmax,
        ["attention"] = AttentionRules.Attention,
        ["rotary"] = AttentionRules.Rotary,
        ["reshape"] = ShapeRules.Reshape,
        ["slice"] = ShapeRules.Slice,
        ["concat"] = ShapeRules.Concat,
        ["dropout"] = ElementwiseRules.Dropout,
        ["cross_entropy"] = LossRules.CrossEntropy,

        ["sum"] = c => c.Unary((b, x) => b.RowSum(x)),
        ["mean"] = c => c.Unary((b, x) => b.RowMean(x)),
        ["reduce_max"] = c => c.Unary((b, x) => b.RowMax(x)),

        ["neg"] = c => c.Unary((b, x) => b.Neg(x)),
        ["abs"] = c => c.Unary((b, x) => b.Unary(OpCode.Abs, x)),
        ["exp"] = c => c.Unary((b, x) => b.Unary(OpCode.Exp, x)),
        ["log"] = c => c.Unary((b, x) => b.Unary(OpCode.Log, x)),
        ["sqrt"] = c => c.Unary((b, x) => b.Unary(OpCode.Sqrt, x)),
        ["rsqrt"] = c => c.Unary((b, x) => b.Unary(OpCode.Rsqrt, x)),
        ["tanh"] = c => c.Unary((b, x) => b.Unary(OpCode.Tanh, x)),
        ["sigmoid"] = c => c.Unary((b, x) => b.Unary(OpCode.Sigmoid, x)),
        ["square"] = c => c.Unary((b, x) => b.Mul(x, x)),
        ["relu"] = c => c.Unary((b, x) => b.Binary(OpCode.Max, x, b.Constant(0))),
        ["squared_relu"] = c => c.Unary((b, x) => Squared(b, b.Binary(OpCode.Max, x, b.Constant(0)))),
        ["silu"] = c => c.Unary((b, x) => b.Mul(x, b.Unary(OpCode.Sigmoid, x))),
        ["gelu"] = c => c.Unary(ElementwiseRules.GeluTanh),
        ["gelu_erf"] = c => c.Unary((b, x) => b.Mul(b.Mul(x, 0.5), b.Add(b.Unary(OpCode.Erf, b.Mul(x, 1 / Math.Sqrt(2))), b.Constant(1)))),
        ["pow"] = ElementwiseRules.Pow,

        ["add"] = c => c.Binary((b, x, y) => b.Add(x, y)),
        ["sub"] = c => c.Binary((b, x, y) => b.Sub(x, y)),
        ["mul"] = c => c.Binary((b, x, y) => b.Mul(x, y)),
        ["div"] = c => c.Binary((b, x, y) => b.Div(x, y)),
        ["min"] = c => c.Binary((b, x, y) => b.Binary(OpCode.Min, x, y)),
        ["max"] = c => c.Binary((b, x, y) => b.Binary(OpCode.Max, x, y)),
        ["lt"] = c => c.Binary((b, x, y) => b.Binary(OpCode.Less, x, y)),
        ["le"] = c => c.Binary((b, x, y) => b.Binary(OpCode.LessEqual, x, y)),
        ["gt"] = c => c.Binary((b, x, y) => b.Binary(OpCode.Less, y, x)),
        ["ge"] = c => c.Binary((b, x, y) => b.Binary(OpCode.LessEqual, y, x)),
        ["eq"] = c => c.Binary((b, x, y) => b.Binary(OpCode.Equal, x, y)),
        ["ne"] = c => c.Binary((b, x, y) => b.Binary(OpCode.Less, b.Constant(0), b.Unary(OpCode.Abs, b.Sub(x, y)))),
        ["select"] = ElementwiseRules.Select,
    };

    public static bool TryGet(string key, out LanguageRule rule) => Rules.TryGetValue(key, out rule!);

    public static IEnumerable<string> Keys => Rules.Keys.OrderBy(k => k, StringComparer.Ordinal);

    private static Value Squared(GraphBuilder builder, Value x) => builder.Mul(x, x);
}
