using System;
using System.Collections.Generic;
using System.Linq;
using System.Reflection;
using Fp8Lm.Generators.Model;
using Fp8Lm.Generators.Tests.Harness;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Xunit;

namespace Fp8Lm.Generators.Tests.Incrementality;

/// <summary>What an edit re-runs. Reading always looks at the code again; everything behind it depends on values only.</summary>
public sealed class IncrementalityTests
{
    private static readonly IncrementalStepRunReason[] Idle = [IncrementalStepRunReason.Cached, IncrementalStepRunReason.Unchanged];

    [Theory]
    [InlineData("Tensor x = Embed", "// a comment\n        Tensor x = Embed")]
    [InlineData("public partial class Block(", "\n\n/* moved */ public partial class Block(")]
    [InlineData("Tensor Attend(", "/// <summary>Documented.</summary>\n    Tensor Attend(")]
    public void CommentsChangeNothing(string before, string after)
    {
        GeneratorTest test = new();
        test.Run(TestCompilation.Create(ModelSources.Gpt));

        test.Run(TestCompilation.Create(ModelSources.Gpt.Replace(before, after, StringComparison.Ordinal)));

        AssertIdle(test);
    }

    [Fact]
    public void AnotherFileChangesNothing()
    {
        CSharpCompilation compilation = TestCompilation.Create(ModelSources.Gpt, "class Program { }");
        GeneratorTest test = new();
        test.Run(compilation);

        SyntaxTree other = compilation.SyntaxTrees[1];
        test.Run(compilation.ReplaceSyntaxTree(other, CSharpSyntaxTree.ParseText("class Program { void Main() { } }", TestCompilation.Parse, other.FilePath, cancellationToken: TestContext.Current.CancellationToken)));

        AssertIdle(test);
    }

    [Fact]
    public void AModuleInAnotherFileIsPartOfTheModel()
    {
        int split = ModelSources.Gpt.IndexOf("[Fp8Module]", StringComparison.Ordinal);
        string model = ModelSources.Gpt[..split], modules = ModelSources.Gpt[split..];
        GeneratorTest test = new();
        test.Run(TestCompilation.Create(model, modules));

        test.Run(TestCompilation.Create(model, modules.Replace("Gelu", "Silu", StringComparison.Ordinal)));

        Assert.Equal([IncrementalStepRunReason.Modified], test.Reasons(TrackingNames.Read));
    }

    [Fact]
    public void AnEditOfOneModelLeavesOthersAlone()
    {
        CSharpCompilation compilation = TestCompilation.Create(ModelSources.Gpt, ModelSources.Llama);
        GeneratorTest test = new();
        test.Run(compilation);

        SyntaxTree llama = compilation.SyntaxTrees[1];
        string edited = llama.ToString().Replace("zLoss: 1e-4f", "zLoss: 2e-4f", StringComparison.Ordinal);
        test.Run(compilation.ReplaceSyntaxTree(llama, CSharpSyntaxTree.ParseText(edited, TestCompilation.Parse, llama.FilePath, cancellationToken: TestContext.Current.CancellationToken)));

        Assert.Equal(1, test.Reasons(TrackingNames.Read).Count(r => Idle.Contains(r)));
        Assert.Equal(1, test.Reasons(TrackingNames.Read).Count(r => r == IncrementalStepRunReason.Modified));
    }

    /// <summary>Symbols or syntax in a pipeline value would keep old compilations alive and never compare equal.</summary>
    [Fact]
    public void PipelineValuesHoldNeitherSymbolsNorPositions()
    {
        foreach (Type type in Reachable(typeof(ModelSpec)))
        {
            Assert.False(typeof(ISymbol).IsAssignableFrom(type) || typeof(SyntaxNode).IsAssignableFrom(type) || typeof(SyntaxTree).IsAssignableFrom(type)
                || typeof(Compilation).IsAssignableFrom(type) || typeof(Location).IsAssignableFrom(type) || type.Namespace?.StartsWith("Microsoft", StringComparison.Ordinal) == true, type.FullName);
        }
    }

    private static void AssertIdle(GeneratorTest test)
    {
        Assert.NotEmpty(test.Reasons(TrackingNames.Read));
        Assert.All(test.Reasons(TrackingNames.Read), r => Assert.Contains(r, Idle));
        Assert.NotEmpty(test.Reasons(TrackingNames.Compile));
        Assert.All(test.Reasons(TrackingNames.Compile), r => Assert.Equal(IncrementalStepRunReason.Cached, r));
    }

    private static HashSet<Type> Reachable(Type root)
    {
        HashSet<Type> found = [];
        Queue<Type> open = new([root, typeof(OpSpec), typeof(LoopSpec)]);
        while (open.TryDequeue(out Type? type))
        {
            if (!found.Add(type) || type.IsPrimitive || type == typeof(string))
            {
                continue;
            }

            foreach (FieldInfo field in type.GetFields(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic))
            {
                open.Enqueue(field.FieldType.IsArray ? field.FieldType.GetElementType()! : field.FieldType);
            }

            foreach (Type argument in type.GenericTypeArguments)
            {
                open.Enqueue(argument);
            }
        }

        return found;
    }
}
