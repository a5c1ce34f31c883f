using static Fp8Lm.Ops;

namespace Fp8Lm.Parity.Models;

/// <summary>Two stacks; a second value carried through one, a captured value in both, a module used in every layer and outside.</summary>
[Fp8Model(Recipes = [Recipe.Fp32, Recipe.Rowwise, Recipe.BlockScaled, Recipe.TransformerEngineCurrent])]
public partial class LoopShapes
{
    static readonly Dim Vocab = new(), Width = new(), Heads = new(), Layers = new();

    [ModelSize] static readonly Size Small = new() { [Vocab] = 48, [Width] = 32, [Heads] = 2, [Layers] = 3 };

    readonly Weight tokens = new(Vocab, Width);
    readonly SharedMix shared;
    readonly Repeat<CarryLayer> first;
    readonly Repeat<CaptureLayer> second;

    public LoopShapes()
    {
        shared = new(Width);
        first = new(Layers, () => new(Width, shared));
        second = new(2, () => new(Width, Heads));
    }

    Tensor Forward(Tokens ids)
    {
        Tensor x = Embed(tokens, ids), start = Tanh(x), sum = x * 0.5;
        foreach (CarryLayer layer in first) (x, sum) = layer.Forward(x, sum);
        x = shared.Forward(x + sum);
        Tensor captured = shared.Forward(start);
        foreach (CaptureLayer layer in second) x = layer.Forward(x, captured, start);
        return Linear(x + captured, tokens);
    }
}

[Fp8Module]
public partial class SharedMix(Dim width)
{
    readonly Weight w = new(width, width), gain = new(width) { Init = Init.Ones };

    public Tensor Forward(Tensor x) => x + Tanh(Linear(x * gain, w));
}

[Fp8Module]
public partial class CarryLayer(Dim width, SharedMix shared)
{
    readonly Weight a = new(width, width);

    public (Tensor X, Tensor Sum) Forward(Tensor x, Tensor sum)
    {
        Tensor y = Linear(shared.Forward(x), a);
        return (x + Silu(y) * 0.5, sum * 0.8 + y);
    }
}

[Fp8Module]
public partial class CaptureLayer(Dim width, Dim heads)
{
    readonly Weight qkv = new(3 * width, width), memory = new(2 * width, width);

    public Tensor Forward(Tensor x, Tensor captured, Tensor start)
    {
        var (q, k, v) = Split3(Linear(x, qkv));
        Tensor y = MergeHeads(Attention(SplitHeads(q, heads), SplitHeads(k, heads), SplitHeads(v, heads)));
        var (key, value) = Split2(Linear(captured, memory));
        return x + y * Sigmoid(key) + value * start;
    }
}
