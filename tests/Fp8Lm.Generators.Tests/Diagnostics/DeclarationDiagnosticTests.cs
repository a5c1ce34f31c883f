using System.Threading.Tasks;
using Fp8Lm.Generators.Tests.Harness;
using Xunit;

namespace Fp8Lm.Generators.Tests.Diagnostics;

/// <summary>FP8L01xx: models, dimensions and sizes.</summary>
public sealed class DeclarationDiagnosticTests
{
    private const string Rest = """
            static readonly Dim Vocab = new();
            [ModelSize] static readonly Size S = new() { [Vocab] = 16 };
            readonly Weight table = new(Vocab, Vocab);
            Tensor Forward(Tokens ids) => Embed(table, ids);
        """;

    [Fact]
    public Task NotPartial() => DiagnosticTest.Verify("[Fp8Model] class [|FP8L0101:M|] {" + Rest + "}");

    [Fact]
    public Task InsideNotPartial() => DiagnosticTest.Verify("class Outer { [Fp8Model] partial class [|FP8L0102:M|] {" + Rest + "} }");

    [Fact]
    public Task Generic() => DiagnosticTest.Verify("[Fp8Model] partial class [|FP8L0103:M|]<T> {" + Rest + "}");

    [Theory]
    [InlineData("abstract")]
    [InlineData("file")]
    public Task AbstractOrFile(string modifier) => DiagnosticTest.Verify("[Fp8Model] " + modifier + " partial class [|FP8L0104:M|] {" + Rest + "}");

    [Fact]
    public Task ForwardMissing() => DiagnosticTest.Verify(
        "[Fp8Model] partial class [|FP8L0105:M|] { static readonly Dim Vocab = new(); [ModelSize] static readonly Size S = new() { [Vocab] = 16 }; }");

    [Theory]
    [InlineData("Tensor [|FP8L0106:Forward|]() => null!;")]
    [InlineData("Loss [|FP8L0106:Forward|](Tokens ids) => null!;")]
    [InlineData("static Tensor [|FP8L0106:Forward|](Tokens ids) => null!;")]
    [InlineData("int [|FP8L0106:Forward|](Tokens ids, Labels labels) => 1;")]
    public Task ForwardSignature(string forward) => DiagnosticTest.Verify(
        "[Fp8Model] partial class M { static readonly Dim Vocab = new(); [ModelSize] static readonly Size S = new() { [Vocab] = 16 }; " + forward + " }");

    [Fact]
    public async Task NoSizes()
    {
        string[] messages = await DiagnosticTest.Verify(
            "[Fp8Model] partial class [|FP8L0107:M|] { static readonly Dim Vocab = new(); readonly Weight t = new(Vocab, Vocab); Tensor Forward(Tokens ids) => Embed(t, ids); }");
        Assert.Contains("{ [Vocab] = ... }", messages[0], System.StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("static readonly Size [|FP8L0108:S|] = new() { };")]
    [InlineData("static readonly Size S = new() { [Vocab] = 16, [4 [|FP8L0109:*|] Vocab] = 1 };")]
    [InlineData("static readonly Size S = new() { [Vocab] = 16, [[|FP8L0110:Vocab|]] = 32 };")]
    [InlineData("static readonly Size S = new() { [Vocab] = [|FP8L0111:0|] };")]
    [InlineData("static readonly Size S = new() { [Vocab] = [|FP8L0111:Count|] }; const long Count = 1L << 40;")]
    [InlineData("readonly Size [|FP8L0114:S|] = new() { [Vocab] = 16 };")]
    [InlineData("static readonly Size [|FP8L0114:S|] = Make(); static Size Make() => new() { [Vocab] = 16 };")]
    public Task Sizes(string size) => DiagnosticTest.Verify("[Fp8Model] partial class M {" + Rest.Replace("static readonly Size S = new() { [Vocab] = 16 };", size, System.StringComparison.Ordinal) + "}");

    [Theory]
    [InlineData("static readonly Dim [|FP8L0112:Sequence|] = new();", "Sequence")]
    [InlineData("static Dim [|FP8L0113:Open|] = new();", "Open")]
    [InlineData("readonly Dim [|FP8L0113:Mine|] = new();", "Mine")]
    public Task Dims(string declaration, string name) => DiagnosticTest.Verify(
        "[Fp8Model] partial class M {" + Rest + declaration + " readonly Weight w = new(" + (declaration.StartsWith("readonly", System.StringComparison.Ordinal) ? "Vocab" : name) + "); }");

    [Fact]
    public Task ConstructorWithParameters() => DiagnosticTest.Verify("[Fp8Model] partial class [|FP8L0115:M|](int n) {" + Rest + " int N => n; }");

    [Fact]
    public Task BaseClass() => DiagnosticTest.Verify("class Base { } [Fp8Model] partial class [|FP8L0116:M|] : Base {" + Rest + "}");

    [Fact]
    public Task SizeWithoutAttribute() => DiagnosticTest.Verify("[Fp8Model] partial class M {" + Rest + "static readonly Size [|FP8L0117:Other|] = new() { [Vocab] = 32 }; }");
}
