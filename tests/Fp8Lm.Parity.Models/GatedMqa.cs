using static Fp8Lm.Ops;

namespace Fp8Lm.Parity.Models;

/// <summary>Multi-query attention, squared ReLU, learned scalar gates that mix the stream with its start, a first layer outside of the stack.</summary>
[Fp8Model(Recipes = [Recipe.Fp32, Recipe.Bf16, Recipe.Fp16, Recipe.Rowwise, Recipe.BlockScaled, Recipe.TransformerEngine, Recipe.TransformerEngineCurrent])]
public partial class GatedMqa
{
    static readonly Dim Vocab = new(), Width = new(), Heads = new(), Rest = new();
    static readonly Dim HeadSize = Width / Heads;

    [ModelSize] static readonly Size Small = new() { [Vocab] = 48, [Width] = 64, [Heads] = 4, [Rest] = 2 };
    [ModelSize] static readonly Size Golden = new() { [Vocab] = 48, [Width] = 32, [Heads] = 2, [Rest] = 1 };

    readonly Weight tokens = new(Vocab, Width), head = new(Vocab, Width);
    readonly GatedLayer first = new(Width, Heads, HeadSize, mixes: false);
    readonly Repeat<GatedLayer> rest = new(Rest, () => new GatedLayer(Width, Heads, HeadSize, mixes: true));

    Loss Forward(Tokens ids, Labels labels)
    {
        Tensor start = RmsNorm(Embed(tokens, ids)), x = start;
        (x, Tensor values) = first.Forward(x, start, null);
        foreach (GatedLayer layer in rest) (x, _) = layer.Forward(x, start, values);
        Tensor logits = Linear(RmsNorm(x), head);
        return CrossEntropy(6 * logits * Rsqrt(Square(logits) + 36), labels);
    }
}

[Fp8Module]
public partial class GatedLayer(Dim width, Dim heads, Dim headSize, bool mixes)
{
    readonly Weight q = new(width, width), k = new(headSize, width), v = new(headSize, width), o = new(width, width);
    readonly Weight? mix = mixes ? new(1) { Init = Init.Constant(0.5) } : null;
    readonly Weight keep = new(1) { Init = Init.Ones }, restart = new(1);
    readonly Weight up = new(4 * width, width), down = new(width, 4 * width);

    public (Tensor X, Tensor Values) Forward(Tensor x, Tensor start, Tensor? firstValues)
    {
        x = keep * x + restart * start;
        Tensor h = RmsNorm(x);
        Tensor values = Linear(h, v);
        if (mix is not null && firstValues is not null) values = mix * values + (1 - mix) * firstValues;
        Tensor query = Rotary(SplitHeads(Linear(h, q), heads));
        Tensor key = Rotary(SplitHeads(Linear(h, k), 1));
        x += Linear(MergeHeads(Attention(query, key, SplitHeads(values, 1))), o);
        x += Linear(SquaredRelu(Linear(RmsNorm(x), up)), down);
        return (x, values);
    }
}
