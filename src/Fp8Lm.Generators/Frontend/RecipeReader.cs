using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Generators.Diagnostics;
using Fp8Lm.Generators.Model;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp.Syntax;
using Microsoft.CodeAnalysis.Operations;

namespace Fp8Lm.Generators.Frontend;

/// <summary>The recipes of a model: those its attribute lists, then the fields with <c>[ModelRecipe]</c>.</summary>
internal static class RecipeReader
{
    private static readonly RecipeSpec[] BuiltIn = [RecipeSpec.Fp32, RecipeSpec.Bf16, RecipeSpec.Fp16, RecipeSpec.TransformerEngine, RecipeSpec.TransformerEngineCurrent,
        RecipeSpec.Rowwise, RecipeSpec.BlockScaled, RecipeSpec.Fp8LmO1, RecipeSpec.Fp8LmO2, RecipeSpec.Fp8LmO3, RecipeSpec.Coat];

    public static List<RecipeSpec> Read(INamedTypeSymbol model, ForwardReader reader, ReadContext context)
    {
        List<RecipeSpec> recipes = [];
        AttributeData? attribute = KnownTypes.Find(model, context.Types.Model);
        ReadAttribute(attribute, recipes, context);
        foreach (IFieldSymbol field in model.GetMembers().OfType<IFieldSymbol>().Where(f => KnownTypes.Has(f, context.Types.ModelRecipe)))
        {
            if (ReadField(field, reader, context) is { } recipe)
            {
                Add(recipe, Places.Of(field, Location.None), recipes, context);
            }
        }

        if (recipes.Count == 0 && !context.Failed && !context.Broken)
        {
            context.Report(DiagnosticDescriptors.NoRecipes, Places.Of(model, Location.None), model.Name);
        }

        return recipes;
    }

    private static void ReadAttribute(AttributeData? attribute, List<RecipeSpec> recipes, ReadContext context)
    {
        TypedConstant? list = attribute?.NamedArguments.Where(a => a.Key == "Recipes").Select(a => (TypedConstant?)a.Value).FirstOrDefault();
        if (list is null)
        {
            recipes.AddRange([RecipeSpec.Bf16, RecipeSpec.TransformerEngine]);
            return;
        }

        if (list.Value.Kind != TypedConstantKind.Array || list.Value.IsNull)
        {
            context.Broken |= list.Value.Kind == TypedConstantKind.Error;
            return;
        }

        AttributeSyntax? syntax = attribute!.ApplicationSyntaxReference?.GetSyntax(context.Cancellation) as AttributeSyntax;
        List<Location> places = [.. Elements(syntax).Select(e => Places.Of(e))];
        for (int i = 0; i < list.Value.Values.Length; i++)
        {
            Location place = i < places.Count ? places[i] : syntax?.GetLocation() ?? Location.None;
            if (FindBuiltIn(list.Value.Values[i].Type, list.Value.Values[i].Value) is { } recipe)
            {
                Add(recipe with { Site = context.Site(place) }, place, recipes, context);
            }
            else
            {
                context.Report(DiagnosticDescriptors.RecipeCombination, place, place.SourceTree is null ? "?" : place.SourceTree.GetText(context.Cancellation).ToString(place.SourceSpan), "it is no built-in recipe");
            }
        }
    }

    private static IEnumerable<SyntaxNode> Elements(AttributeSyntax? attribute) => attribute?.ArgumentList?.Arguments
        .FirstOrDefault(a => a.NameEquals?.Name.Identifier.Text == "Recipes")?.Expression switch
    {
        CollectionExpressionSyntax collection => collection.Elements,
        ArrayCreationExpressionSyntax { Initializer: { } items } => items.Expressions,
        ImplicitArrayCreationExpressionSyntax { Initializer: { } items } => items.Expressions,
        _ => [],
    };

    private static RecipeSpec? FindBuiltIn(ITypeSymbol? type, object? value)
    {
        string? name = type?.GetMembers().OfType<IFieldSymbol>().FirstOrDefault(f => f.HasConstantValue && Equals(f.ConstantValue, value))?.Name;
        return BuiltIn.FirstOrDefault(r => r.Name == name);
    }

    private static RecipeSpec? ReadField(IFieldSymbol field, ForwardReader reader, ReadContext context)
    {
        Location place = Places.Of(field, Location.None);
        IOperation? operation = ForwardReader.Initializer(field) is { } initializer ? context.OperationOf(initializer) : null;
        IOperation? value = operation is null ? null : ForwardReader.Unwrap(ForwardReader.InitializerValue(operation));
        if (value is IInvalidOperation)
        {
            context.Broken = true;
            return null;
        }

        if (value is not IObjectCreationOperation { Arguments: [var start] } creation || field is not { IsStatic: true, IsReadOnly: true }
            || !KnownTypes.Same(field.Type, context.Types.RecipeDefinition)
            || reader.EvaluateStatic(start.Value) is not ConstantValue { Value: var number } || FindBuiltIn(start.Parameter?.Type, number) is not { } recipe)
        {
            context.Report(DiagnosticDescriptors.RecipeDeclaration, place, field.Name);
            return null;
        }

        recipe = recipe with { Name = field.Name, Site = context.Site(place) };
        Dictionary<string, Location> places = [];
        foreach (ISimpleAssignmentOperation assignment in creation.Initializer?.Initializers.OfType<ISimpleAssignmentOperation>() ?? [])
        {
            if (assignment.Target is not IPropertyReferenceOperation { Property.Name: var role } || reader.EvaluateStatic(assignment.Value) is not ConstantValue { Value: var entry })
            {
                context.Report(DiagnosticDescriptors.RecipeDeclaration, Places.Of(assignment.Value), field.Name);
                return null;
            }

            places[role] = Places.Of(assignment.Value);
            recipe = RecipeRoles.With(recipe, role, entry);
        }

        return RecipeRoles.Check(recipe, role => places.TryGetValue(role, out Location? own) ? own : place, context) ? recipe : null;
    }

    private static void Add(RecipeSpec recipe, Location place, List<RecipeSpec> recipes, ReadContext context)
    {
        // On the command line names are compared without regard to case.
        if (recipes.Any(r => string.Equals(r.Name, recipe.Name, System.StringComparison.OrdinalIgnoreCase)))
        {
            context.Report(DiagnosticDescriptors.RecipeDuplicate, place, recipe.Name);
            return;
        }

        recipes.Add(recipe);
    }
}
