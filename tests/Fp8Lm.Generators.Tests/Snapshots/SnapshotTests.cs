using System.Linq;
using Fp8Lm.Generators.Model;
using Fp8Lm.Generators.Tests.Harness;
using Xunit;

namespace Fp8Lm.Generators.Tests.Snapshots;

/// <summary>Everything the compiler says about two small models. A refactor that changes nothing changes no file here.</summary>
public sealed class SnapshotTests
{
    /// <summary>One linear and the loss.</summary>
    private const string Linear = """
        [Fp8Model(Recipes = [Recipe.Fp32])]
        public partial class Bigram
        {
            static readonly Dim Vocab = new(), Width = new();
            [ModelSize] static readonly Size Small = new() { [Vocab] = 256, [Width] = 64 };
            readonly Weight table = new(Vocab, Width), head = new(Vocab, Width), bias = new(Vocab);
            Tensor Forward(Tokens ids) => Linear(Embed(table, ids), head, bias);
        }
        """;

    private static readonly string[] Parts = ["", ".Kernels", ".Cpu", ".Ir"];

    public static TheoryData<string, string, string> Files()
    {
        TheoryData<string, string, string> files = [];
        foreach (string model in new[] { "Bigram", "Gpt" })
        {
            files.Add(model, "", "");
            foreach (string recipe in new[] { "Fp32", "TransformerEngine" })
            {
                foreach (string part in Parts)
                {
                    files.Add(model, recipe, part);
                }
            }
        }

        return files;
    }

    [Theory]
    [MemberData(nameof(Files))]
    public void EmittedFile(string model, string recipe, string part)
    {
        RecipeSpec[] recipes = recipe.Length == 0 ? [RecipeSpec.Fp32, RecipeSpec.TransformerEngine] : [CompilerTest.Recipe(recipe)];
        ModelSpec spec = FrontendTest.Spec(model == "Gpt" ? ModelSources.Gpt : Linear) with { Recipes = recipes.ToEquatable() };
        string name = model + (recipe.Length == 0 ? "" : "." + recipe) + part;

        GeneratedSource source = ModelCompiler.Compile(spec).Sources.Single(s => s.Name == name + ".g.cs");

        Snapshot.Match(name, source.Text);
    }

    [Fact]
    public void ADifferenceShowsWhatChangedAndWhere() => Assert.Equal(
        "@@ line 3 @@\n  a\n  b\n- c\n+ C\n+ D\n  d\n  e",
        Snapshot.Difference("a\nb\nc\nd\ne", "a\nb\nC\nD\nd\ne"), ignoreLineEndingDifferences: false);
}
