using System.Threading.Tasks;
using Fp8Lm.Generators.Tests.Harness;
using Xunit;

namespace Fp8Lm.Generators.Tests.Diagnostics;

/// <summary>FP8L06xx: modules and repeated modules.</summary>
public sealed class ModuleDiagnosticTests
{
    internal const string Layers = "readonly Repeat<L> layers = new(Layers, () => new L(Width));";

    internal const string Layer = "[Fp8Module] class L(Dim width) { readonly Weight w = new(width, width); public Tensor Forward(Tensor x) => Linear(x, w); }";

    [Fact]
    public async Task Cycle()
    {
        string[] messages = await DiagnosticTest.VerifyBody("return a.Forward(x);", "readonly A a = new();",
            "[Fp8Module] class A { readonly B b = new(); public Tensor Forward(Tensor x) => b.Forward(x); } [Fp8Module] class B { readonly A a = [|FP8L0601:new|](); public Tensor Forward(Tensor x) => a.Forward(x); }");
        Assert.Contains("A -> B -> A", messages[0], System.StringComparison.Ordinal);
    }

    [Fact]
    public Task NotAModule() => DiagnosticTest.VerifyBody("return a.Forward(x);", "readonly A a = [|FP8L0602:new|]();", "class A { public Tensor Forward(Tensor x) => x; }");

    [Fact]
    public Task NullModule() => DiagnosticTest.VerifyBody("return [|FP8L0603:layer|]!.Forward(x);", "readonly L? layer = null;", Layer);

    [Fact]
    public Task NullWeight() => DiagnosticTest.VerifyBody("return Linear(x, [|FP8L0603:w|]!);", "readonly Weight? w = null;");

    [Fact]
    public Task IteratedTwice() => DiagnosticTest.VerifyBody("foreach (var l in layers) x = l.Forward(x); foreach (var l in [|FP8L0604:layers|]) x = l.Forward(x); return x;", Layers, Layer);

    [Fact]
    public Task NestedDeclaration() => DiagnosticTest.VerifyBody("foreach (var s in stacks) x = s.Forward(x); return x;", "readonly Repeat<S> stacks = new(2, () => new S(Width));",
        Layer + "[Fp8Module] class S(Dim width) { readonly Repeat<L> inner = [|FP8L0605:new|](2, () => new L(width)); public Tensor Forward(Tensor x) { foreach (var l in inner) x = l.Forward(x); return x; } }");

    [Fact]
    public Task NestedLoops() => DiagnosticTest.VerifyBody("foreach (var a in layers) [|FP8L0605:foreach|] (var b in others) x = b.Forward(a.Forward(x)); return x;",
        Layers + "readonly Repeat<L> others = new(2, () => new L(Width));", Layer);

    [Fact]
    public Task FactoryWithoutModule() => DiagnosticTest.VerifyBody("foreach (var l in layers) x = l.Forward(x); return x;",
        "readonly Repeat<L> layers = new(Layers, [|FP8L0606:() => null!|]);".Replace("() => null!", "Make", System.StringComparison.Ordinal) + " static L Make() => null!;", Layer);

    [Fact]
    public Task ParameterTypes() => DiagnosticTest.VerifyBody("return a.Forward(x);", "readonly A a = new(\"a\");", "[Fp8Module] class A(string [|FP8L0607:name|]) { public Tensor Forward(Tensor x) => x; }");

    [Fact]
    public Task SourceOfAnotherAssembly() => DiagnosticTest.VerifyBody("return Scale(x, System.Globalization.CultureInfo.[|FP8L0608:InvariantCulture|].LCID);",
        "static Tensor Scale(Tensor x, int by) => by * x;");

    [Fact]
    public Task GenericModule() => DiagnosticTest.VerifyBody("return a.Forward(x);", "readonly A<int> a = new();", "[Fp8Module] class [|FP8L0609:A|]<T> { public Tensor Forward(Tensor x) => x; }");

    [Fact]
    public Task NeverIterated() => DiagnosticTest.VerifyBody("return x;", "readonly Repeat<L> [|FP8L0610:layers|] = new(Layers, () => new L(Width));", Layer);

    [Fact]
    public Task BaseClass() => DiagnosticTest.VerifyBody("return a.Forward(x);", "readonly A a = new();", "[Fp8Module] class [|FP8L0116:A|] : B { public Tensor Forward(Tensor x) => x; } class B { }");
}
