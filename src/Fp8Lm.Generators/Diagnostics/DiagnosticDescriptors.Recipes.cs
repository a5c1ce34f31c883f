using Microsoft.CodeAnalysis;

namespace Fp8Lm.Generators.Diagnostics;

/// <content>FP8L05xx: recipes.</content>
internal static partial class DiagnosticDescriptors
{
    public static readonly DiagnosticDescriptor RecipeFormat = Error(
        "FP8L0501", "Format is not possible for this role",
        "Recipe '{0}' stores {1} as {2}. Possible: {3}.");

    public static readonly DiagnosticDescriptor RecipeDuplicate = Error(
        "FP8L0502", "Recipe is listed twice",
        "Recipe '{0}' is there twice. Remove one, or rename the field.");

    public static readonly DiagnosticDescriptor RecipeCombination = Error(
        "FP8L0503", "Formats of a recipe do not go together",
        "Recipe '{0}' cannot be compiled: {1}");

    public static readonly DiagnosticDescriptor RecipeDeclaration = Error(
        "FP8L0504", "Recipe is not a static readonly field with an initializer",
        "[ModelRecipe] field '{0}' must read 'static readonly RecipeDefinition {0} = new(Recipe.X) {{ Role = value, ... }};' with constant values");

    public static readonly DiagnosticDescriptor NoRecipes = Error(
        "FP8L0505", "Model has no recipe",
        "Model '{0}' lists no recipe. Write '[Fp8Model(Recipes = [Recipe.Bf16])]' or leave Recipes out for the default.");
}
