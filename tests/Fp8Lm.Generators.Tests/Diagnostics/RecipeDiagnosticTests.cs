using System.Threading.Tasks;
using Fp8Lm.Generators.Tests.Harness;
using Xunit;

namespace Fp8Lm.Generators.Tests.Diagnostics;

/// <summary>FP8L05xx: recipes.</summary>
public sealed class RecipeDiagnosticTests
{
    [Theory]
    [InlineData("new(Recipe.TransformerEngine) { WeightGradient = Format.[|FP8L0501:F16|] }")]
    [InlineData("new(Recipe.Fp8LmO2) { Payload = Format.[|FP8L0501:E4M3|] }")]
    [InlineData("new(Recipe.Fp32) { Master = Format.[|FP8L0503:F16|] }")]
    [InlineData("new(Recipe.TransformerEngine) { Copies = WeightCopies.[|FP8L0503:PerUse|] }")]
    [InlineData("new(Recipe.Bf16) { Compute = Format.[|FP8L0501:E4M3|] }")]
    [InlineData("new(Recipe.Bf16) { Input = Format.[|FP8L0503:F16|] }")]
    [InlineData("new(Recipe.TransformerEngine) { Compute = Format.[|FP8L0503:F16|], Head = Format.F16 }")]
    [InlineData("new(Recipe.Fp16) { WeightGradient = Format.[|FP8L0503:E4M3|] }")]
    [InlineData("new(Recipe.TransformerEngine) { WeightGradient = Format.BF16, Copies = WeightCopies.[|FP8L0503:PerUse|] }")]
    [InlineData("new(Recipe.TransformerEngine) { Master = Format.BF16, Copies = WeightCopies.[|FP8L0503:RowMajorPerStep|] }")]
    [InlineData("new(Recipe.Bf16) { LossScaling = LossScaling.[|FP8L0503:Dynamic|] }")]
    [InlineData("new(Recipe.Fp16) { InitialLossScale = [|FP8L0503:1000|] }")]
    [InlineData("new(Recipe.TransformerEngine) { MomentScaling = MomentScaling.[|FP8L0503:Grouped|] }")]
    [InlineData("new(Recipe.TransformerEngine) { WeightGradientScaling = ScalePolicy.[|FP8L0503:Current|] }")]
    [InlineData("new(Recipe.Fp8LmO2) { WeightGradientScaling = ScalePolicy.[|FP8L0503:Rowwise|] }")]
    [InlineData("new(Recipe.Fp8LmO2) { WeightGradientScaling = ScalePolicy.[|FP8L0503:Delayed|], Scaling = ScalePolicy.Block, AmaxHistory = 0, PromoteForward = true }")]
    [InlineData("new(Recipe.Fp16) { InitialLossScale = [|FP8L0503:0|] }")]
    [InlineData("new(Recipe.Fp16) { GrowthInterval = [|FP8L0503:0|] }")]
    [InlineData("new(Recipe.TransformerEngine) { Weight = Format.[|FP8L0503:BF16|] }")]
    [InlineData("new(Recipe.TransformerEngine) { Scaling = ScalePolicy.[|FP8L0503:None|] }")]
    [InlineData("new(Recipe.Bf16) { Scaling = ScalePolicy.[|FP8L0503:Current|] }")]
    [InlineData("new(Recipe.Bf16) { Head = Format.[|FP8L0503:F32|] }")]
    [InlineData("new(Recipe.TransformerEngine) { AmaxHistory = [|FP8L0503:0|] }")]
    [InlineData("new(Recipe.TransformerEngine) { Margin = [|FP8L0503:99|] }")]
    [InlineData("new(Recipe.Bf16) { AllLinears = [|FP8L0503:true|] }")]
    [InlineData("new(Recipe.Bf16) { Scaling = ScalePolicy.[|FP8L0503:Rowwise|] }")]
    [InlineData("new(Recipe.Rowwise) { AmaxHistory = [|FP8L0503:16|] }")]
    [InlineData("new(Recipe.BlockScaled) { Margin = [|FP8L0503:1|] }")]
    [InlineData("new(Recipe.Fp8LmO2) { Scaling = ScalePolicy.Block, PromoteForward = true, AmaxHistory = [|FP8L0503:16|] }")]
    [InlineData("new(Recipe.BlockScaled) { PromoteForward = [|FP8L0503:false|] }")]
    [InlineData("new(Recipe.BlockScaled) { PromoteBackward = [|FP8L0503:false|] }")]
    [InlineData("new(Recipe.Rowwise) { OutputGradient = Format.[|FP8L0503:BF16|] }")]
    [InlineData("new(Recipe.BlockScaled) { Weight = Format.[|FP8L0503:BF16|] }")]
    public Task Roles(string recipe) => DiagnosticTest.Verify(Model("Recipe.Bf16", "[ModelRecipe] static readonly RecipeDefinition Mine = " + recipe + ";"));

    [Fact]
    public Task ListedTwice() => DiagnosticTest.Verify(Model("Recipe.Bf16, Recipe.Fp32, Recipe.[|FP8L0502:Bf16|]"));

    [Fact]
    public Task NamedLikeABuiltInOne() => DiagnosticTest.Verify(Model("Recipe.Bf16", "[ModelRecipe] static readonly RecipeDefinition [|FP8L0502:BF16|] = new(Recipe.Bf16);"));

    [Theory]
    [InlineData("static RecipeDefinition [|FP8L0504:Mine|] = new(Recipe.Bf16);")]
    [InlineData("static readonly RecipeDefinition [|FP8L0504:Mine|] = Make(); static RecipeDefinition Make() => new(Recipe.Bf16);")]
    public Task Declarations(string declaration) => DiagnosticTest.Verify(Model("Recipe.Bf16", "[ModelRecipe] " + declaration));

    /// <summary>What does not go with an entry of the built-in recipe is said at the field.</summary>
    [Fact]
    public Task NothingToGroup() => DiagnosticTest.Verify(Model(
        "Recipe.Bf16", "[ModelRecipe] static readonly RecipeDefinition [|FP8L0503:Mine|] = new(Recipe.Coat) { FirstMoment = Format.BF16, SecondMoment = Format.F16 };"));

    [Fact]
    public Task NoRecipe() => DiagnosticTest.Verify(Model("").Replace("class M", "class [|FP8L0505:M|]", System.StringComparison.Ordinal));

    [Fact]
    public Task LegalOnes() => DiagnosticTest.Verify(Model("Recipe.TransformerEngineCurrent",
        "[ModelRecipe] static readonly RecipeDefinition Mine = new(Recipe.TransformerEngine) { OutputGradient = Format.E4M3, AmaxHistory = 1024, PowerOfTwoScales = true };"));

    /// <summary>What scales per row or block leave open.</summary>
    [Theory]
    [InlineData("new(Recipe.Rowwise) { PowerOfTwoScales = false, PromoteForward = true, OutputGradient = Format.E5M2 }")]
    [InlineData("new(Recipe.BlockScaled) { PowerOfTwoScales = true, Master = Format.BF16, Copies = WeightCopies.PerUse }")]
    [InlineData("new(Recipe.Fp8LmO2) { Scaling = ScalePolicy.Rowwise, AmaxHistory = 0 }")]
    [InlineData("new(Recipe.Fp8LmO3) { Scaling = ScalePolicy.Block, AmaxHistory = 0, PromoteForward = true, Master = Format.E4M3 }")]
    public Task GroupedScales(string recipe) => DiagnosticTest.Verify(Model("Recipe.Rowwise, Recipe.BlockScaled", "[ModelRecipe] static readonly RecipeDefinition Mine = " + recipe + ";"));

    /// <summary>Moments in groups: COAT's, beside FP8-LM's masters, one of two, and with products that have groups of their own.</summary>
    [Theory]
    [InlineData("new(Recipe.Coat) { FirstMoment = Format.BF16, SecondMoment = Format.E5M2 }")]
    [InlineData("new(Recipe.Fp8LmO2) { MomentScaling = MomentScaling.Grouped }")]
    [InlineData("new(Recipe.Fp8LmO2) { WeightGradientScaling = ScalePolicy.Current }")]
    [InlineData("new(Recipe.TransformerEngine) { WeightGradient = Format.E5M2, WeightGradientScaling = ScalePolicy.Delayed }")]
    [InlineData("new(Recipe.BlockScaled) { WeightGradient = Format.E4M3, WeightGradientScaling = ScalePolicy.Current }")]
    [InlineData("new(Recipe.Fp8LmO2) { SecondMoment = Format.E4M3, MomentScaling = MomentScaling.Grouped, Copies = WeightCopies.PerStep }")]
    [InlineData("new(Recipe.BlockScaled) { FirstMoment = Format.E4M3, SecondMoment = Format.E4M3, MomentScaling = MomentScaling.Grouped, Copies = WeightCopies.PerUse }")]
    [InlineData("new(Recipe.Fp32) { SecondMoment = Format.E4M3, MomentScaling = MomentScaling.Grouped }")]
    [InlineData("new(Recipe.Coat) { MomentScaling = MomentScaling.PerTensor }")]
    public Task GroupedMoments(string recipe) => DiagnosticTest.Verify(Model("Recipe.Coat", "[ModelRecipe] static readonly RecipeDefinition Mine = " + recipe + ";"));

    /// <summary>FP16 with loss scaling of one's own, without, and with states of 16 bits.</summary>
    [Theory]
    [InlineData("new(Recipe.Fp16) { InitialLossScale = 1, GrowthInterval = 1000000 }")]
    [InlineData("new(Recipe.Fp16) { LossScaling = LossScaling.None }")]
    [InlineData("new(Recipe.Fp16) { Master = Format.F16, FirstMoment = Format.E4M3, SecondMoment = Format.F16, Copies = WeightCopies.PerUse }")]
    public Task LossScales(string recipe) => DiagnosticTest.Verify(Model("Recipe.Fp16", "[ModelRecipe] static readonly RecipeDefinition Mine = " + recipe + ";"));

    /// <summary>BF16 gradients of weights need no scale, so they go with anything; copies of weights that need no history can be left out.</summary>
    [Theory]
    [InlineData("new(Recipe.Fp32) { WeightGradient = Format.BF16 }")]
    [InlineData("new(Recipe.Fp16) { WeightGradient = Format.BF16 }")]
    [InlineData("new(Recipe.TransformerEngine) { WeightGradient = Format.BF16, Master = Format.BF16, FirstMoment = Format.BF16, SecondMoment = Format.BF16 }")]
    [InlineData("new(Recipe.TransformerEngine) { WeightGradient = Format.BF16, FirstMoment = Format.E4M3, Copies = WeightCopies.PerUse }")]
    [InlineData("new(Recipe.Bf16) { WeightGradient = Format.BF16, Copies = WeightCopies.PerUse }")]
    [InlineData("new(Recipe.Fp8LmO2) { WeightGradient = Format.BF16 }")]
    public Task Bf16Gradients(string recipe) => DiagnosticTest.Verify(Model("Recipe.Bf16", "[ModelRecipe] static readonly RecipeDefinition Mine = " + recipe + ";"));

    /// <summary>Table 6 of FP8-LM.</summary>
    [Theory]
    [InlineData("new(Recipe.Fp8LmO2) { Master = Format.BF16 }")]
    [InlineData("new(Recipe.Fp8LmO2) { Master = Format.E4M3 }")]
    [InlineData("new(Recipe.Fp8LmO2) { SecondMoment = Format.E4M3 }")]
    [InlineData("new(Recipe.Fp8LmO3) { Copies = WeightCopies.PerStep, SecondMoment = Format.E5M2 }")]
    [InlineData("new(Recipe.Fp32) { FirstMoment = Format.BF16, WeightGradient = Format.E5M2 }")]
    [InlineData("new(Recipe.Bf16) { SavedFactors = SavedFactors.Byte, Recompute = Recompute.Nothing }")]
    public Task Ablations(string recipe) => DiagnosticTest.Verify(Model("Recipe.Fp8LmO1", "[ModelRecipe] static readonly RecipeDefinition Mine = " + recipe + ";"));

    private static string Model(string recipes, string members = "") => $$"""
        [Fp8Model(Recipes = [{{recipes}}])] partial class M
        {
            static readonly Dim Vocab = new();
            [ModelSize] static readonly Size S = new() { [Vocab] = 16 };
            {{members}}
            readonly Weight table = new(Vocab, Vocab);
            Tensor Forward(Tokens ids) => Embed(table, ids);
        }
        """;
}
