using static Fp8Lm.Ops;

namespace Fp8Lm.Parity.Models;

/// <summary>Slices, splits, concatenations and reshapes, with unequal parts and values that belong to two wholes.</summary>
[Fp8Model(Recipes = [Recipe.Fp32, Recipe.Fp16, Recipe.Rowwise, Recipe.BlockScaled, Recipe.TransformerEngineCurrent])]
public partial class ViewOps
{
    static readonly Dim Vocab = new(), Width = new(), Heads = new(), Layers = new();

    [ModelSize] static readonly Size Small = new() { [Vocab] = 48, [Width] = 64, [Heads] = 4, [Layers] = 2 };

    readonly Weight tokens = new(Vocab, Width);
    readonly Repeat<ViewLayer> layers = new(Layers, () => new ViewLayer(Width, Heads));

    Tensor Forward(Tokens ids)
    {
        Tensor x = Embed(tokens, ids);
        foreach (ViewLayer layer in layers) x = layer.Forward(x);
        return Linear(x, tokens);
    }
}

[Fp8Module]
public partial class ViewLayer(Dim width, Dim heads)
{
    readonly Weight a = new(width, width), b = new(2 * width, width), c = new(width, 2 * width), d = new(width, width), bias = new(2 * width);

    public Tensor Forward(Tensor x)
    {
        // Unequal parts of a product's output, joined in another order.
        var (first, second, third) = Split(Linear(x, a), 16, width - 48, 32);
        Tensor turned = Concat(Gelu(third), first, second * 2);

        // One value in two wholes, and a whole that a product reads.
        Tensor shared = Linear(turned, b, bias);
        var (p, q) = Split2(shared);
        Tensor once = Concat(p * q, x), twice = Concat(x, p * q);
        Tensor mixed = Linear(once + twice * 0.5, c);

        // A part nobody tiles: the rest of the gradient is zero.
        Tensor part = Slice(mixed, 8, width / 2);
        Tensor padded = Concat(part, part * part);

        // Heads: a half of each head, swapped with the other.
        var (left, right) = Split2(SplitHeads(Linear(padded, d), heads));
        Tensor swapped = MergeHeads(Concat(right * left, left));
        var (w0, w1, w2, w3) = Split4(swapped);
        return x + Concat(w3, w1 * w0, w2, w0) + Reshape(Reshape(mixed, 2, width / 2) * 0.5, width);
    }
}
