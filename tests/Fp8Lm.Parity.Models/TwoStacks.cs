using static Fp8Lm.Ops;

namespace Fp8Lm.Parity.Models;

/// <summary>Two stacks of different depth, one after the other; layers of the second compute what they need of the first one's last value. Hand-written norms, kinks, capped logits.</summary>
[Fp8Model(Recipes = [Recipe.Fp32, Recipe.Bf16, Recipe.TransformerEngine])]
public partial class TwoStacks
{
    static readonly Dim Vocab = new(), Width = new(), Layers = new(), More = new();

    [ModelSize] static readonly Size Small = new() { [Vocab] = 48, [Width] = 80, [Layers] = 2, [More] = 3 };

    readonly Weight tokens = new(Vocab, Width), scale = new(Width) { Init = Init.Ones };
    readonly Repeat<TwoStacksLayer> layers = new(Layers, () => new TwoStacksLayer(Width));
    readonly Repeat<TwoStacksLayer> more = new(More, () => new TwoStacksLayer(Width));

    Tensor Forward(Tokens ids)
    {
        Tensor x = Embed(tokens, ids), start = x;
        foreach (TwoStacksLayer layer in layers) x = layer.Forward(x);
        Tensor middle = x * scale;
        foreach (TwoStacksLayer layer in more) x = layer.Forward(x + 0.25f * middle);
        Tensor y = x * 2 / 3 - start / 4 + Max(x, middle) * 0.5f - Min(start, 0.1f) * 3;
        y = y * Rsqrt(Mean(Square(y)) * 2 + 1e-3f) * 0.5f + Sum(y) * 0.001f;
        Tensor logits = Linear(y, tokens);
        return Tanh(logits / 15) * 15;
    }
}

[Fp8Module]
public partial class TwoStacksLayer(Dim width)
{
    readonly Weight up = new(width, width), gate = new(width, width), mix = new(width) { Init = Init.Ones };

    public Tensor Forward(Tensor x)
    {
        Tensor n = x * Rsqrt(Mean(Abs(x) * Abs(x)) + 1e-2f);
        Tensor r = Max(Linear(n, up), 0);
        return x + Linear(r * r * 0.5f, gate) * mix * 0.3f + (n - Mean(n) * 2) * 0.1f;
    }
}
