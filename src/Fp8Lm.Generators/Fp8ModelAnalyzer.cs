using System.Collections.Generic;
using System.Collections.Immutable;
using System.Linq;
using Fp8Lm.Generators.Diagnostics;
using Fp8Lm.Generators.Frontend;
using Fp8Lm.Generators.Model;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.Diagnostics;

namespace Fp8Lm.Generators;

/// <summary>Says what is wrong with a model, at the exact token, while it is typed. It reads and compiles as the generator does.</summary>
[DiagnosticAnalyzer(LanguageNames.CSharp)]
public sealed class Fp8ModelAnalyzer : DiagnosticAnalyzer
{
    /// <inheritdoc/>
    public override ImmutableArray<DiagnosticDescriptor> SupportedDiagnostics => DiagnosticDescriptors.All;

    /// <inheritdoc/>
    public override void Initialize(AnalysisContext context)
    {
        context.EnableConcurrentExecution();
        context.ConfigureGeneratedCodeAnalysis(GeneratedCodeAnalysisFlags.None);
        context.RegisterSymbolAction(Analyze, SymbolKind.NamedType);
    }

    private static void Analyze(SymbolAnalysisContext context)
    {
        INamedTypeSymbol type = (INamedTypeSymbol)context.Symbol;
        if (!type.GetAttributes().Any(a => a.AttributeClass?.ToDisplayString() == KnownTypes.ModelAttribute))
        {
            return;
        }

        ReadResult read = GuardedCompiler.Read(type, context.Compilation, context.CancellationToken);
        IEnumerable<CompileError> errors = read.Errors;
        if (read.Spec is not null)
        {
            errors = errors.Concat(GuardedCompiler.Compile(read.Spec).Errors);
        }

        Location place = Places.Of(type, Location.None);
        foreach (CompileError error in errors)
        {
            context.ReportDiagnostic(DiagnosticFactory.Create(error, read.Sites, place));
        }
    }
}
