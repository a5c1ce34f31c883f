using static Fp8Lm.Ops;

namespace Fp8Lm.Training.Tests.Generated;

/// <summary>A small compiled model with everything that a resumed run must find again: tied weights, dropout, repeated layers, scales of carried values, a label weight.</summary>
[Fp8Model(Recipes = [Recipe.TransformerEngine, Recipe.TransformerEngineCurrent, Recipe.Rowwise, Recipe.BlockScaled, Recipe.Bf16, Recipe.Fp16, Recipe.Fp32, Recipe.Fp8LmO1, Recipe.Fp8LmO2, Recipe.Fp8LmO3, Recipe.Coat])]
public partial class Drawn
{
    static readonly Dim Vocab = new(), Width = new(), Heads = new(), Layers = new();

    [ModelSize] static readonly Size Small = new() { [Vocab] = 256, [Width] = 32, [Heads] = 2, [Layers] = 2 };

    // Table 6 of FP8-LM: masters in BF16 (#2b) and FP8 (#3), a second moment in FP8 (#4); and moments alone.
    [ModelRecipe] static readonly RecipeDefinition Bf16Master = new(Recipe.Fp8LmO2) { Master = Format.BF16 };
    [ModelRecipe] static readonly RecipeDefinition Fp8Master = new(Recipe.Fp8LmO2) { Master = Format.E4M3 };
    [ModelRecipe] static readonly RecipeDefinition Fp8SecondMoment = new(Recipe.Fp8LmO2) { SecondMoment = Format.E4M3 };
    [ModelRecipe] static readonly RecipeDefinition SmallMoments = new(Recipe.Bf16) { FirstMoment = Format.BF16, SecondMoment = Format.E5M2 };

    // COAT's moments in FP8-LM's optimizer; the second one alone, in E4M3 and E5M2, and beside it with a scale per tensor.
    [ModelRecipe] static readonly RecipeDefinition GroupedO2 = new(Recipe.Fp8LmO2) { SecondMoment = Format.E4M3, MomentScaling = MomentScaling.Grouped };
    [ModelRecipe] static readonly RecipeDefinition GroupedSecondMoment = new(Recipe.Bf16) { SecondMoment = Format.E4M3, MomentScaling = MomentScaling.Grouped };
    [ModelRecipe] static readonly RecipeDefinition GroupedE5M2 = new(Recipe.Bf16) { SecondMoment = Format.E5M2, MomentScaling = MomentScaling.Grouped };
    [ModelRecipe] static readonly RecipeDefinition ScaledSecondMoment = new(Recipe.Bf16) { SecondMoment = Format.E4M3 };

    // Gradients of weights in FP32 beside products in FP8, and in BF16 beside a loss scale; nothing wider than 16 bits, without a scale.
    [ModelRecipe] static readonly RecipeDefinition F32Gradients = new(Recipe.TransformerEngine) { WeightGradient = Format.F32 };
    [ModelRecipe] static readonly RecipeDefinition Fp16Bf16Gradients = new(Recipe.Fp16) { WeightGradient = Format.BF16 };
    [ModelRecipe] static readonly RecipeDefinition Bf16States = new(Recipe.TransformerEngine) { Master = Format.BF16, FirstMoment = Format.BF16, SecondMoment = Format.BF16 };

    // FP8 gradients with scales of their own amax, as the paper's code has them.
    [ModelRecipe] static readonly RecipeDefinition CurrentGradients = new(Recipe.Fp8LmO2) { WeightGradientScaling = ScalePolicy.Current };

    // FP8-LM's optimizer under DeepSeek-V3's products.
    [ModelRecipe] static readonly RecipeDefinition BlockO2 = new(Recipe.Fp8LmO2) { Scaling = ScalePolicy.Block, AmaxHistory = 0, PromoteForward = true };

    // Loss scales that overflow at once and grow soon; none; the smallest; and states of 16 bits beside FP16 compute.
    [ModelRecipe] static readonly RecipeDefinition EagerLossScale = new(Recipe.Fp16) { InitialLossScale = 1 << 24, GrowthInterval = 3 };
    [ModelRecipe] static readonly RecipeDefinition WithoutLossScale = new(Recipe.Fp16) { LossScaling = LossScaling.None };
    [ModelRecipe] static readonly RecipeDefinition LeastLossScale = new(Recipe.Fp16) { InitialLossScale = 1, GrowthInterval = 1000000 };
    [ModelRecipe] static readonly RecipeDefinition Fp16States = new(Recipe.Fp16) { Master = Format.F16, FirstMoment = Format.BF16, SecondMoment = Format.F16 };

    readonly Weight tokens = new(Vocab, Width);
    readonly Repeat<DrawnLayer> layers = new(Layers, () => new DrawnLayer(Width, Heads));

    Tensor Forward(Tokens ids)
    {
        Tensor x = Dropout(Embed(tokens, ids), 0.1);
        foreach (DrawnLayer layer in layers) x = layer.Forward(x);
        return Linear(RmsNorm(x), tokens);
    }
}

[Fp8Module]
public partial class DrawnLayer(Dim width, Dim heads)
{
    readonly Weight qkv = new(3 * width, width), o = new(width, width), up = new(2 * width, width), bias = new(2 * width), down = new(width, 2 * width);

    public Tensor Forward(Tensor x)
    {
        var (q, k, v) = Split3(Linear(RmsNorm(x), qkv));
        x += Linear(MergeHeads(Attention(Rotary(SplitHeads(q, heads)), Rotary(SplitHeads(k, heads)), SplitHeads(v, heads))), o);
        return x + Dropout(Linear(Silu(Linear(RmsNorm(x), up, bias)), down), 0.1);
    }
}
