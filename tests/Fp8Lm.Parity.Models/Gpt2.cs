using static Fp8Lm.Ops;

namespace Fp8Lm.Parity.Models;

/// <summary>GPT-2: learned positions, LayerNorm with bias before each part, tanh GELU, tied head (Radford et al. 2019).</summary>
[Fp8Model(Recipes = [Recipe.Fp32, Recipe.Bf16, Recipe.Fp16, Recipe.TransformerEngine, Recipe.TransformerEngineCurrent, Recipe.Rowwise, Recipe.BlockScaled, Recipe.Fp8LmO1, Recipe.Fp8LmO2, Recipe.Fp8LmO3])]
public partial class Gpt2
{
    static readonly Dim Vocab = new(), Context = new(), Width = new(), Heads = new(), Layers = new();

    [ModelSize] static readonly Size Small = new() { [Vocab] = 64, [Context] = 32, [Width] = 64, [Heads] = 4, [Layers] = 2 };
    [ModelSize] static readonly Size Golden = new() { [Vocab] = 64, [Context] = 32, [Width] = 32, [Heads] = 2, [Layers] = 2 };
    [ModelSize] static readonly Size Curve = new() { [Vocab] = 256, [Context] = 128, [Width] = 128, [Heads] = 4, [Layers] = 4 };

    readonly Weight tokens = new(Vocab, Width), positions = new(Context, Width);
    readonly Repeat<Gpt2Block> blocks = new(Layers, () => new Gpt2Block(Width, Heads));
    readonly Gpt2Norm norm = new(Width);

    Tensor Forward(Tokens ids)
    {
        Tensor x = Embed(tokens, ids) + PositionEmbed(positions, ids);
        foreach (Gpt2Block block in blocks) x = block.Forward(x);
        return Linear(norm.Forward(x), tokens);
    }
}

[Fp8Module]
public partial class Gpt2Block(Dim width, Dim heads)
{
    readonly Gpt2Norm attentionNorm = new(width), mlpNorm = new(width);
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
public partial class Gpt2Norm(Dim width)
{
    readonly Weight gain = new(width) { Init = Init.Ones }, bias = new(width);

    public Tensor Forward(Tensor x) => LayerNorm(x, gain, bias);
}
