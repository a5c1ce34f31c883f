using static Fp8Lm.Ops;

namespace Fp8Lm.Parity.Models;

/// <summary>Value residuals from before the loop, QK norm per head, one tensor as query, key and value, two attentions that share keys, a dense mixture of experts, the table in every layer.</summary>
[Fp8Model(Recipes = [Recipe.Fp32, Recipe.Bf16])]
public partial class DenseExperts
{
    static readonly Dim Vocab = new(), Width = new(), Heads = new(), Layers = new();

    [ModelSize] static readonly Size Small = new() { [Vocab] = 48, [Width] = 64, [Heads] = 4, [Layers] = 3 };

    readonly Weight tokens = new(Vocab, Width), v0 = new(Width, Width);
    readonly Repeat<DenseExpertsLayer> layers;
    public DenseExperts() => layers = new(Layers, () => new DenseExpertsLayer(Width, Heads, tokens));

    Tensor Forward(Tokens ids)
    {
        Tensor x = RmsNorm(Embed(tokens, ids));
        Tensor first = SplitHeads(Linear(x, v0), Heads);
        foreach (DenseExpertsLayer l in layers) x = l.Forward(x, first);
        return Linear(x, tokens);
    }
}

[Fp8Module]
public partial class DenseExpertsLayer(Dim width, Dim heads, Weight table)
{
    readonly Weight q = new(width, width), k = new(width, width), mix = new(1) { Init = Init.Ones }, proj = new(width, width);
    readonly Weight router = new(16, width), up = new(4 * width, width), down = new(width, width), gain = new(width / heads) { Init = Init.Ones };

    public Tensor Forward(Tensor x, Tensor first)
    {
        Tensor n = RmsNorm(x);
        Tensor qh = RmsNorm(SplitHeads(Linear(n, q), heads), gain), kh = RmsNorm(SplitHeads(Linear(n, k), heads), gain);
        Tensor v = kh * mix + first * (1 - mix);
        Tensor one = Attention(Rotary(qh), Rotary(kh), v), two = Attention(qh, kh, first, window: 5), self = Attention(first, first, first);
        x += Linear(MergeHeads(one + two * 0.5f + one * self), proj);
        Tensor p = Softmax(Linear(RmsNorm(x), router));
        var (e0, e1, e2, e3) = Split4(Silu(Linear(RmsNorm(x), up)));
        Tensor mixed = e0 * Slice(p, 0, 1) + e1 * Slice(p, 1, 1) + e2 * Slice(p, 2, 1) + e3 * Slice(p, 3, 1);
        Tensor probs = Softmax(Linear(x, table));
        return x + Linear(mixed, down) + Slice(probs, 0, 1) * x * ReduceMax(p);
    }
}
