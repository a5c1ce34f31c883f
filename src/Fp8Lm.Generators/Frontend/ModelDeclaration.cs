using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Generators.Diagnostics;
using Fp8Lm.Generators.Model;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Microsoft.CodeAnalysis.CSharp.Syntax;

namespace Fp8Lm.Generators.Frontend;

/// <summary>The shell of a model: its class, the classes around it, its constructor, and which method is Forward.</summary>
internal sealed class ModelDeclaration(INamedTypeSymbol model, ReadContext context)
{
    private readonly Location place = Places.Of(model, Location.None);

    /// <summary>The constructor without parameters; null when there is none.</summary>
    public IMethodSymbol? Constructor { get; } = model.InstanceConstructors.FirstOrDefault(c => c.Parameters.IsEmpty);

    /// <summary>Reports what is wrong with the shell; gives Forward, or null without a usable one.</summary>
    public IMethodSymbol? Check()
    {
        if (!IsPartial(model))
        {
            context.Report(DiagnosticDescriptors.ModelNotPartial, place, model.Name);
        }

        if (model.IsStatic || model.IsAbstract || model.IsFileLocal)
        {
            context.Report(DiagnosticDescriptors.ModelIsStatic, place, model.Name, model.IsStatic ? "static" : model.IsAbstract ? "abstract" : "file");
        }

        for (INamedTypeSymbol? type = model; type is not null; type = type.ContainingType)
        {
            if (type.TypeParameters.Length > 0)
            {
                context.Report(DiagnosticDescriptors.ModelIsGeneric, Places.Of(type, place), type.Name);
            }

            if (!SymbolEqualityComparer.Default.Equals(type, model) && !IsPartial(type))
            {
                context.Report(DiagnosticDescriptors.ContainerNotPartial, place, model.Name, type.Name);
            }
        }

        if (model.BaseType is { SpecialType: not SpecialType.System_Object, TypeKind: not TypeKind.Error } parent)
        {
            context.Report(DiagnosticDescriptors.ModelBase, place, model.Name, parent.Name);
        }

        if (Constructor is null && !model.IsStatic)
        {
            context.Report(DiagnosticDescriptors.ModelConstructor, Places.Of(model.InstanceConstructors.FirstOrDefault() ?? (ISymbol)model, place), model.Name);
        }

        return Forward();
    }

    public TypeHierarchy Hierarchy()
    {
        List<string> containers = [];
        for (INamedTypeSymbol? type = model.ContainingType; type is not null; type = type.ContainingType)
        {
            containers.Insert(0, Declare(type));
        }

        string space = model.ContainingNamespace.IsGlobalNamespace ? "" : model.ContainingNamespace.ToDisplayString();
        return new TypeHierarchy(space, containers.ToEquatable(), Declare(model), model.Name);
    }

    private IMethodSymbol? Forward()
    {
        List<IMethodSymbol> candidates = [.. model.GetMembers("Forward").OfType<IMethodSymbol>()];
        KnownTypes types = context.Types;

        // With both, the loss is the more specific word: it usually calls the other.
        IMethodSymbol? forward = candidates.FirstOrDefault(m => Fits(m, types.Loss, types.Tokens, types.Labels))
            ?? candidates.FirstOrDefault(m => Fits(m, types.Tensor, types.Tokens));
        if (forward is null && candidates.Count == 0)
        {
            context.Report(DiagnosticDescriptors.ForwardMissing, place, model.Name);
        }
        else if (forward is null && candidates.Any(HasErrorType))
        {
            context.Broken = true;
        }
        else if (forward is null)
        {
            context.Report(DiagnosticDescriptors.ForwardSignature, Places.Of(candidates[0], place), Signature(candidates[0]));
        }

        return forward;
    }

    private static bool Fits(IMethodSymbol method, INamedTypeSymbol? result, params INamedTypeSymbol?[] parameters) =>
        method is { IsStatic: false, IsGenericMethod: false, IsAsync: false } && KnownTypes.Same(method.ReturnType, result)
        && method.Parameters.Length == parameters.Length
        && method.Parameters.Zip(parameters, (p, type) => p.RefKind == RefKind.None && KnownTypes.Same(p.Type, type)).All(fits => fits);

    private static bool HasErrorType(IMethodSymbol method) =>
        method.ReturnType.TypeKind == TypeKind.Error || method.Parameters.Any(p => p.Type.TypeKind == TypeKind.Error);

    private static string Signature(IMethodSymbol method)
    {
        string parameters = string.Join(", ", method.Parameters.Select(p => p.ToDisplayString(SymbolDisplayFormat.MinimallyQualifiedFormat)));
        string result = method.ReturnType.ToDisplayString(SymbolDisplayFormat.MinimallyQualifiedFormat);
        return (method.IsStatic ? "static " : "") + result + " " + method.Name + "(" + parameters + ")";
    }

    private static bool IsPartial(INamedTypeSymbol type) => type.DeclaringSyntaxReferences
        .All(r => r.GetSyntax() is not TypeDeclarationSyntax declaration || declaration.Modifiers.Any(SyntaxKind.PartialKeyword));

    private static string Declare(INamedTypeSymbol type)
    {
        string kind = (type.IsRecord, type.TypeKind) switch
        {
            (true, TypeKind.Struct) => "record struct",
            (true, _) => "record",
            (_, TypeKind.Struct) => "struct",
            (_, TypeKind.Interface) => "interface",
            _ => "class",
        };
        return SyntaxFacts.GetText(type.DeclaredAccessibility) + (type.IsStatic ? " static" : "") + " partial " + kind + " " + type.Name;
    }
}
