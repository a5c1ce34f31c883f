using System.Collections.Generic;
using System.Linq;
using System.Threading;
using Fp8Lm.Generators.Diagnostics;
using Fp8Lm.Generators.Model;
using Microsoft.CodeAnalysis;

namespace Fp8Lm.Generators.Frontend;

/// <summary>What the front end found: a model, or errors, or neither where C# itself reports errors. Warnings come with either.</summary>
internal sealed record ReadResult(ModelSpec? Spec, IReadOnlyList<CompileError> Errors, SiteMap Sites);

/// <summary>Symbols and operations in, a comparable <see cref="ModelSpec"/> out. Generator and analyzer both read through it.</summary>
internal static class ModelReader
{
    public static ReadResult Read(INamedTypeSymbol model, Compilation compilation, CancellationToken cancellation)
    {
        if (KnownTypes.From(compilation) is not { } types)
        {
            return new ReadResult(null, [], new SiteMap());
        }

        ReadContext context = new(compilation, types, cancellation);
        ModelSpec? spec = ReadModel(model, context);
        return new ReadResult(context.Failed || context.Broken ? null : spec, context.Errors, context.Sites);
    }

    private static ModelSpec? ReadModel(INamedTypeSymbol model, ReadContext context)
    {
        ModelDeclaration declaration = new(model, context);
        IMethodSymbol? forward = declaration.Check();

        ForwardReader reader = new(context);
        foreach (ISymbol member in model.GetMembers().Where(m => m.IsStatic && !m.IsImplicitlyDeclared && IsDim(m, context.Types)))
        {
            reader.ReadStatic(member, null);
        }

        ModuleValue instance = reader.Instantiate(model, declaration.Constructor, [], "");
        IReadOnlyList<StatementSpec> program = forward is null ? [] : reader.ReadForward(forward, instance);

        // After the forward pass, since it may use dimensions that are declared elsewhere, which sizes bind as well.
        List<SizeSpec> sizes = SizeReader.Read(model, reader, context);
        List<RecipeSpec> recipes = RecipeReader.Read(model, reader, context);
        return new ModelSpec(
            declaration.Hierarchy(),
            reader.Dims.Names.ToEquatable(),
            sizes.ToEquatable(),
            reader.Weights.Select(w => Parameter(w, context)).ToEquatable(),
            program.ToEquatable(),
            recipes.ToEquatable());
    }

    private static bool IsDim(ISymbol member, KnownTypes types) => member switch
    {
        IFieldSymbol field => KnownTypes.Same(field.Type, types.Dim),
        IPropertySymbol property => KnownTypes.Same(property.Type, types.Dim),
        _ => false,
    };

    private static ParameterSpec Parameter(WeightValue weight, ReadContext context) => new(
        weight.Path, weight.Shape.ToEquatable(), weight.Init, weight.Repeat?.Loop ?? -1, weight.Decay, weight.Fp8, context.Site(weight.Location));
}
