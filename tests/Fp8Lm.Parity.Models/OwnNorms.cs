using static Fp8Lm.Ops;

namespace Fp8Lm.Parity.Models;

/// <summary>Norms written by hand: means of squares, whose factor 1 / columns is a size and no number, times numbers.</summary>
[Fp8Model(Recipes = [Recipe.Fp32, Recipe.Bf16, Recipe.TransformerEngine])]
public partial class OwnNorms
{
    static readonly Dim Vocab = new(), Width = new(), Layers = new();

    [ModelSize] static readonly Size Small = new() { [Vocab] = 48, [Width] = 48, [Layers] = 2 };

    readonly Weight tokens = new(Vocab, Width);
    readonly Repeat<OwnNormsLayer> layers = new(Layers, () => new OwnNormsLayer(Width));

    Tensor Forward(Tokens ids)
    {
        Tensor x = Embed(tokens, ids);
        foreach (OwnNormsLayer layer in layers) x = layer.Forward(x);
        return Linear(x, tokens);
    }
}

[Fp8Module]
public partial class OwnNormsLayer(Dim width)
{
    readonly Weight gain = new(width) { Init = Init.Ones }, bias = new(width), up = new(width, width), down = new(width, width);

    public Tensor Forward(Tensor x)
    {
        Tensor rms = x * Rsqrt(Mean(x * x) + 1e-3f) * gain;
        Tensor centered = x - Mean(x);
        Tensor layer = centered * Rsqrt(2 * Mean(Square(centered)) + 1e-3f) + bias;
        return x + Linear(Silu(Linear(rms, up)) * layer, down) + Mean(x) * 0.5f;
    }
}
