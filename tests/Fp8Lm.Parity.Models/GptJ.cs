using static Fp8Lm.Ops;

namespace Fp8Lm.Parity.Models;

/// <summary>GPT-J: attention and MLP read one norm and are added together; a leading part of each head turns, in neighbouring pairs.</summary>
[Fp8Model(Recipes = [Recipe.Fp32, Recipe.Bf16, Recipe.Fp16, Recipe.TransformerEngine, Recipe.TransformerEngineCurrent])]
public partial class GptJ
{
    static readonly Dim Vocab = new(), Width = new(), Heads = new(), Turned = new(), Layers = new();

    [ModelSize] static readonly Size Small = new() { [Vocab] = 56, [Width] = 64, [Heads] = 2, [Turned] = 16, [Layers] = 2 };
    [ModelSize] static readonly Size Golden = new() { [Vocab] = 56, [Width] = 32, [Heads] = 2, [Turned] = 8, [Layers] = 2 };

    readonly Weight tokens = new(Vocab, Width), head = new(Vocab, Width), headBias = new(Vocab);
    readonly Weight gain = new(Width) { Init = Init.Ones }, bias = new(Width);
    readonly Repeat<GptJBlock> blocks = new(Layers, () => new(Width, Heads, Turned));

    Tensor Forward(Tokens ids)
    {
        Tensor x = Embed(tokens, ids);
        foreach (GptJBlock block in blocks) x = block.Forward(x);
        return Linear(LayerNorm(x, gain, bias), head, headBias);
    }
}

[Fp8Module]
public partial class GptJBlock(Dim width, Dim heads, Dim turned)
{
    readonly Weight gain = new(width) { Init = Init.Ones }, bias = new(width);
    readonly Weight q = new(width, width), k = new(width, width), v = new(width, width), o = new(width, width);
    readonly Weight up = new(4 * width, width), upBias = new(4 * width), down = new(width, 4 * width), downBias = new(width);

    public Tensor Forward(Tensor x)
    {
        Tensor h = LayerNorm(x, gain, bias);
        Tensor Turn(Tensor t) => Rotary(SplitHeads(t, heads), interleaved: true, dims: turned);
        Tensor attended = MergeHeads(Attention(Turn(Linear(h, q)), Turn(Linear(h, k)), SplitHeads(Linear(h, v), heads)));
        return x + Linear(attended, o) + Linear(Gelu(Linear(h, up, upBias)), down, downBias);
    }
}
