using Fp8Lm;

namespace TinyGpt;

/// <summary>The sample GPT with the optimizer variants of FP8-LM's Table 6 (arXiv 2310.18313) that are not levels of their own, and #4 as it can be saved.</summary>
public partial class Gpt
{
    [ModelRecipe] static readonly RecipeDefinition Bf16Master = new(Recipe.Fp8LmO2) { Master = Format.BF16 };             // #2b
    [ModelRecipe] static readonly RecipeDefinition Fp8Master = new(Recipe.Fp8LmO2) { Master = Format.E4M3 };              // #3
    [ModelRecipe] static readonly RecipeDefinition Fp8SecondMoment = new(Recipe.Fp8LmO2) { SecondMoment = Format.E4M3 };  // #4
    [ModelRecipe] static readonly RecipeDefinition GroupedMoments = new(Recipe.Fp8LmO2) { SecondMoment = Format.E4M3, MomentScaling = MomentScaling.Grouped };  // #4 in COAT's groups (arXiv 2410.19313)

    // Scales of the gradients' own amax instead of delayed ones.
    [ModelRecipe] static readonly RecipeDefinition CurrentGradients = new(Recipe.Fp8LmO2) { WeightGradientScaling = ScalePolicy.Current };
}
