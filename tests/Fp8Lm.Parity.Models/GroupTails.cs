using static Fp8Lm.Ops;

namespace Fp8Lm.Parity.Models;

/// <summary>Linears whose sums are no multiples of 128 long: the last group of a scale is short, in every product (144 and 208 features). One linear reads what no norm has tamed.</summary>
[Fp8Model(Recipes = [Recipe.Fp32, Recipe.TransformerEngine, Recipe.Rowwise, Recipe.BlockScaled])]
public partial class GroupTails
{
    static readonly Dim Vocab = new(), Width = new(), Hidden = new(), Layers = new();

    [ModelSize] static readonly Size Small = new() { [Vocab] = 48, [Width] = 144, [Hidden] = 208, [Layers] = 2 };

    [ModelRecipe] static readonly RecipeDefinition RowwiseExact = new(Recipe.Rowwise) { PowerOfTwoScales = false, Master = Format.BF16, FirstMoment = Format.BF16, Copies = WeightCopies.PerUse };
    [ModelRecipe] static readonly RecipeDefinition BlockHybrid = new(Recipe.BlockScaled) { PowerOfTwoScales = true, OutputGradient = Format.E5M2, WeightGradient = Format.E4M3, Copies = WeightCopies.RowMajorPerStep };

    [ModelRecipe] static readonly RecipeDefinition BlockO2 = new(Recipe.Fp8LmO2) { Scaling = ScalePolicy.Block, AmaxHistory = 0, PromoteForward = true, OutputGradient = Format.E4M3 };
    [ModelRecipe] static readonly RecipeDefinition RowwiseO3 = new(Recipe.Fp8LmO3) { Scaling = ScalePolicy.Rowwise, AmaxHistory = 0 };

    readonly Weight tokens = new(Vocab, Width);
    readonly Repeat<GroupTailsLayer> layers = new(Layers, () => new GroupTailsLayer(Width, Hidden));

    Tensor Forward(Tokens ids)
    {
        Tensor x = Embed(tokens, ids);
        foreach (GroupTailsLayer layer in layers) x = layer.Forward(x);
        return Linear(x, tokens);
    }
}

[Fp8Module]
public partial class GroupTailsLayer(Dim width, Dim hidden)
{
    readonly Weight gain = new(width) { Init = Init.Ones };
    readonly Weight up = new(hidden, width), gate = new(hidden, width), down = new(width, hidden);

    public Tensor Forward(Tensor x)
    {
        Tensor h = RmsNorm(x, gain);
        return x + Linear(Silu(Linear(h, gate)) * Linear(x, up), down);
    }
}
