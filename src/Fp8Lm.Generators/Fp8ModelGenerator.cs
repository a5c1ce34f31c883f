using System.Collections.Generic;
using System.Text;
using System.Threading;
using Fp8Lm.Generators.Frontend;
using Fp8Lm.Generators.Model;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp.Syntax;
using Microsoft.CodeAnalysis.Text;

namespace Fp8Lm.Generators;

/// <summary>Compiles every class with <c>[Fp8Model]</c>. What is wrong with one is said by <see cref="Fp8ModelAnalyzer"/>.</summary>
[Generator(LanguageNames.CSharp)]
public sealed class Fp8ModelGenerator : IIncrementalGenerator
{
    /// <inheritdoc/>
    public void Initialize(IncrementalGeneratorInitializationContext context)
    {
        IncrementalValuesProvider<ModelSpec> specs = context.SyntaxProvider
            .ForAttributeWithMetadataName(KnownTypes.ModelAttribute, IsClass, Read)
            .Where(static spec => spec is not null)
            .Select(static (spec, _) => spec!)
            .WithTrackingName(TrackingNames.Read);
        IncrementalValuesProvider<EquatableArray<GeneratedSource>> sources = specs
            .Select(static (spec, _) => GuardedCompiler.Compile(spec).Sources)
            .WithTrackingName(TrackingNames.Compile);
        context.RegisterSourceOutput(sources, Emit);
    }

    private static bool IsClass(SyntaxNode node, CancellationToken cancellation) => node is TypeDeclarationSyntax;

    private static ModelSpec? Read(GeneratorAttributeSyntaxContext context, CancellationToken cancellation) =>
        GuardedCompiler.Read((INamedTypeSymbol)context.TargetSymbol, context.SemanticModel.Compilation, cancellation).Spec;

    private static void Emit(SourceProductionContext context, EquatableArray<GeneratedSource> sources)
    {
        foreach (GeneratedSource source in (IEnumerable<GeneratedSource>)sources)
        {
            context.AddSource(source.Name, SourceText.From(source.Text, Encoding.UTF8));
        }
    }
}
