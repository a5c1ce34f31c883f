using System;
using System.Linq;
using System.Threading.Tasks;
using Fp8Lm.Generators.Model;
using Fp8Lm.Generators.Tests.Harness;
using Xunit;

namespace Fp8Lm.Generators.Tests.Diagnostics;

/// <summary>FP8L03xx from the compiler's shape inference, at the token the user wrote.</summary>
public sealed class ShapeDiagnosticTests
{
    [Theory]
    [InlineData("return x [|FP8L0301:+|] Concat(x, x);", "")]
    [InlineData("x [|FP8L0301:*=|] w; return x;", "readonly Weight w = new(2 * Width);")]
    [InlineData("return Select(x > 0, x, [|FP8L0301:Min|](x, SplitHeads(x, Heads)));", "")]
    [InlineData("return [|FP8L0302:Linear|](x, w);", "readonly Weight w = new(Width, 2 * Width);")]
    [InlineData("return [|FP8L0303:Linear|](x, w);", "readonly Weight w = new(Width);")]
    [InlineData("return [|FP8L0303:RmsNorm|](x, w);", "readonly Weight w = new(Width, Width);")]
    [InlineData("return [|FP8L0304:LayerNorm|](x, w);", "readonly Weight w = new(Heads) { Init = Init.Ones };")]
    [InlineData("return [|FP8L0304:Linear|](x, w, b);", "readonly Weight w = new(Width, Width), b = new(2 * Width);")]
    [InlineData("Tensor q = SplitHeads(x, Heads), k = SplitHeads(x, 2 * Heads); return MergeHeads([|FP8L0305:Attention|](q, k, k));", "")]
    [InlineData("return [|FP8L0306:Attention|](x, x, x);", "")]
    [InlineData("return MergeHeads([|FP8L0306:Rotary|](x));", "")]
    [InlineData("Tensor k = SplitHeads(Slice(x, 0, 3 * Width / Heads), 3); return MergeHeads([|FP8L0307:Attention|](SplitHeads(x, Heads), k, k));", "")]
    [InlineData("return [|FP8L0308:Reshape|](x, Heads, Heads);", "")]
    [InlineData("return [|FP8L0309:Slice|](x, Width / 2, Width);", "")]
    [InlineData("return MergeHeads([|FP8L0310:Concat|](SplitHeads(x, Heads), x));", "")]
    [InlineData("return MergeHeads([|FP8L0314:Rotary|](SplitHeads(x, Heads), dims: 3));", "")]
    [InlineData("return MergeHeads([|FP8L0314:Rotary|](SplitHeads(x, Heads), dims: 32));", "")]
    [InlineData("return x * [|FP8L0318:Softmax|](v);", "readonly Weight v = new(Width);")]
    [InlineData("return [|FP8L0318:RmsNorm|](v * 2) + x;", "readonly Weight v = new(Width);")]
    [InlineData("return Linear(x, fit) + [|FP8L0318:Linear|](Tanh(v), fit);", "readonly Weight v = new(Width);")]
    [InlineData("return x + [|FP8L0318:Concat|](v, v);", "readonly Weight v = new(Width / 2);")]
    public Task Shapes(string body, string members) => DiagnosticTest.VerifyBody("x = Run2(x); return Linear(x, fit);\n}\nTensor Run2(Tensor x) {" + body, members + "readonly Weight fit = new(Width, Width);");

    [Fact]
    public Task EmbeddingTable() => DiagnosticTest.Verify(LanguageDiagnosticTests.LossModel("x += [|FP8L0311:Embed|](v, ids); return CrossEntropy(x, labels);", "readonly Weight v = new(Vocab);"));

    [Fact]
    public Task Logits() => DiagnosticTest.Verify(LanguageDiagnosticTests.LossModel("return [|FP8L0312:CrossEntropy|](SplitHeads(x, 4), labels);"));

    [Fact]
    public async Task OneMistakeGivesOneMessage()
    {
        string[] messages = await DiagnosticTest.VerifyBody("Tensor h = [|FP8L0302:Linear|](x, w); h = Gelu(h) * 2; return Linear(h + x, w);", "readonly Weight w = new(Width, 4 * Width);");
        Assert.Equal("Linear reads [Width] with a weight of shape [Width, 4 * Width]. The weight must be [outputs, inputs], and inputs must equal the last extent of the input.", Assert.Single(messages));
    }

    /// <summary>C#'s types keep masks and tensors apart, so only a spec that no C# can make shows this one.</summary>
    [Fact]
    public void MaskOperand()
    {
        ModelSpec spec = FrontendTest.Spec(FrontendTest.Model("return Select(x > 0, x, 0);"));
        ModelSpec wrong = spec with { Forward = spec.Forward.Select(s => s is OpSpec { Op: "select" } op ? op with { Op = "gelu", Operands = new([op.Operands[0]]) } : s).ToEquatable() };

        Assert.Equal(["FP8L0315"], ModelCompiler.Compile(wrong).Errors.Select(e => e.Code));
    }
}
