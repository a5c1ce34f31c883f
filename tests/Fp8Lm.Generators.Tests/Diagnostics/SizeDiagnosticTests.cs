using System;
using System.Threading.Tasks;
using Fp8Lm.Generators.Tests.Harness;
using Xunit;

namespace Fp8Lm.Generators.Tests.Diagnostics;

/// <summary>FP8L04xx: what a declared size makes of symbolic extents.</summary>
public sealed class SizeDiagnosticTests
{
    [Fact]
    public async Task NotWhole()
    {
        string[] messages = await DiagnosticTest.Verify(Model("Recipe.Fp32", 64, "return Linear(x, w) + [|FP8L0401:Sum|](v);", "new(Width, Width), [|FP8L0401:v|] = new(Width / 3)"));
        Assert.Contains("'Small'", messages[0], StringComparison.Ordinal);
        Assert.Contains("21.333", messages[0], StringComparison.Ordinal);
    }

    [Fact]
    public async Task AlignmentOfFp8Products()
    {
        string[] messages = await DiagnosticTest.Verify(Model("Recipe.TransformerEngine", 72, "return [|FP8L0402:Linear|](x, w);", "new(Width, Width)"));
        Assert.Equal("At size 'Small' the extent Width is 72, but FP8 GEMMs need multiples of 16. The nearest is 80.", messages[0]);
    }

    [Fact]
    public Task HeadSize() => DiagnosticTest.Verify(Model("Recipe.Fp32", 64, "Tensor h = SplitHeads(Linear(x, w), 8); return MergeHeads([|FP8L0403:Attention|](h, h, h));", "new(Width, Width)"));

    [Fact]
    public Task PitchOfBf16Rows() => DiagnosticTest.Verify(Model("Recipe.Bf16", 68, "return [|FP8L0404:Linear|](x, w);", "new(Width, Width)"));

    private static string Model(string recipe, int width, string body, string weight) => $$"""
        [Fp8Model(Recipes = [{{recipe}}])] partial class M
        {
            static readonly Dim Vocab = new(), Width = new();
            [ModelSize] static readonly Size Small = new() { [Vocab] = 256, [Width] = {{width}} };
            readonly Weight table = new(Vocab, Width);
            readonly Repeat<L> layers = new(2, () => new L(Width));
            Tensor Forward(Tokens ids)
            {
                Tensor x = Embed(table, ids);
                foreach (var layer in layers) x = layer.Forward(x);
                return x;
            }
        }
        [Fp8Module] class L(Dim Width)
        {
            readonly Weight w = {{weight}};
            public Tensor Forward(Tensor x) { {{body}} }
        }
        """;
}
