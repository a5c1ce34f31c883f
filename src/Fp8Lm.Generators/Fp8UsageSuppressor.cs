using System.Collections.Immutable;
using System.Linq;
using System.Threading;
using Fp8Lm.Generators.Frontend;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.Diagnostics;

namespace Fp8Lm.Generators;

/// <summary>
/// Silences "unused member" and its kin for what only the generator reads: a private Forward is never called in C#, a size never read, a
/// module never created. Weights that are really unused are reported by <see cref="Fp8ModelAnalyzer"/>, which knows better.
/// </summary>
[DiagnosticAnalyzer(LanguageNames.CSharp)]
public sealed class Fp8UsageSuppressor : DiagnosticSuppressor
{
    private const string Reason = "The Fp8Lm generator reads this member";

    private static readonly string[] Ids =
    [
        "IDE0051", "IDE0052", // private member unused, or assigned and never read
        "IDE0060", "CA1801", // parameter unused
        "CA1823", // field unused
        "CA1812", // class never created
        "CS0169", "CS0414", // field never used, or assigned and never read
    ];

    private static readonly ImmutableArray<SuppressionDescriptor> descriptors =
        [.. Ids.Select(id => new SuppressionDescriptor("FP8LS" + id, id, Reason))];

    /// <inheritdoc/>
    public override ImmutableArray<SuppressionDescriptor> SupportedSuppressions => descriptors;

    /// <inheritdoc/>
    public override void ReportSuppressions(SuppressionAnalysisContext context)
    {
        foreach (Diagnostic diagnostic in context.ReportedDiagnostics)
        {
            if (diagnostic.Location.SourceTree is { } tree
                && Symbol(context.GetSemanticModel(tree), tree, diagnostic.Location, context.CancellationToken) is { } symbol
                && KnownTypes.From(context.Compilation) is { } types && IsRead(symbol, types))
            {
                context.ReportSuppression(Suppression.Create(descriptors.First(d => d.SuppressedDiagnosticId == diagnostic.Id), diagnostic));
            }
        }
    }

    private static ISymbol? Symbol(SemanticModel model, SyntaxTree tree, Location location, CancellationToken cancellation)
    {
        for (SyntaxNode? node = tree.GetRoot(cancellation).FindNode(location.SourceSpan); node is not null; node = node.Parent)
        {
            if (model.GetDeclaredSymbol(node, cancellation) is { } symbol)
            {
                return symbol;
            }
        }

        return null;
    }

    private static bool IsRead(ISymbol symbol, KnownTypes types)
    {
        INamedTypeSymbol? type = symbol as INamedTypeSymbol ?? symbol.ContainingType;
        return type is not null && (types.IsModel(type) || types.IsModule(type));
    }
}
