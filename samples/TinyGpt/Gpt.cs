using Fp8Lm;
using static Fp8Lm.Ops;

namespace TinyGpt;

[Fp8Model(Recipes = [Recipe.Fp32, Recipe.Bf16, Recipe.Fp16, Recipe.TransformerEngine, Recipe.Rowwise, Recipe.BlockScaled, Recipe.Fp8LmO1, Recipe.Fp8LmO2, Recipe.Fp8LmO3, Recipe.Coat])]
public partial class Gpt
{
    static readonly Dim Vocab = new(), Context = new(), Width = new(), Heads = new(), Layers = new();

    [ModelSize] static readonly Size Tiny = new() { [Vocab] = 256, [Context] = 128, [Width] = 128, [Heads] = 4, [Layers] = 4 };
    [ModelSize] static readonly Size Bytes125M = new() { [Vocab] = 256, [Context] = 1024, [Width] = 768, [Heads] = 12, [Layers] = 12 };
    [ModelSize] static readonly Size Gpt125M = new() { [Vocab] = 50304, [Context] = 1024, [Width] = 768, [Heads] = 12, [Layers] = 12 };
    [ModelSize] static readonly Size Gpt1B3 = new() { [Vocab] = 50304, [Context] = 2048, [Width] = 2048, [Heads] = 16, [Layers] = 24 };
    [ModelSize] static readonly Size Gpt7B = new() { [Vocab] = 50304, [Context] = 2048, [Width] = 4096, [Heads] = 32, [Layers] = 32 };
    [ModelSize] static readonly Size Gpt175B = new() { [Vocab] = 50304, [Context] = 2048, [Width] = 12288, [Heads] = 96, [Layers] = 96 };

    readonly Weight tokens = new(Vocab, Width), positions = new(Context, Width);
    readonly Repeat<Block> blocks = new(Layers, () => new Block(Width, Heads));
    readonly LayerNormalization norm = new(Width);

    Tensor Forward(Tokens ids)
    {
        Tensor x = Embed(tokens, ids) + PositionEmbed(positions, ids);
        foreach (Block block in blocks) x = block.Forward(x);
        return Linear(norm.Forward(x), tokens);                     // tied head
    }
}

[Fp8Module]
public partial class Block(Dim width, Dim heads)
{
    readonly LayerNormalization attentionNorm = new(width), mlpNorm = new(width);
    readonly Weight qkv = new(3 * width, width), qkvBias = new(3 * width);
    readonly Weight project = new(width, width) { Init = Init.ScaledNormal() }, projectBias = new(width);
    readonly Weight up = new(4 * width, width), upBias = new(4 * width);
    readonly Weight down = new(width, 4 * width) { Init = Init.ScaledNormal() }, downBias = new(width);

    public Tensor Forward(Tensor x)
    {
        x += Attend(attentionNorm.Forward(x));
        return x + Linear(Gelu(Linear(mlpNorm.Forward(x), up, upBias)), down, downBias);
    }

    Tensor Attend(Tensor x)
    {
        var (q, k, v) = Split3(Linear(x, qkv, qkvBias));
        Tensor y = Attention(SplitHeads(q, heads), SplitHeads(k, heads), SplitHeads(v, heads));
        return Linear(MergeHeads(y), project, projectBias);
    }
}

[Fp8Module]
public partial class LayerNormalization(Dim width)
{
    readonly Weight gain = new(width) { Init = Init.Ones }, bias = new(width);

    public Tensor Forward(Tensor x) => LayerNorm(x, gain, bias);
}
