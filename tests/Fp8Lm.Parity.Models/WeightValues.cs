using static Fp8Lm.Ops;

namespace Fp8Lm.Parity.Models;

/// <summary>What loops capture that is not one row a token: numbers and vectors computed from weights outside, positions, reductions; loops that follow each other; a carried value that only some layers' results reach.</summary>
[Fp8Model(Recipes = [Recipe.Fp32, Recipe.Bf16, Recipe.TransformerEngine])]
public partial class WeightValues
{
    static readonly Dim Vocab = new(), Width = new(), Layers = new(), Context = new();

    [ModelSize] static readonly Size Small = new() { [Vocab] = 48, [Width] = 64, [Layers] = 3, [Context] = 64 };

    readonly Weight tokens = new(Vocab, Width), positions = new(Context, Width), gate = new(Width) { Init = Init.Ones }, one = new(1) { Init = Init.Ones }, mat = new(4, Width / 4);
    readonly Weight wq = new(Width, Width);
    readonly Repeat<WeightValuesLayer> a, b;

    public WeightValues()
    {
        a = new(Layers, () => new WeightValuesLayer(Width, wq, gate));
        b = new(Layers, () => new WeightValuesLayer(Width, wq, gate));
    }

    Tensor Forward(Tokens ids)
    {
        Tensor g = Tanh(gate) * one, pos = PositionEmbed(positions, ids), t = Sigmoid(one * 3) + Mean(gate), heads = Sigmoid(mat);
        Tensor x = Embed(tokens, ids) * (1 + gate);
        Tensor kept = x, counter = one * 0.1f;
        foreach (WeightValuesLayer l in a) { x = l.Forward(x, g, pos, t, heads); kept = x * 0.5f + kept; }
        foreach (WeightValuesLayer l in b) { x = l.Forward(x, g, pos * 2, t, heads); }
        return Linear(RmsNorm(x + kept * t + pos), tokens);
    }
}

[Fp8Module]
public partial class WeightValuesLayer(Dim width, Weight wq, Weight gate)
{
    readonly Weight v = new(width, width), o = new(width, width);

    public Tensor Forward(Tensor x, Tensor g, Tensor pos, Tensor t, Tensor heads)
    {
        Tensor n = RmsNorm(x, gate);
        Tensor q = SplitHeads(Linear(n, wq), 4) * heads;
        Tensor y = Attention(q, q, SplitHeads(Linear(n + pos, v), 4));
        return x * t + Linear(MergeHeads(y) * g, o) * Exp(gate) + pos * g;
    }
}
