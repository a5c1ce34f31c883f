using System;
using System.Collections.Generic;
using System.Collections.Immutable;
using System.Linq;
using System.Reflection;
using Microsoft.CodeAnalysis;

namespace Fp8Lm.Generators.Diagnostics;

/// <summary>
/// Everything that can be wrong with a model. A message says what was found, what was expected, and what to write instead; every id
/// has a page in <c>docs/diagnostics</c> and a test.
/// </summary>
internal static partial class DiagnosticDescriptors
{
    private const string Category = "Fp8Lm";
    // Relative to the repository, as long as it has no public address.
    private const string HelpRoot = "docs/diagnostics/";

    private static readonly Lazy<ImmutableArray<DiagnosticDescriptor>> all = new(() =>
        typeof(DiagnosticDescriptors).GetFields(BindingFlags.Public | BindingFlags.Static)
            .Where(f => f.FieldType == typeof(DiagnosticDescriptor))
            .Select(f => (DiagnosticDescriptor)f.GetValue(null))
            .OrderBy(d => d.Id, StringComparer.Ordinal)
            .ToImmutableArray());

    private static readonly Lazy<Dictionary<string, DiagnosticDescriptor>> byId = new(() => All.ToDictionary(d => d.Id, StringComparer.Ordinal));

    /// <summary>In the order of their ids.</summary>
    public static ImmutableArray<DiagnosticDescriptor> All => all.Value;

    /// <summary>The descriptor of an error's code; an unknown code is a bug of ours and is shown as one.</summary>
    public static DiagnosticDescriptor Find(string id) => byId.Value.TryGetValue(id, out DiagnosticDescriptor? found) ? found : CompilerBug;

    private static DiagnosticDescriptor Error(string id, string title, string message) => Create(id, title, message, DiagnosticSeverity.Error);

    private static DiagnosticDescriptor Warning(string id, string title, string message) => Create(id, title, message, DiagnosticSeverity.Warning);

    private static DiagnosticDescriptor Create(string id, string title, string message, DiagnosticSeverity severity) =>
        new(id, title, message, Category, severity, isEnabledByDefault: true, helpLinkUri: HelpRoot + id + ".md");
}
