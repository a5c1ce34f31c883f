using System.Threading.Tasks;
using Fp8Lm.Generators.Tests.Harness;
using Xunit;

namespace Fp8Lm.Generators.Tests.Diagnostics;

/// <summary>FP8L07xx: C# that is no model.</summary>
public sealed class LanguageDiagnosticTests
{
    [Theory]
    [InlineData("[|FP8L0701:while|] (true) { } return x;")]
    [InlineData("[|FP8L0701:do|] { } while (false); return x;")]
    [InlineData("[|FP8L0701:try|] { x = Gelu(x); } finally { } return x;")]
    [InlineData("[|FP8L0701:goto|] end; end: return x;")]
    [InlineData("[|FP8L0701:throw|] new System.Exception();")]
    [InlineData("[|FP8L0701:lock|] (x) { } return x;")]
    [InlineData("[|FP8L0701:using|] (null) { } return x;")]
    public Task Statements(string body) => DiagnosticTest.VerifyBody(body);

    [Theory]
    [InlineData("return new[] { x }[|FP8L0702:[0]|];")]
    [InlineData("return Named(x, [|FP8L0702:$\"{1}\"|]);")]
    [InlineData("return nothing ?? [|FP8L0702:throw|] new System.Exception();")]
    [InlineData("return part[|FP8L0702:?|].Forward(x)!;")]
    public Task Expressions(string body) => DiagnosticTest.VerifyBody(
        body,
        "static Tensor? nothing => null; readonly Part? part = new(); static Tensor Named(Tensor x, string s) => s is null ? -x : x;",
        "[Fp8Module] class Part { public Tensor Forward(Tensor x) => x; }");

    [Fact]
    public async Task Calls()
    {
        string[] messages = await DiagnosticTest.VerifyBody("System.Console.[|FP8L0703:WriteLine|](1); return x;");
        Assert.Contains("WriteLine", messages[0], System.StringComparison.Ordinal);
    }

    [Fact]
    public Task ConditionOnADimension() => DiagnosticTest.VerifyBody("if (Width [|FP8L0704:==|] Heads) x = Gelu(x); return x;");

    [Theory]
    [InlineData("if (x [|FP8L0705:>|] 0) x = -x; return x;")]
    [InlineData("return x [|FP8L0705:<|] 0 ? -x : x;")]
    public Task ConditionOnData(string body) => DiagnosticTest.VerifyBody(body);

    [Fact]
    public Task TypesOfMembers() => DiagnosticTest.VerifyBody("return x * [|FP8L0707:values|].Length;", "readonly string values = new('a', 3);");

    [Fact]
    public Task Recursion() => DiagnosticTest.VerifyBody("return Again(x);", "Tensor Again(Tensor x) => [|FP8L0706:Again|](Gelu(x));");

    [Fact]
    public Task TypesOfLocals() => DiagnosticTest.VerifyBody("string [|FP8L0707:name|] = \"x\"; return x;");

    [Fact]
    public Task MissingValue() => DiagnosticTest.Verify(
        """
        [Fp8Model] partial class M
        {
            static readonly Dim Vocab = new();
            [ModelSize] static readonly Size S = new() { [Vocab] = 16 };
            Tensor [|FP8L0708:Forward|](Tokens ids) => null!;
        }
        """);

    [Fact]
    public Task Indexing() => DiagnosticTest.VerifyBody("return x[|FP8L0709:[0]|];");

    [Fact]
    public Task ForeachOverSomethingElse() => DiagnosticTest.VerifyBody("[|FP8L0710:foreach|] (char c in \"abc\") x = Gelu(x); return x;");

    [Theory]
    [InlineData("foreach (var l in layers) { x = l.Forward(x); [|FP8L0711:break|]; } return x;")]
    [InlineData("foreach (var l in layers) { x = l.Forward(x); [|FP8L0711:continue|]; } return x;")]
    [InlineData("foreach (var l in layers) { [|FP8L0711:return|] l.Forward(x); } return x;")]
    public Task LeavingTheLayers(string body) => DiagnosticTest.VerifyBody(body, ModuleDiagnosticTests.Layers, ModuleDiagnosticTests.Layer);

    [Theory]
    [InlineData("int n = 0; foreach (var l in layers) { x = l.Forward(x); [|FP8L0712:n|]++; } return x;")]
    [InlineData("Tensor? y = null; foreach (var l in layers) { x = l.Forward(x); [|FP8L0712:y|] = x; } return x;")]
    public Task CarriedValues(string body) => DiagnosticTest.VerifyBody(body, ModuleDiagnosticTests.Layers, ModuleDiagnosticTests.Layer);

    [Theory]
    [InlineData("[|FP8L0713:for|] (;;) x = Gelu(x);")]
    [InlineData("[|FP8L0713:for|] (int i = 0; i < 1000000; i++) x = Gelu(x); return x;")]
    public Task EndlessFor(string body) => DiagnosticTest.VerifyBody(body);

    [Fact]
    public Task ReferenceParameters() => DiagnosticTest.VerifyBody("Change(ref x); return x;", "void Change(ref Tensor [|FP8L0714:x|]) => x = Gelu(x);");

    [Fact]
    public Task LossComputedTwice() => DiagnosticTest.Verify(LossModel("CrossEntropy(x, labels); return [|FP8L0715:CrossEntropy|](x, labels);"));

    [Fact]
    public Task LossInALoop() => DiagnosticTest.Verify(
        LossModel("foreach (var l in layers) { x = l.Forward(x); [|FP8L0715:CrossEntropy|](x, labels); } return CrossEntropy(x, labels);",
            "readonly Repeat<L> layers = new(2, () => new L(Vocab));", "[Fp8Module] class L(Dim w) { readonly Weight p = new(w, w); public Tensor Forward(Tensor x) => Linear(x, p); }"));

    [Fact]
    public Task ArgumentsThatMustBeConstant() => DiagnosticTest.VerifyBody("return Pow(x, [|FP8L0716:factor|]);", "static double factor = 3;");

    [Fact]
    public Task TooManyOperations() => DiagnosticTest.VerifyBody("for (int i = 0; i < 1000; i++) for (int j = 0; j < 1000; j++) x = [|FP8L0717:Gelu|](x); return x;");

    [Fact]
    public Task DivisionByZero() => DiagnosticTest.VerifyBody("return part.Forward(x);", "readonly Part part = new(0);",
        "[Fp8Module] class Part(int n) { public Tensor Forward(Tensor x) => (1 [|FP8L0718:/|] n) * x; }");

    [Fact]
    public Task CapturedVariables() => DiagnosticTest.VerifyBody(
        "System.Action<Tensor> add = y => { [|FP8L0719:x|] = y; }; foreach (var l in layers) add(l.Forward(x)); return x;", ModuleDiagnosticTests.Layers, ModuleDiagnosticTests.Layer);

    internal static string LossModel(string body, string members = "", string more = "") => $$"""
        [Fp8Model] partial class M
        {
            static readonly Dim Vocab = new();
            [ModelSize] static readonly Size S = new() { [Vocab] = 16 };
            readonly Weight table = new(Vocab, Vocab);
            {{members}}
            Loss Forward(Tokens ids, Labels labels) { Tensor x = Embed(table, ids); {{body}} }
        }
        {{more}}
        """;
}
