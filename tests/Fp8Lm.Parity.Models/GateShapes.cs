using static Fp8Lm.Ops;

namespace Fp8Lm.Parity.Models;

/// <summary>Weights in element-wise expressions, in every shape that broadcasts: one number, one per head, one per feature of a head, one per element.</summary>
[Fp8Model(Recipes = [Recipe.Fp32, Recipe.TransformerEngine])]
public partial class GateShapes
{
    static readonly Dim Vocab = new(), Width = new(), Heads = new(), Layers = new();

    [ModelSize] static readonly Size Small = new() { [Vocab] = 48, [Width] = 48, [Heads] = 3, [Layers] = 2 };

    readonly Weight tokens = new(Vocab, Width), temperature = new(1) { Init = Init.Ones };
    readonly Repeat<GateLayer> layers = new(Layers, () => new GateLayer(Width, Heads));

    Tensor Forward(Tokens ids)
    {
        Tensor x = Embed(tokens, ids) * temperature;
        foreach (GateLayer layer in layers) x = layer.Forward(x);
        return Linear(x, tokens);
    }
}

[Fp8Module]
public partial class GateLayer(Dim width, Dim heads)
{
    readonly Weight one = new(1) { Init = Init.Ones }, perHead = new(heads, 1), perFeature = new(width / heads), perElement = new(heads, width / heads), flat = new(width);
    readonly Weight a = new(width, width), b = new(width, width);

    public Tensor Forward(Tensor x)
    {
        Tensor h = SplitHeads(Linear(x, a), heads);
        Tensor gated = h * (1 + perHead) + Sigmoid(h * perFeature) - h / (2 + perElement * perElement);
        Tensor y = Linear(MergeHeads(gated * perFeature * one), b);
        return one * x + Tanh(y + flat) * Sigmoid(flat) + Mean(x) * one;
    }
}
