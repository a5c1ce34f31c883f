using System;
using System.Collections.Generic;
using System.Collections.Immutable;
using System.Globalization;
using System.Linq;
using System.Text;
using System.Threading.Tasks;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Microsoft.CodeAnalysis.Diagnostics;
using Microsoft.CodeAnalysis.Text;
using Xunit;

namespace Fp8Lm.Generators.Tests.Harness;

/// <summary>
/// Source with marks, <c>[|FP8L0701:while|]</c>, in and the analyzer's diagnostics out: the ids and the marked tokens must be exactly those reported.
/// </summary>
internal static class DiagnosticTest
{
    /// <summary>Checks ids and places; gives the messages, in the order of the marks.</summary>
    public static async Task<string[]> Verify(params string[] marked)
    {
        List<(string Id, string File, TextSpan Span)> expected = [];
        string[] sources = [.. marked.Select((m, i) => Unmark(TestCompilation.Usings + m, "File" + i.ToString(CultureInfo.InvariantCulture) + ".cs", expected))];
        CSharpCompilation compilation = TestCompilation.CreateRaw(sources);
        IEnumerable<Diagnostic> found = (await Analyze(compilation)).OrderBy(d => d.Location.SourceTree?.FilePath, StringComparer.Ordinal)
            .ThenBy(d => d.Location.SourceSpan.Start).ThenBy(d => d.Id, StringComparer.Ordinal);

        Assert.Equal(
            string.Join("\n", expected.OrderBy(e => e.File, StringComparer.Ordinal).ThenBy(e => e.Span.Start).ThenBy(e => e.Id, StringComparer.Ordinal).Select(e => Show(e.Id, e.File, e.Span, compilation, null))),
            string.Join("\n", found.Select(d => Show(d.Id, d.Location.SourceTree?.FilePath ?? "", d.Location.SourceSpan, compilation, expected.Any(e => e.Id == d.Id) ? null : d.GetMessage(CultureInfo.InvariantCulture)))));
        return [.. found.Select(d => d.GetMessage(CultureInfo.InvariantCulture))];
    }

    /// <summary>Wraps the body of a method over <c>Tensor x</c> [Width] as <see cref="FrontendTest.Model"/> does.</summary>
    public static Task<string[]> VerifyBody(string body, string members = "", string more = "") => Verify(FrontendTest.Model(body, members, more));

    public static async Task<ImmutableArray<Diagnostic>> Analyze(Compilation compilation)
    {
        CompilationWithAnalyzers analysis = compilation.WithAnalyzers(
            [new Fp8ModelAnalyzer()],
            new CompilationWithAnalyzersOptions(new AnalyzerOptions([]), onAnalyzerException: (exception, _, _) => throw new InvalidOperationException("the analyzer threw", exception), concurrentAnalysis: false, logAnalyzerExecutionTime: false));
        return await analysis.GetAnalyzerDiagnosticsAsync(TestContext.Current.CancellationToken);
    }

    private static string Show(string id, string file, TextSpan span, CSharpCompilation compilation, string? message)
    {
        SyntaxTree? tree = compilation.SyntaxTrees.FirstOrDefault(t => t.FilePath == file);
        string place = tree is null ? "nowhere" : tree.GetLineSpan(span).StartLinePosition + " '" + tree.GetText().ToString(span) + "'";
        return id + " at " + file + " " + place + (message is null ? "" : ": " + message);
    }

    private static string Unmark(string marked, string file, List<(string Id, string File, TextSpan Span)> expected)
    {
        StringBuilder source = new();
        int position = 0;
        for (int start = marked.IndexOf("[|FP8L", StringComparison.Ordinal); start >= 0; start = marked.IndexOf("[|FP8L", position, StringComparison.Ordinal))
        {
            source.Append(marked, position, start - position);
            int colon = marked.IndexOf(':', start), end = marked.IndexOf("|]", start, StringComparison.Ordinal);
            expected.Add((marked[(start + 2)..colon], file, new TextSpan(source.Length, end - colon - 1)));
            source.Append(marked, colon + 1, end - colon - 1);
            position = end + 2;
        }

        return source.Append(marked, position, marked.Length - position).ToString();
    }
}
