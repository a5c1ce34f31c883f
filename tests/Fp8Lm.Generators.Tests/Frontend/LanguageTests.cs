using Fp8Lm.Generators.Tests.Harness;
using Xunit;

namespace Fp8Lm.Generators.Tests.Frontend;

/// <summary>Each piece of C# that a forward pass may be written in, and what becomes of it. The lines around the body are always the same.</summary>
public sealed class LanguageTests
{
    [Fact]
    public void OperatorsAndNumbers() => AssertBody("return -x * 2 + 1.5 - x / 3f;",
        "%1 = neg(%0)", "%2 = mul(%1, 2)", "%3 = add(%2, 1.5)", "%4 = div(%0, 3)", "%5 = sub(%3, %4)");

    [Fact]
    public void CompoundAssignmentAndReassignment() => AssertBody("x += Gelu(x); x *= 0.5; Tensor y = x; x = Silu(x); return x - y;",
        "%1 = gelu(%0)", "%2 = add(%0, %1)", "%3 = mul(%2, 0.5)", "%4 = silu(%3)", "%5 = sub(%4, %3)");

    [Fact]
    public void ComparisonAndSelect() => AssertBody("Mask positive = x > 0; return Select(positive, x, 0.01 * x) + Select(x <= -1f, 1, x);",
        "%1 = gt(%0, 0)", "%2 = mul(0.01, %0)", "%3 = select(%1, %0, %2)", "%4 = le(%0, -1)", "%5 = select(%4, 1, %0)", "%6 = add(%3, %5)");

    [Fact]
    public void MinMaxPowWithConstants() => AssertBody("return Max(Min(x, 3), -3) + Pow(x, 3);",
        "%1 = min(%0, 3)", "%2 = max(%1, -3)", "%3 = pow(%0, exponent=3)", "%4 = add(%2, %3)");

    [Fact]
    public void NamedArgumentsInAnyOrder() => AssertBody("return Linear(bias: b, x: x, weight: w) + RmsNorm(epsilon: 1e-6, x: x);",
        members: "readonly Weight w = new(Width, Width), b = new(Width);",
        expected: ["%1 = linear(%0, w, b)", "%2 = rms_norm(%0, epsilon=1E-06)", "%3 = add(%1, %2)"]);

    [Fact]
    public void LayerNormWithBiasOnly() => AssertBody("return LayerNorm(x, bias: b);", members: "readonly Weight b = new(Width);",
        expected: ["%1 = layer_norm(%0, epsilon=1E-05)", "%2 = add(%1, b)"]);

    [Fact]
    public void WeightsInExpressions() => AssertBody("return RmsNorm(x) * (1 + gain) + Sigmoid(gate) * x - -gain;",
        members: "readonly Weight gain = new(Width), gate = new(1);",
        expected: ["%1 = rms_norm(%0, epsilon=1E-05)", "%2 = add(1, gain)", "%3 = mul(%1, %2)", "%4 = sigmoid(gate)", "%5 = mul(%4, %0)", "%6 = add(%3, %5)", "%7 = neg(gain)", "%8 = sub(%6, %7)"]);

    [Fact]
    public void TuplesAndDeconstruction() => AssertBody(
        """
        (Tensor a, Tensor b) = Both(x);
        (a, b) = (b, a);
        var pair = Both(a);
        return pair.First + pair.Item2 * b;
        """,
        members: "static (Tensor First, Tensor Second) Both(Tensor x) => (Exp(x), Tanh(x));",
        expected: ["%1 = exp(%0)", "%2 = tanh(%0)", "%3 = exp(%2)", "%4 = tanh(%2)", "%5 = mul(%4, %1)", "%6 = add(%3, %5)"]);

    [Fact]
    public void SplitsAndShapes() => AssertBody(
        """
        var (a, b) = Split2(x);
        var (c, d, e) = Split(x, Width / 2, Width / 4, Width / 4);
        return Concat(a, d, e) + Reshape(MergeHeads(SplitHeads(x, Heads)), Width) + Concat(Slice(x, Width / 2, Width / 2), b * c);
        """,
        expected:
        [
            "%1 = slice(%0, start=0, length=Width / 2)", "%2 = slice(%0, start=Width / 2, length=Width / 2)",
            "%3 = slice(%0, start=0, length=Width / 2)", "%4 = slice(%0, start=Width / 2, length=Width / 4)", "%5 = slice(%0, start=3 * Width / 4, length=Width / 4)",
            "%6 = concat(%1, %4, %5)", "%7 = reshape(%0, shape=[Heads, Width / Heads])", "%8 = reshape(%7, shape=Width)", "%9 = reshape(%8, shape=Width)",
            "%10 = add(%6, %9)", "%11 = slice(%0, start=Width / 2, length=Width / 2)", "%12 = mul(%2, %3)", "%13 = concat(%11, %12)", "%14 = add(%10, %13)",
        ]);

    [Fact]
    public void AttentionOptions() => AssertBody(
        """
        Tensor q = Rotary(SplitHeads(x, Heads), theta: 1000, interleaved: true, dims: 8);
        return MergeHeads(Attention(q, q, q, window: 4 * Width, scale: 0.125));
        """,
        "%1 = reshape(%0, shape=[Heads, Width / Heads])", "%2 = rotary(%1, base=1000, interleaved=1, dims=8)",
        "%3 = attention(%2, %2, %2, window=4 * Width, scale=0.125)", "%4 = reshape(%3, shape=Width)");

    [Fact]
    public void ReductionsKeepTheAxis() => AssertBody("return x / Sqrt(Mean(Square(x)) + 1e-6) - ReduceMax(x) * Sum(Softmax(x));",
        "%1 = square(%0)", "%2 = mean(%1)", "%3 = add(%2, 1E-06)", "%4 = sqrt(%3)", "%5 = div(%0, %4)",
        "%6 = reduce_max(%0)", "%7 = softmax(%0)", "%8 = sum(%7)", "%9 = mul(%6, %8)", "%10 = sub(%5, %9)");

    [Fact]
    public void DropoutOfNothingIsNothing() => AssertBody("return Dropout(Dropout(x, 0), 0.1);", expected: ["%1 = dropout(%0, rate=0.1)"]);

    [Fact]
    public void ConstantConditions() => AssertBody(
        """
        const int depth = 3;
        if (depth > 2 && Softcap > 0) x = Softcap * Tanh(x / Softcap); else x = Exp(x);
        Tensor? y = null;
        y ??= depth == 3 ? Relu(x) : Log(x);
        return y is null ? x : y;
        """,
        members: "static readonly double Softcap = 15 * 2;",
        expected: ["%1 = div(%0, 30)", "%2 = tanh(%1)", "%3 = mul(30, %2)", "%4 = relu(%3)"]);

    [Fact]
    public void ConditionsOnConstructorParameters() => AssertBody("return new1.Forward(x) + new2.Forward(x);",
        members: "readonly Part new1 = new(true, 2, Act.Gelu), new2 = new(false, 1, Act.Silu, scale: 0.25f);",
        more: """
            enum Act { Silu, Gelu }
            [Fp8Module]
            class Part(bool capped, int times, Act act, float scale = 1f / 3)
            {
                readonly bool both = capped && times > 1;
                public Tensor Forward(Tensor x)
                {
                    for (int i = 0; i < times; i++) { if (i == 1) continue; x = act == Act.Gelu ? Gelu(x) : Silu(x); }
                    if (both) x = 30 * Tanh(x / 30); else if (!capped) x = scale * x;
                    switch (act) { case Act.Gelu: x = Exp(x); break; default: x = Log(x); break; }
                    return act switch { Act.Silu when times > 5 => x, Act.Silu => Abs(x), _ => Neg(x) };
                }
                static Tensor Neg(Tensor x) => -x;
            }
            """,
        expected: ["%1 = gelu(%0)", "%2 = div(%1, 30)", "%3 = tanh(%2)", "%4 = mul(30, %3)", "%5 = exp(%4)", "%6 = neg(%5)",
            "%7 = silu(%0)", "%8 = mul(0.25, %7)", "%9 = log(%8)", "%10 = abs(%9)", "%11 = add(%6, %10)"]);

    [Fact]
    public void OptionalWeights() => AssertBody("return plain.Forward(x) + biased.Forward(x);",
        members: "readonly Affine plain = new(Width, false), biased = new(Width, true);",
        more: """
            [Fp8Module]
            class Affine(Dim width, bool useBias)
            {
                readonly Weight weight = new(width, width);
                readonly Weight? bias = useBias ? new(width) : null;
                public Tensor Forward(Tensor x) => bias is { } b ? Linear(x, weight) + b : Linear(x, weight, bias);
            }
            """,
        expected: ["%1 = linear(%0, plain.weight)", "%2 = linear(%0, biased.weight)", "%3 = add(%2, biased.bias)", "%4 = add(%1, %3)"]);

    [Fact]
    public void LocalFunctionsLambdasAndFunctionParameters() => AssertBody(
        """
        Tensor Twice(Tensor y, double by = 2) => by * y;
        System.Func<Tensor, Tensor> cube = y => y * y * y;
        return mlp.Forward(cube(Twice(x))) + Twice(x, by: 3);
        """,
        members: "readonly Mlp mlp = new(Gelu);",
        more: "[Fp8Module] class Mlp(System.Func<Tensor, Tensor> activation) { public Tensor Forward(Tensor x) => activation(x); }",
        expected: ["%1 = mul(2, %0)", "%2 = mul(%1, %1)", "%3 = mul(%2, %1)", "%4 = gelu(%3)", "%5 = mul(3, %0)", "%6 = add(%4, %5)"]);

    [Fact]
    public void InterfacesAndModulesAsArguments() => AssertBody("return a.Forward(x) + b.Forward(x);",
        members: "readonly Wrap a = new(new Rms(Width)), b = new(new Scale(2));",
        more: """
            interface ILayer { Tensor Forward(Tensor x); }
            [Fp8Module] class Rms(Dim width) : ILayer { readonly Weight gain = new(width) { Init = Init.Ones }; public Tensor Forward(Tensor x) => RmsNorm(x, gain); }
            [Fp8Module] class Scale(double by) : ILayer { Tensor ILayer.Forward(Tensor x) => by * x; }
            [Fp8Module] class Wrap(ILayer inner) { public Tensor Forward(Tensor x) => inner is Rms ? x + inner.Forward(x) : inner.Forward(x); }
            """,
        expected: ["%1 = rms_norm(%0, a.inner.gain, epsilon=1E-05)", "%2 = add(%0, %1)", "%3 = mul(2, %0)", "%4 = add(%2, %3)"]);

    [Fact]
    public void SharedModuleIsOneSetOfWeights() => AssertBody("return a.Forward(a.Forward(x));",
        members: "readonly Part a = new(Width);",
        more: "[Fp8Module] class Part(Dim width) { readonly Weight w = new(width, width); public Tensor Forward(Tensor x) => Linear(x, w); }",
        expected: ["%1 = linear(%0, a.w)", "%2 = linear(%1, a.w)"]);

    [Fact]
    public void ConstructorBodiesTieWeights() => AssertBody("return second.Forward(first.Forward(x));",
        members: "readonly Part first, second; public M() { Weight shared = new(Width, Width); first = new Part(shared); second = new(first.Matrix) { Scale = 2 }; }",
        more: "[Fp8Module] class Part { public Part(Weight w) => Matrix = w; public Weight Matrix { get; } public double Scale { get; init; } = 1; public Tensor Forward(Tensor x) => Scale * Linear(x, Matrix); }",
        expected: ["%1 = linear(%0, shared)", "%2 = mul(1, %1)", "%3 = linear(%2, shared)", "%4 = mul(2, %3)"]);

    [Fact]
    public void ExpressionBodiedPropertiesAndStaticHelpers() => AssertBody("return Helpers.QuickGelu(x) * Half + x.Doubled();",
        members: "static double Half => System.Math.Sqrt(0.25); Tensor Unused => throw new System.Exception();",
        more: "static class Helpers { public static Tensor QuickGelu(Tensor x) => x * Sigmoid(1.702 * x); public static Tensor Doubled(this Tensor x) => 2 * x; }",
        expected: ["%1 = mul(1.702, %0)", "%2 = sigmoid(%1)", "%3 = mul(%0, %2)", "%4 = mul(%3, 0.5)", "%5 = mul(2, %0)", "%6 = add(%4, %5)"]);

    private static void AssertBody(string body, params string[] expected) => AssertBody(body, "", "", expected);

    private static void AssertBody(string body, string members = "", string more = "", string[]? expected = null)
    {
        string[] lines = FrontendTest.Body(body, members, more).Split('\n');
        Assert.Equal("%0 = embed(table, tokens)", lines[0]);
        Assert.Equal(expected!, lines[1..^2]);
    }
}
