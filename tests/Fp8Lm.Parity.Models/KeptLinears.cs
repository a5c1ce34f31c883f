using static Fp8Lm.Ops;

namespace Fp8Lm.Parity.Models;

/// <summary>Linears that opt out of FP8 beside others that do not: of one input, one behind the other, and two that share the product of their gradients.</summary>
[Fp8Model(Recipes = [Recipe.Fp32, Recipe.Bf16, Recipe.Rowwise, Recipe.BlockScaled, Recipe.TransformerEngine, Recipe.TransformerEngineCurrent])]
public partial class KeptLinears
{
    static readonly Dim Vocab = new(), Width = new(), Hidden = new(), Heads = new(), Layers = new();

    [ModelSize] static readonly Size Small = new() { [Vocab] = 48, [Width] = 48, [Hidden] = 64, [Heads] = 3, [Layers] = 2 };

    [ModelRecipe] static readonly RecipeDefinition TransformerEngineEverywhere = new(Recipe.TransformerEngine) { AllLinears = true };

    readonly Weight tokens = new(Vocab, Width);
    readonly Repeat<KeptLayer> layers = new(Layers, () => new KeptLayer(Width, Hidden, Heads));

    Tensor Forward(Tokens ids)
    {
        Tensor x = Embed(tokens, ids);
        foreach (KeptLayer layer in layers) x = layer.Forward(x);
        return Linear(x, tokens);
    }
}

[Fp8Module]
public partial class KeptLayer(Dim width, Dim hidden, Dim heads)
{
    readonly Weight gain = new(width) { Init = Init.Ones }, mlpGain = new(width) { Init = Init.Ones };
    readonly Weight q = new(width, width) { Fp8 = false }, kv = new(2 * width, width), project = new(width, width) { Fp8 = false };
    readonly Weight up = new(hidden, width), upBias = new(hidden), down = new(width, hidden) { Fp8 = false };
    readonly Weight left = new(width, width), right = new(width, width) { Fp8 = false };

    public Tensor Forward(Tensor x)
    {
        Tensor h = RmsNorm(x, gain);
        var (k, v) = Split2(Linear(h, kv));
        x += Linear(MergeHeads(Attention(SplitHeads(Linear(h, q), heads), SplitHeads(k, heads), SplitHeads(v, heads))), project);
        Tensor m = RmsNorm(x, mlpGain);
        return x + Linear(Gelu(Linear(m, up, upBias)), down) + (Linear(m, left) + Linear(m, right));
    }
}
