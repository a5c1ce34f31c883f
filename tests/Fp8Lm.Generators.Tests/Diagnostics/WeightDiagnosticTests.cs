using System.Threading.Tasks;
using Fp8Lm.Generators.Tests.Harness;
using Xunit;

namespace Fp8Lm.Generators.Tests.Diagnostics;

/// <summary>FP8L02xx: weights and how they are declared.</summary>
public sealed class WeightDiagnosticTests
{
    [Theory]
    [InlineData("return x;", "readonly Weight [|FP8L0201:w|] = new(Width);")]
    [InlineData("Tensor unused = x * w; return x;", "readonly Weight [|FP8L0201:w|] = new(Width);")]
    [InlineData("Tensor y = x; foreach (var l in layers) y = l.Forward(y); return x;", "readonly Repeat<L> layers = new(2, () => new L(Width));")]
    public Task Unused(string body, string members) => DiagnosticTest.VerifyBody(body, members,
        members.Contains("Repeat", System.StringComparison.Ordinal) ? ModuleDiagnosticTests.Layer.Replace(" w =", " [|FP8L0201:w|] =", System.StringComparison.Ordinal) : "");

    [Fact]
    public Task AssignedTwice() => DiagnosticTest.VerifyBody("return x * w;", "readonly Weight w = new(Width); public M() { [|FP8L0202:w|] = new(Width); }");

    [Theory]
    [InlineData("Weight [|FP8L0203:w|] = new(Width);")]
    [InlineData("public Weight [|FP8L0203:w|] { get; set; } = new(Width);")]
    public Task NotReadonly(string member) => DiagnosticTest.VerifyBody("return x * w;", member);

    [Fact]
    public Task NoExtents() => DiagnosticTest.VerifyBody("return x * w;", "readonly Weight w = [|FP8L0204:new|]();");

    [Theory]
    [InlineData("Weight w = [|FP8L0205:new|](Width); return x * w;")]
    [InlineData("return [|FP8L0205:new|] L(Width).Forward(x);")]
    public Task CreatedInForward(string body) => DiagnosticTest.VerifyBody(body, "", ModuleDiagnosticTests.Layer);

    [Fact]
    public Task Static() => DiagnosticTest.VerifyBody("return x * w;", "static readonly Weight [|FP8L0206:w|] = new(Width);");

    [Fact]
    public Task NeverAssigned() => DiagnosticTest.VerifyBody("return x * w;", "readonly Weight [|FP8L0207:w|];");

    [Fact]
    public Task GainAtZero() => DiagnosticTest.VerifyBody("return [|FP8L0208:RmsNorm|](x, w);", "readonly Weight w = new(Width);");

    [Fact]
    public Task FieldAssignedInForward() => DiagnosticTest.VerifyBody("[|FP8L0209:last|] = x; return x;", "Tensor? last;");

    [Theory]
    [InlineData("Init.[|FP8L0210:Normal|](-1)")]
    [InlineData("Init.[|FP8L0210:Constant|](double.NaN)")]
    public Task InitialValues(string init) => DiagnosticTest.VerifyBody("return x * w;", "readonly Weight w = new(Width) { Init = " + init + " };");

    [Theory]
    [InlineData("return x * w;", "readonly Weight [|FP8L0211:w|] = new(Width) { Fp8 = false };")]
    [InlineData("return Linear(x, w);", "readonly Weight [|FP8L0211:w|] = new(Width, Width) { Fp8 = false };")]
    [InlineData("return x * w;", "readonly Weight w = new(Width) { Fp8 = true };")]
    public Task OptingOutOfFp8(string body, string member) => DiagnosticTest.VerifyBody(body, member);
}
