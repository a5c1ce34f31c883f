using Fp8Lm;

namespace TinyGpt;

/// <summary>The sample GPT with the recipe that it leaves out: scales of the tensors' own amax.</summary>
public partial class Gpt
{
    [ModelRecipe] static readonly RecipeDefinition Current = new(Recipe.TransformerEngineCurrent);
}
