using static Fp8Lm.Ops;

namespace Fp8Lm.Parity.Models;

/// <summary>A GeGLU block with the exact GELU, gate and value from one product (Shazeer 2020), after norms without bias; scaled embedding.</summary>
[Fp8Model(Recipes = [Recipe.Fp32, Recipe.Bf16, Recipe.Fp16, Recipe.TransformerEngine, Recipe.TransformerEngineCurrent])]
public partial class GeGluModel
{
    static readonly Dim Vocab = new(), Context = new(), Width = new(), Hidden = new(), Heads = new(), Layers = new();

    [ModelSize] static readonly Size Small = new() { [Vocab] = 64, [Context] = 32, [Width] = 48, [Hidden] = 80, [Heads] = 3, [Layers] = 2 };
    [ModelSize] static readonly Size Golden = new() { [Vocab] = 64, [Context] = 32, [Width] = 32, [Hidden] = 48, [Heads] = 2, [Layers] = 2 };

    readonly Weight tokens = new(Vocab, Width), positions = new(Context, Width);
    readonly Repeat<GeGluBlock> blocks = new(Layers, () => new(Width, Hidden, Heads));
    readonly Weight finalGain = new(Width) { Init = Init.Ones };

    Tensor Forward(Tokens ids)
    {
        Tensor x = 2 * Embed(tokens, ids) + PositionEmbed(positions, ids);
        foreach (GeGluBlock block in blocks) x = block.Forward(x);
        return Linear(LayerNorm(x, finalGain), tokens);
    }
}

[Fp8Module]
public partial class GeGluBlock(Dim width, Dim hidden, Dim heads)
{
    readonly Weight attentionGain = new(width) { Init = Init.Ones }, mlpGain = new(width) { Init = Init.Ones };
    readonly Weight q = new(width, width), kv = new(2 * width, width), o = new(width, width);
    readonly Weight gateUp = new(2 * hidden, width), down = new(width, hidden);

    public Tensor Forward(Tensor x)
    {
        Tensor h = LayerNorm(x, attentionGain);
        var (k, v) = Split2(Linear(h, kv));
        x += Linear(MergeHeads(Attention(SplitHeads(Linear(h, q), heads), SplitHeads(k, heads), SplitHeads(v, heads))), o);
        var (gate, up) = Split2(Linear(LayerNorm(x, mlpGain), gateUp));
        return x + Linear(GeluErf(gate) * up, down);
    }
}
