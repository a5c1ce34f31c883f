using static Fp8Lm.Ops;

namespace Fp8Lm.Training.Tests.Generated;

/// <summary>A small compiled model with everything that a resumed run must find again: tied weights, dropout, repeated layers, scales of carried values, a label weight.</summary>
[Fp8Model(Recipes = [Recipe.TransformerEngine, Recipe.TransformerEngineCurrent, Recipe.Bf16, Recipe.Fp32])]
public partial class Drawn
{
    static readonly Dim Vocab = new(), Width = new(), Heads = new(), Layers = new();

    [ModelSize] static readonly Size Small = new() { [Vocab] = 256, [Width] = 32, [Heads] = 2, [Layers] = 2 };

    readonly Weight tokens = new(Vocab, Width);
    readonly Repeat<DrawnLayer> layers = new(Layers, () => new DrawnLayer(Width, Heads));

    Tensor Forward(Tokens ids)
    {
        Tensor x = Dropout(Embed(tokens, ids), 0.1);
        foreach (DrawnLayer layer in layers) x = layer.Forward(x);
        return Linear(RmsNorm(x), tokens);
    }
}

[Fp8Module]
public partial class DrawnLayer(Dim width, Dim heads)
{
    readonly Weight qkv = new(3 * width, width), o = new(width, width), up = new(2 * width, width), bias = new(2 * width), down = new(width, 2 * width);

    public Tensor Forward(Tensor x)
    {
        var (q, k, v) = Split3(Linear(RmsNorm(x), qkv));
        x += Linear(MergeHeads(Attention(Rotary(SplitHeads(q, heads)), Rotary(SplitHeads(k, heads)), SplitHeads(v, heads))), o);
        return x + Dropout(Linear(Silu(Linear(RmsNorm(x), up, bias)), down), 0.1);
    }
}
