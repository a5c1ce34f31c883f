using System;

namespace Fp8Lm;

/// <summary>Marks a static readonly <see cref="RecipeDefinition"/> field of a model as one of its recipes; the field's name is the recipe's.</summary>
[AttributeUsage(AttributeTargets.Field)]
public sealed class ModelRecipeAttribute : Attribute;
