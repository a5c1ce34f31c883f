using System;
using System.Collections.Generic;
using System.Linq;
using System.Threading.Tasks;
using Fp8Lm.Generators.Diagnostics;
using Fp8Lm.Generators.Frontend;
using Fp8Lm.Generators.Model;
using Fp8Lm.Generators.Tests.Harness;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Microsoft.CodeAnalysis.Text;
using Xunit;

namespace Fp8Lm.Generators.Tests.Frontend;

/// <summary>
/// Half-typed code: whatever is missing, generator and analyzer neither throw nor report a bug of their own. The first source is tried at every
/// token, the others at every third, which keeps the run short.
/// </summary>
public sealed class BrokenCodeTests
{
    // Many deletions leave the same model; it is compiled once.
    private readonly HashSet<ModelSpec> compiled = [];
    private int cases;

    private static readonly string[] Sources = [ModelSources.Llama, MoreModelSources.SpeedRun, MoreModelSources.Gemma];

    [Theory]
    [InlineData(0, 1)]
    [InlineData(1, 3)]
    [InlineData(2, 3)]
    public async Task TruncatedAtTokens(int source, int step)
    {
        string text = TestCompilation.Usings + Sources[source];
        foreach (SyntaxToken token in Tokens(text).Where((_, i) => i % step == 0))
        {
            await Check(text[..token.Span.End]);
        }
    }

    [Theory]
    [InlineData(0, 1)]
    [InlineData(1, 3)]
    [InlineData(2, 3)]
    public async Task TokensDeleted(int source, int step)
    {
        string text = TestCompilation.Usings + Sources[source];
        foreach (SyntaxToken token in Tokens(text).Where((_, i) => i % step == 0))
        {
            await Check(text.Remove(token.SpanStart, token.Span.Length));
        }
    }

    [Fact]
    public async Task TokensSwappedAndDoubledAtRandom()
    {
        Random random = new(17);
        foreach (string source in Sources)
        {
            string text = TestCompilation.Usings + source;
            SyntaxToken[] tokens = [.. Tokens(text)];
            for (int round = 0; round < 60; round++)
            {
                string edited = text;
                foreach (SyntaxToken token in Enumerable.Range(0, 3).Select(_ => tokens[random.Next(tokens.Length)]).DistinctBy(t => t.SpanStart).OrderByDescending(t => t.SpanStart))
                {
                    edited = edited.Remove(token.SpanStart, token.Span.Length).Insert(token.SpanStart, " " + tokens[random.Next(tokens.Length)].Text + " ");
                }

                await Check(edited);
            }
        }
    }

    [Theory]
    [InlineData("[Fp8Model]")]
    [InlineData("[Fp8Model] partial class")]
    [InlineData("[Fp8Model] partial class M : M { }")]
    [InlineData("[Fp8Model] partial class M { static readonly Dim A = B, B = A; Tensor Forward(Tokens t) => null!; }")]
    [InlineData("[Fp8Model] partial class M { readonly M m = new(); Tensor Forward(Tokens t) => m.Forward(t); }")]
    [InlineData("[Fp8Model] partial struct M { Tensor Forward(Tokens t) => Forward(t); }")]
    [InlineData("[Fp8Model] partial record M(int A) { Tensor Forward(Tokens t) { Tensor F() => F(); return F(); } }")]
    [InlineData("[Fp8Model] partial class M { public M() : this() { } Tensor Forward(Tokens t) => null!; }")]
    [InlineData("[Fp8Model(Recipes = null)] partial class M { async Tensor Forward(Tokens t) => await Forward(t); }")]
    [InlineData("[Fp8Model(Recipes = [(Recipe)99])] partial class M { Tensor P => P; Tensor Forward(Tokens t) => P; }")]
    [InlineData("[Fp8Model] partial class M { readonly Weight w = new(null!), v = new(1, null!); Tensor Forward(Tokens t) => w + v; }")]
    [InlineData("[Fp8Model] partial class M { [ModelSize] int s; [ModelRecipe] int r; static readonly Weight w = new(w.Shape); Tensor Forward(Tokens t) => Reshape(Linear(null!, null!)); }")]
    [InlineData("[Fp8Model] partial class M { readonly Weight w = new(Vocab[0]) { Init = new(), Decay = 3 }; Tensor Forward(Tokens t, int = 3) => (w, w); }")]
    public Task OddDeclarations(string source) => Check(TestCompilation.Usings + source);

    private static IEnumerable<SyntaxToken> Tokens(string text) => CSharpSyntaxTree.ParseText(SourceText.From(text), TestCompilation.Parse).GetRoot().DescendantTokens();

    private async Task Check(string source)
    {
        CSharpCompilation compilation = TestCompilation.CreateRaw(source);

        // The whole machinery around the front end is slow to start, so most cases go to what is behind it.
        if (cases++ % 16 == 0)
        {
            new GeneratorTest().Run(compilation);
            AssertNoBug((await DiagnosticTest.Analyze(compilation)).Where(d => d.Id == DiagnosticDescriptors.CompilerBug.Id).Select(d => d.ToString()), source);
            return;
        }

        foreach (INamedTypeSymbol model in compilation.GetSymbolsWithName(_ => true, SymbolFilter.Type).OfType<INamedTypeSymbol>()
            .Where(t => t.GetAttributes().Any(a => a.AttributeClass?.Name == "Fp8ModelAttribute")))
        {
            ReadResult read = GuardedCompiler.Read(model, compilation, TestContext.Current.CancellationToken);
            IEnumerable<CompileError> errors = read.Spec is null || !compiled.Add(read.Spec) ? read.Errors : read.Errors.Concat(GuardedCompiler.Compile(read.Spec).Errors);
            AssertNoBug(errors.Select(e => DiagnosticFactory.Create(e, read.Sites, Location.None)).Where(d => d.Id == DiagnosticDescriptors.CompilerBug.Id).Select(d => d.ToString()), source);
        }
    }

    private static void AssertNoBug(IEnumerable<string> bugs, string source)
    {
        foreach (string bug in bugs)
        {
            Assert.Fail(bug + "\n" + source);
        }
    }
}
