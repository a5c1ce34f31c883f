using static Fp8Lm.Ops;

namespace Fp8Lm.Parity.Models;

/// <summary>Loops that follow each other with nothing between, swap what they carry, pass a value through, leave the last layer's value behind.</summary>
[Fp8Model(Recipes = [Recipe.Fp32, Recipe.Bf16, Recipe.TransformerEngine])]
public partial class LoopChain
{
    static readonly Dim Vocab = new(), Width = new(), Layers = new(), More = new(), One = new();

    [ModelSize] static readonly Size Small = new() { [Vocab] = 48, [Width] = 48, [Layers] = 3, [More] = 2, [One] = 1 };

    readonly Weight tokens = new(Vocab, Width), head = new(Vocab, Width);
    readonly Repeat<LoopChainLayer> a = new(Layers, () => new LoopChainLayer(Width)), b = new(More, () => new LoopChainLayer(Width)), c = new(One, () => new LoopChainLayer(Width)), d = new(More, () => new LoopChainLayer(Width));
    readonly Repeat<LoopChainSwap> swap = new(Layers, () => new LoopChainSwap(Width));

    Tensor Forward(Tokens ids)
    {
        Tensor x = Embed(tokens, ids), y = x * 0.5f, unchanged = Tanh(x), last = x;
        foreach (var l in a) x = l.Forward(x);
        foreach (var l in b) x = l.Forward(x);
        foreach (var l in c) { last = x; x = l.Forward(x); }
        Tensor afterThree = x;
        foreach (var l in swap)
        {
            (x, y) = (l.Forward(y), x);
            last = Sigmoid(x) * last;
        }
        foreach (var l in d) (x, y) = (y + unchanged * 0.1f, l.Forward(x) + x * 0.5f);
        return Linear(RmsNorm(x + y * 0.3f + last + afterThree), head);
    }
}

[Fp8Module]
public partial class LoopChainLayer(Dim width)
{
    readonly Weight up = new(2 * width, width), down = new(width, 2 * width);
    public Tensor Forward(Tensor x) => x + Linear(Gelu(Linear(RmsNorm(x), up)), down);
}

[Fp8Module]
public partial class LoopChainSwap(Dim width)
{
    readonly Weight w = new(width, width);
    public Tensor Forward(Tensor x) => x * 0.7f + Linear(x, w);
}
