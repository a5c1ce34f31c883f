using System;

namespace Fp8Lm;

/// <summary>
/// Marks a partial class as a model. It holds dimensions, sizes, weights and modules, and a method
/// <c>Tensor Forward(Tokens ids)</c> that returns logits, or <c>Loss Forward(Tokens ids, Labels labels)</c>.
/// </summary>
[AttributeUsage(AttributeTargets.Class, Inherited = false)]
public sealed class Fp8ModelAttribute : Attribute
{
    /// <summary>
    /// The recipes the model is compiled with, side by side; the choice is made at run time. Without it: <see cref="Recipe.Bf16"/> and
    /// <see cref="Recipe.TransformerEngine"/>. Fields with <see cref="ModelRecipeAttribute"/> come on top.
    /// </summary>
    public Recipe[] Recipes { get; set; } = [Recipe.Bf16, Recipe.TransformerEngine];
}
