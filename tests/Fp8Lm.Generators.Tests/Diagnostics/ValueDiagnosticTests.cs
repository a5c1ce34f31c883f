using System;
using System.Threading.Tasks;
using Fp8Lm.Generators.Tests.Harness;
using Xunit;

namespace Fp8Lm.Generators.Tests.Diagnostics;

/// <summary>What the front end itself finds about shapes and numbers.</summary>
public sealed class ValueDiagnosticTests
{
    [Fact]
    public async Task LoopThatChangesAShape()
    {
        string[] messages = await DiagnosticTest.VerifyBody("foreach (var l in layers) [|FP8L0313:x|] = Concat(l.Forward(Slice(x, 0, Width)), x); return Slice(x, 0, Width);", ModuleDiagnosticTests.Layers, ModuleDiagnosticTests.Layer);
        Assert.Equal("'x' enters a layer as [Width] and leaves it as [2 * Width]. Layers must keep the shape of what they hand on.", messages[0]);
    }

    [Fact]
    public async Task SplitThatDoesNotCover()
    {
        string[] messages = await DiagnosticTest.VerifyBody("var (a, b) = [|FP8L0316:Split|](x, Width / 2, Width / 4); return Concat(a, b, b);");
        Assert.Contains("3 * Width / 4", messages[0], StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("return Dropout(x, [|FP8L0317:1|]);")]
    [InlineData("return LayerNorm(x, epsilon: [|FP8L0317:0|]);")]
    [InlineData("return MergeHeads(Rotary(SplitHeads(x, Heads), theta: [|FP8L0317:1|]));")]
    [InlineData("return Pow(x, double.[|FP8L0317:NaN|]);")]
    public Task ConstantsOutOfRange(string body) => DiagnosticTest.VerifyBody(body);

    [Fact]
    public Task QuotientOfSums() => DiagnosticTest.VerifyBody("return Slice(x, 0, Width [|FP8L0405:/|] (Heads + 1));");

    [Fact]
    public Task ReshapeToNothing() => DiagnosticTest.VerifyBody("return [|FP8L0308:Reshape|](x);");
}
