using static Fp8Lm.Ops;

namespace Fp8Lm.Parity.Models;

/// <summary>Dropout on the embedding, on a product's output, on heads and inside of an MLP, in a checkpointed stack.</summary>
[Fp8Model(Recipes = [Recipe.Fp32, Recipe.Fp16, Recipe.TransformerEngine])]
public partial class DropoutModel
{
    static readonly Dim Vocab = new(), Width = new(), Heads = new(), Layers = new();

    [ModelSize] static readonly Size Small = new() { [Vocab] = 48, [Width] = 32, [Heads] = 2, [Layers] = 3 };

    readonly Weight tokens = new(Vocab, Width);
    readonly Repeat<DropoutLayer> layers = new(Layers, () => new DropoutLayer(Width, Heads)) { Checkpoint = true };

    Tensor Forward(Tokens ids)
    {
        Tensor x = Dropout(Embed(tokens, ids), 0.1);
        foreach (DropoutLayer layer in layers) x = layer.Forward(x);
        return Linear(x, tokens);
    }
}

[Fp8Module]
public partial class DropoutLayer(Dim width, Dim heads)
{
    readonly Weight qkv = new(3 * width, width), o = new(width, width), up = new(2 * width, width), down = new(width, 2 * width);

    public Tensor Forward(Tensor x)
    {
        var (q, k, v) = Split3(Linear(RmsNorm(x), qkv));
        Tensor y = Attention(SplitHeads(q, heads), Dropout(SplitHeads(k, heads), 0.2), SplitHeads(v, heads));
        x += Dropout(Linear(MergeHeads(y), o), 0.25);
        return x + Dropout(Linear(Dropout(Silu(Linear(RmsNorm(x), up)), 0.5), down), 0.1);
    }
}
