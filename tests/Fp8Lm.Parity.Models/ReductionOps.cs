using static Fp8Lm.Ops;

namespace Fp8Lm.Parity.Models;

/// <summary>Reductions and softmax over features and over heads, and norms without gain.</summary>
[Fp8Model(Recipes = [Recipe.Fp32, Recipe.TransformerEngine])]
public partial class ReductionOps
{
    static readonly Dim Vocab = new(), Width = new(), Heads = new(), Layers = new();

    [ModelSize] static readonly Size Small = new() { [Vocab] = 48, [Width] = 48, [Heads] = 3, [Layers] = 2 };

    readonly Weight tokens = new(Vocab, Width);
    readonly Repeat<ReductionLayer> layers = new(Layers, () => new ReductionLayer(Width, Heads));

    Tensor Forward(Tokens ids)
    {
        Tensor x = Embed(tokens, ids);
        foreach (ReductionLayer layer in layers) x = layer.Forward(x);
        return Linear(LayerNorm(x), tokens);
    }
}

[Fp8Module]
public partial class ReductionLayer(Dim width, Dim heads)
{
    readonly Weight a = new(width, width), b = new(width, width), c = new(width, width);

    public Tensor Forward(Tensor x)
    {
        Tensor u = Linear(x, a);
        Tensor wide = u - Mean(u) + Sum(Square(u)) * 0.05 + ReduceMax(u) * u;
        Tensor y = Linear(wide, b);
        Tensor perHead = SplitHeads(y, heads);
        Tensor routed = Softmax(perHead) * perHead + Mean(perHead) - ReduceMax(perHead) * 0.3 + RmsNorm(perHead) * Sum(Abs(perHead)) * 0.1;
        return x + Linear(MergeHeads(routed), c) + Softmax(y) * Sum(x) * 0.2 + LayerNorm(x) * 0.1;
    }
}
