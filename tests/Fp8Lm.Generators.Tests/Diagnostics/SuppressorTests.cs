using System.Collections.Immutable;
using System.Linq;
using System.Threading.Tasks;
using Fp8Lm.Generators.Tests.Harness;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Microsoft.CodeAnalysis.Diagnostics;
using Xunit;

namespace Fp8Lm.Generators.Tests.Diagnostics;

public sealed class SuppressorTests
{
    [Fact]
    public async Task UnusedMembersOfModelsAreSilentAndOthersAreNot()
    {
        CSharpCompilation compilation = TestCompilation.Create(ModelSources.Gpt, "class Other { void Unused() { } }");
        CompilationWithAnalyzers analysis = compilation.WithAnalyzers([new EverythingIsUnused(), new Fp8UsageSuppressor()], new CompilationWithAnalyzersOptions(
            new AnalyzerOptions([]), null, concurrentAnalysis: false, logAnalyzerExecutionTime: false, reportSuppressedDiagnostics: true));

        ImmutableArray<Diagnostic> found = await analysis.GetAnalyzerDiagnosticsAsync(TestContext.Current.CancellationToken);

        Assert.Contains(found, d => d.IsSuppressed && Name(d) == "Forward");
        Assert.Contains(found, d => d.IsSuppressed && Name(d) == "Tiny");
        Assert.Equal(["Other", "Unused"], found.Where(d => !d.IsSuppressed).Select(Name).Order());
    }

    private static string Name(Diagnostic diagnostic) => diagnostic.Location.SourceTree!.ToString().Substring(diagnostic.Location.SourceSpan.Start, diagnostic.Location.SourceSpan.Length);

#pragma warning disable RS1036, RS1041, RS2008 // This analyzer lives in a test, never in a compiler.
    /// <summary>Stands for the SDK's own analyzer, which ships with the IDE.</summary>
    [DiagnosticAnalyzer(LanguageNames.CSharp)]
    private sealed class EverythingIsUnused : DiagnosticAnalyzer
    {
        private static readonly DiagnosticDescriptor Rule = new("IDE0051", "Unused", "Unused", "Test", DiagnosticSeverity.Warning, isEnabledByDefault: true);

        public override ImmutableArray<DiagnosticDescriptor> SupportedDiagnostics => [Rule];

        public override void Initialize(AnalysisContext context)
        {
            context.EnableConcurrentExecution();
            context.ConfigureGeneratedCodeAnalysis(GeneratedCodeAnalysisFlags.None);
            context.RegisterSymbolAction(c => c.ReportDiagnostic(Diagnostic.Create(Rule, c.Symbol.Locations[0])), SymbolKind.Field, SymbolKind.Method, SymbolKind.NamedType);
        }
    }
#pragma warning restore RS1036, RS1041, RS2008
}
