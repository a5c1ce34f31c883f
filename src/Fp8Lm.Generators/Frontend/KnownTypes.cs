using System.Linq;
using Microsoft.CodeAnalysis;

namespace Fp8Lm.Generators.Frontend;

/// <summary>The types of the language, as the user's compilation sees them.</summary>
internal sealed class KnownTypes
{
    public const string ModelAttribute = "Fp8Lm.Fp8ModelAttribute";

    private KnownTypes(Compilation compilation)
    {
        Model = Find(compilation, "Fp8ModelAttribute");
        Module = Find(compilation, "Fp8ModuleAttribute");
        ModelSize = Find(compilation, "ModelSizeAttribute");
        ModelRecipe = Find(compilation, "ModelRecipeAttribute");
        Op = Find(compilation, "OpAttribute");
        Dim = Find(compilation, "Dim");
        Size = Find(compilation, "Size");
        Weight = Find(compilation, "Weight");
        Init = Find(compilation, "Init");
        Repeat = Find(compilation, "Repeat`1");
        Tensor = Find(compilation, "Tensor");
        Mask = Find(compilation, "Mask");
        Tokens = Find(compilation, "Tokens");
        Labels = Find(compilation, "Labels");
        Loss = Find(compilation, "Loss");
        RecipeDefinition = Find(compilation, "RecipeDefinition");
    }

    public INamedTypeSymbol? Model { get; }

    public INamedTypeSymbol? Module { get; }

    public INamedTypeSymbol? ModelSize { get; }

    public INamedTypeSymbol? ModelRecipe { get; }

    public INamedTypeSymbol? Op { get; }

    public INamedTypeSymbol? Dim { get; }

    public INamedTypeSymbol? Size { get; }

    public INamedTypeSymbol? Weight { get; }

    public INamedTypeSymbol? Init { get; }

    public INamedTypeSymbol? Repeat { get; }

    public INamedTypeSymbol? Tensor { get; }

    public INamedTypeSymbol? Mask { get; }

    public INamedTypeSymbol? Tokens { get; }

    public INamedTypeSymbol? Labels { get; }

    public INamedTypeSymbol? Loss { get; }

    public INamedTypeSymbol? RecipeDefinition { get; }

    /// <summary>Null when the compilation does not reference the language.</summary>
    public static KnownTypes? From(Compilation compilation)
    {
        KnownTypes types = new(compilation);
        return types.Model is null || types.Dim is null || types.Tensor is null || types.Op is null ? null : types;
    }

    public static bool Same(ISymbol? left, ISymbol? right) => left is not null && SymbolEqualityComparer.Default.Equals(left.OriginalDefinition, right);

    public static bool Has(ISymbol symbol, INamedTypeSymbol? attribute) => Find(symbol, attribute) is not null;

    public static AttributeData? Find(ISymbol symbol, INamedTypeSymbol? attribute) =>
        attribute is null ? null : symbol.GetAttributes().FirstOrDefault(a => SymbolEqualityComparer.Default.Equals(a.AttributeClass, attribute));

    public bool IsModule(ITypeSymbol type) => Has(type, Module);

    public bool IsModel(ITypeSymbol type) => Has(type, Model);

    /// <summary>The op that a method or operator stands for, read from its own attribute; null for others.</summary>
    public string? OpKey(IMethodSymbol method) =>
        Find(method.OriginalDefinition, Op) is { ConstructorArguments: [{ Value: string key }] } ? key : null;

    private static INamedTypeSymbol? Find(Compilation compilation, string name) => compilation.GetTypeByMetadataName("Fp8Lm." + name);
}
