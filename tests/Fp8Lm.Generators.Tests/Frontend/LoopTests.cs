using System.Linq;
using Fp8Lm.Generators.Model;
using Fp8Lm.Generators.Tests.Harness;
using Xunit;

namespace Fp8Lm.Generators.Tests.Frontend;

/// <summary>foreach over repeated modules: one region, whatever the number of layers.</summary>
public sealed class LoopTests
{
    private const string Layer = """
        [Fp8Module] class Layer(Dim width)
        {
            readonly Weight w = new(width, width);
            public Tensor Forward(Tensor x) => Linear(x, w);
            public (Tensor, Tensor) Both(Tensor x, Tensor y) => (Linear(x, w), y);
        }
        """;

    private const string Layers = "readonly Repeat<Layer> layers = new(Layers, () => new Layer(Width));";

    [Fact]
    public void OneCarriedValue() => AssertLoop("foreach (Layer layer in layers) x = x + layer.Forward(x); return x;",
        "loop layers x Layers: %1 <- %0", "  %2 = linear(%1, layers.*.w)", "  %3 = add(%1, %2)", "end: %4 <- %3");

    [Fact]
    public void LoopInvariantsAreCaptured() => AssertLoop("Tensor first = Gelu(x); foreach (var layer in layers) x = layer.Forward(x) + first; return x;",
        "%1 = gelu(%0)", "loop layers x Layers: %2 <- %0", "  %3 = linear(%2, layers.*.w)", "  %4 = add(%3, %1)", "end: %5 <- %4");

    [Fact]
    public void SeveralCarriedValues() => AssertLoop(
        "Tensor sum = x * 0; foreach (var layer in layers) { (x, _) = layer.Both(x, sum); sum += x; } return sum;",
        "%1 = mul(%0, 0)", "loop layers x Layers: %2 <- %0, %3 <- %1", "  %4 = linear(%2, layers.*.w)", "  %5 = add(%3, %4)", "end: %6 <- %4, %7 <- %5");

    [Fact]
    public void TemporariesDeclaredOutsideAreNotCarried() => AssertLoop(
        "Tensor h = Exp(x); Tensor unset; foreach (var layer in layers) { h = Concat(x, x); unset = x; x = layer.Forward(unset + Sum(h)); } return x;",
        "%1 = exp(%0)", "loop layers x Layers: %2 <- %0", "  %3 = concat(%2, %2)", "  %4 = sum(%3)", "  %5 = add(%2, %4)", "  %6 = linear(%5, layers.*.w)", "end: %7 <- %6");

    [Fact]
    public void LocalFunctionsThatAssignOuterLocals() => AssertLoop(
        "void Add(Tensor y) { x += y; } foreach (var layer in layers) Add(layer.Forward(x)); return x;",
        "loop layers x Layers: %1 <- %0", "  %2 = linear(%1, layers.*.w)", "  %3 = add(%1, %2)", "end: %4 <- %3");

    [Fact]
    public void WeightsAsInitialValuesGetAnId() => AssertLoop(
        "Tensor y = gain; foreach (var layer in layers) y = layer.Forward(x) * y; return y;",
        ["%1 = mul(gain, 1)", "loop layers x Layers: %2 <- %1", "  %3 = linear(%0, layers.*.w)", "  %4 = mul(%3, %2)", "end: %5 <- %4"],
        Layers + "readonly Weight gain = new(Width);");

    [Fact]
    public void LoopsInSequenceAreNumberedInProgramOrder()
    {
        ModelSpec spec = FrontendTest.Spec(FrontendTest.Model(
            "foreach (var layer in second) x = layer.Forward(x); foreach (var layer in first) x = layer.Forward(x); return x;",
            "readonly Repeat<Layer> first = new(Layers, () => new Layer(Width)), second = new(2 * Layers, () => { return new(Width); }) { Checkpoint = true };", Layer));

        LoopSpec[] loops = [.. spec.Forward.OfType<LoopSpec>()];
        Assert.Equal(["second", "first"], loops.Select(l => l.Name));
        Assert.Equal([0, 1], loops.Select(l => l.Id));
        Assert.Equal("2 * Layers", loops[0].Count.ToString());
        Assert.True(loops[0].Checkpoint);
        Assert.Equal(["table", "first.*.w", "second.*.w"], spec.Parameters.Select(p => p.Path));
        Assert.Equal([-1, 1, 0], spec.Parameters.Select(p => p.Loop));
    }

    [Fact]
    public void RepeatInsideAModule() => AssertLoop("return stack.Forward(x);",
        ["loop stack_inner x Layers: %1 <- %0", "  %2 = linear(%1, stack.inner.*.w)", "end: %3 <- %2"],
        "readonly Stack stack = new(Width, Layers);",
        "[Fp8Module] class Stack(Dim width, Dim layers) { readonly Repeat<Layer> inner = new(layers, () => new(width)); public Tensor Forward(Tensor x) { foreach (var l in inner) x = l.Forward(x); return x; } }");

    [Fact]
    public void LayersMayShareOneModule() => AssertLoop("foreach (var layer in layers) x = layer.Forward(x); return x;",
        ["loop layers x Layers: %1 <- %0", "  %2 = linear(%1, one.w)", "end: %3 <- %2"],
        "readonly Repeat<Layer> layers; public M() { Layer one = new(Width); layers = new(Layers, () => one); }");

    private static void AssertLoop(string body, params string[] expected) => AssertLoop(body, expected, Layers);

    private static void AssertLoop(string body, string[] expected, string members, string more = "")
    {
        string[] lines = FrontendTest.Body(body, members, Layer + more).Split('\n');
        Assert.Equal(expected, lines[1..^2]);
    }
}
