using static Fp8Lm.Ops;

namespace Fp8Lm.Parity.Models;

/// <summary>A funnel: three widths, each stage with its own depth, positions, dropout in every place, layers recomputed, a long skip from the first stage to the last.</summary>
[Fp8Model(Recipes = [Recipe.Fp32, Recipe.TransformerEngine, Recipe.Fp8LmO3])]
public partial class Funnel
{
    static readonly Dim Vocab = new(), Wide = new(), Mid = new(), Narrow = new(), N = new(), Context = new();

    [ModelSize] static readonly Size Small = new() { [Vocab] = 80, [Wide] = 96, [Mid] = 64, [Narrow] = 32, [N] = 2, [Context] = 64 };

    readonly Weight tokens = new(Vocab, Wide), positions = new(Context, Wide), head = new(Vocab, 2 * Wide), headBias = new(Vocab);
    readonly Repeat<FunnelStage> wide = new(N, () => new FunnelStage(Wide, 3)) { Checkpoint = true };
    readonly Repeat<FunnelStage> mid = new(3, () => new FunnelStage(Mid, 2));
    readonly Repeat<FunnelStage> narrow = new(N, () => new FunnelStage(Narrow, 1)) { Checkpoint = true };
    readonly Repeat<FunnelStage> back = new(1, () => new FunnelStage(Wide, 6));
    readonly Weight toMid = new(Mid, Wide), toNarrow = new(Narrow, Mid), toMidBias = new(Mid), toWide = new(Wide, Narrow), lift = new(Wide, Mid);

    Tensor Forward(Tokens ids)
    {
        Tensor x = Dropout(Embed(tokens, ids) + PositionEmbed(positions, ids), 0.1);
        Tensor first = x, afterMid;
        foreach (var s in wide) x = s.Forward(x);
        Tensor skip = x;
        x = Linear(x, toMid, toMidBias);
        foreach (var s in mid) x = s.Forward(x);
        afterMid = x;
        x = Linear(x, toNarrow);
        foreach (var s in narrow) x = s.Forward(x);
        x = Linear(x, toWide) + skip;
        foreach (var s in back) x = s.Forward(x) + first * 0.1f + Linear(afterMid, lift);
        return Linear(Concat(LayerNorm(x), first), head, headBias);
    }
}

[Fp8Module]
public partial class FunnelStage(Dim width, Dim heads)
{
    readonly Weight g1 = new(width) { Init = Init.Ones }, b1 = new(width), g2 = new(width) { Init = Init.Ones };
    readonly Weight qkv = new(3 * width, width), qkvBias = new(3 * width), o = new(width, width), oBias = new(width);
    readonly Weight up = new(4 * width, width), upBias = new(4 * width), down = new(width, 4 * width), downBias = new(width);

    public Tensor Forward(Tensor x)
    {
        var (q, k, v) = Split3(Linear(LayerNorm(x, g1, b1), qkv, qkvBias));
        Tensor y = Dropout(MergeHeads(Attention(SplitHeads(q, heads), SplitHeads(k, heads), SplitHeads(Dropout(v, 0.2), heads))), 0.3);
        x += Dropout(Linear(y, o, oBias), 0.1);
        return x + Dropout(Linear(Dropout(GeluErf(Linear(LayerNorm(x, g2), up, upBias)), 0.15), down, downBias), 0.1);
    }
}
