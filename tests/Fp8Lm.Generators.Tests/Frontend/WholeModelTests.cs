using Fp8Lm.Generators.Model;
using Fp8Lm.Generators.Tests.Harness;
using Xunit;

namespace Fp8Lm.Generators.Tests.Frontend;

public sealed class WholeModelTests
{
    [Fact]
    public void Gpt() => Assert.Equal(
        """
            tokens [Vocab, Width] Normal(0.02) decay
            positions [Context, Width] Normal(0.02) decay
            blocks.*.attentionNorm.gain [Width] Ones(1) loop 0
            blocks.*.attentionNorm.bias [Width] Zeros(0) loop 0
            blocks.*.mlpNorm.gain [Width] Ones(1) loop 0
            blocks.*.mlpNorm.bias [Width] Zeros(0) loop 0
            blocks.*.qkv [3 * Width, Width] Normal(0.02) loop 0 decay
            blocks.*.qkvBias [3 * Width] Zeros(0) loop 0
            blocks.*.project [Width, Width] ScaledNormal(0.02) loop 0 decay
            blocks.*.projectBias [Width] Zeros(0) loop 0
            blocks.*.up [4 * Width, Width] Normal(0.02) loop 0 decay
            blocks.*.upBias [4 * Width] Zeros(0) loop 0
            blocks.*.down [Width, 4 * Width] ScaledNormal(0.02) loop 0 decay
            blocks.*.downBias [Width] Zeros(0) loop 0
            norm.gain [Width] Ones(1)
            norm.bias [Width] Zeros(0)
            %0 = embed(tokens, tokens)
            %1 = position_embed(positions)
            %2 = add(%0, %1)
            loop blocks x Layers: %3 <- %2
              %4 = layer_norm(%3, blocks.*.attentionNorm.gain, blocks.*.attentionNorm.bias, epsilon=1E-05)
              %5 = linear(%4, blocks.*.qkv, blocks.*.qkvBias)
              %6 = slice(%5, start=0, length=Width)
              %7 = slice(%5, start=Width, length=Width)
              %8 = slice(%5, start=2 * Width, length=Width)
              %9 = reshape(%6, shape=[Heads, Width / Heads])
              %10 = reshape(%7, shape=[Heads, Width / Heads])
              %11 = reshape(%8, shape=[Heads, Width / Heads])
              %12 = attention(%9, %10, %11, scale=0)
              %13 = reshape(%12, shape=Width)
              %14 = linear(%13, blocks.*.project, blocks.*.projectBias)
              %15 = add(%3, %14)
              %16 = layer_norm(%15, blocks.*.mlpNorm.gain, blocks.*.mlpNorm.bias, epsilon=1E-05)
              %17 = linear(%16, blocks.*.up, blocks.*.upBias)
              %18 = gelu(%17)
              %19 = linear(%18, blocks.*.down, blocks.*.downBias)
              %20 = add(%15, %19)
            end: %21 <- %20
            %22 = layer_norm(%21, norm.gain, norm.bias, epsilon=1E-05)
            %23 = linear(%22, tokens)
            %24 = cross_entropy(%23, labels, z_loss=0)
            """,
        FrontendTest.Print(ModelSources.Gpt));

    [Fact]
    public void Llama() => Assert.Equal(
        """
            tokens [Vocab, Width] Normal(0.02) decay
            head [Vocab, Width] Normal(0.02) decay
            blocks.*.attention.query [Width, Width] Normal(0.02) loop 0 decay
            blocks.*.attention.key [KvHeads * Width / Heads, Width] Normal(0.02) loop 0 decay
            blocks.*.attention.value [KvHeads * Width / Heads, Width] Normal(0.02) loop 0 decay
            blocks.*.attention.output [Width, Width] ScaledNormal(0.02) loop 0 decay
            blocks.*.mlp.gate [Hidden, Width] Normal(0.02) loop 0 decay
            blocks.*.mlp.up [Hidden, Width] Normal(0.02) loop 0 decay
            blocks.*.mlp.down [Width, Hidden] ScaledNormal(0.02) loop 0 decay
            blocks.*.attentionGain [Width] Ones(1) loop 0
            blocks.*.mlpGain [Width] Ones(1) loop 0
            finalGain [Width] Ones(1)
            %0 = embed(tokens, tokens)
            loop blocks x Layers checkpoint: %1 <- %0
              %2 = rms_norm(%1, blocks.*.attentionGain, epsilon=1E-05)
              %3 = linear(%2, blocks.*.attention.query)
              %4 = reshape(%3, shape=[Heads, Width / Heads])
              %5 = rotary(%4, base=500000, interleaved=0)
              %6 = linear(%2, blocks.*.attention.key)
              %7 = reshape(%6, shape=[KvHeads, Width / Heads])
              %8 = rotary(%7, base=500000, interleaved=0)
              %9 = linear(%2, blocks.*.attention.value)
              %10 = reshape(%9, shape=[KvHeads, Width / Heads])
              %11 = attention(%5, %8, %10, scale=0)
              %12 = reshape(%11, shape=Width)
              %13 = linear(%12, blocks.*.attention.output)
              %14 = add(%1, %13)
              %15 = rms_norm(%14, blocks.*.mlpGain, epsilon=1E-05)
              %16 = linear(%15, blocks.*.mlp.gate)
              %17 = silu(%16)
              %18 = linear(%15, blocks.*.mlp.up)
              %19 = mul(%17, %18)
              %20 = linear(%19, blocks.*.mlp.down)
              %21 = add(%14, %20)
            end: %22 <- %21
            %23 = rms_norm(%22, finalGain, epsilon=1E-05)
            %24 = linear(%23, head)
            %25 = cross_entropy(%24, labels, z_loss=9.999999747378752E-05)
            """,
        FrontendTest.Print(ModelSources.Llama));

    [Fact]
    public void SizesBindEveryDimensionInDeclarationOrder()
    {
        ModelSpec spec = FrontendTest.Spec(ModelSources.Gpt);

        Assert.Equal(["Vocab", "Context", "Width", "Heads", "Layers"], spec.Dims);
        Assert.Equal(["Tiny", "Gpt125M", "Gpt7B"], [.. System.Linq.Enumerable.Select(spec.Sizes, s => s.Name)]);
        Assert.Equal([50304, 1024, 768, 12, 12], spec.Sizes[1].Values);
        Assert.Equal(new TypeHierarchy("", EquatableArray<string>.Empty, "public partial class Gpt", "Gpt"), spec.Type);
    }
}
