using System.Linq;
using Fp8Lm.Generators.Frontend;
using Fp8Lm.Generators.Model;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Xunit;

namespace Fp8Lm.Generators.Tests.Harness;

/// <summary>Source to <see cref="ModelSpec"/>.</summary>
internal static class FrontendTest
{
    public static ReadResult Read(Compilation compilation)
    {
        INamedTypeSymbol model = compilation.GetSymbolsWithName(_ => true, SymbolFilter.Type).OfType<INamedTypeSymbol>()
            .First(t => t.GetAttributes().Any(a => a.AttributeClass?.Name == "Fp8ModelAttribute"));
        return ModelReader.Read(model, compilation, TestContext.Current.CancellationToken);
    }

    /// <summary>The spec of a model that has nothing wrong with it, for C# and for us.</summary>
    public static ModelSpec Spec(params string[] sources)
    {
        CSharpCompilation compilation = TestCompilation.Create(sources);
        Assert.Empty(TestCompilation.Errors(compilation));
        ReadResult read = Read(compilation);
        Assert.Equal([], read.Errors.Select(e => e.Code + ": " + string.Join(", ", e.Arguments.AsEnumerable())));
        Assert.NotNull(read.Spec);
        return read.Spec;
    }

    /// <summary>Statements and parameters as text.</summary>
    public static string Print(params string[] sources) => SpecPrinter.Print(Spec(sources));

    /// <summary>
    /// Statements of a model whose Forward has the given body, over <c>x</c> [Width] made from <c>table</c> [Vocab, Width]; members may be added. The body
    /// returns something of shape [Width].
    /// </summary>
    public static string Body(string body, string members = "", string more = "") => SpecPrinter.PrintForward(Spec(Model(body, members, more)));

    /// <summary>The source that <see cref="Body"/> reads.</summary>
    public static string Model(string body, string members = "", string more = "") => $$"""
        [Fp8Model(Recipes = [Recipe.Fp32])]
        public partial class M
        {
            static readonly Dim Vocab = new(), Width = new(), Heads = new(), Layers = new();
            [ModelSize] static readonly Size Small = new() { [Vocab] = 256, [Width] = 64, [Heads] = 4, [Layers] = 2 };
            readonly Weight table = new(Vocab, Width);
            {{members}}
            Tensor Forward(Tokens ids)
            {
                Tensor x = Embed(table, ids);
                x = Run(x);
                return Linear(x, table);
            }
            Tensor Run(Tensor x)
            {
                {{body}}
            }
        }
        {{more}}
        """;
}
