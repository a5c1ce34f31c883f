using System;
using System.Globalization;
using System.IO;
using System.Linq;
using BenchmarkDotNet.Attributes;
using Fp8Lm.Generators;
using Fp8Lm.Generators.Frontend;
using Fp8Lm.Generators.Model;
using Fp8Lm.Generators.Tests.Harness;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;

namespace Fp8Lm.Benchmarks;

/// <summary>What an edit of a model costs: the GPT of <c>samples/TinyGpt</c> at the size of GPT-175B with 96 layers, and with 2.</summary>
[MemoryDiagnoser]
public class GenerationBenchmarks
{
    private CSharpCompilation compilation = null!;
    private INamedTypeSymbol model = null!;
    private ModelSpec spec = null!;

    /// <summary>Layers of the size.</summary>
    [Params(2, 96)]
    public int Layers { get; set; }

    /// <summary>The recipe; one is compiled.</summary>
    [Params("Bf16", "TransformerEngine")]
    public string Recipe { get; set; } = "";

    [GlobalSetup]
    public void Setup()
    {
        using StreamReader reader = new(typeof(GenerationBenchmarks).Assembly.GetManifestResourceStream("Gpt.cs")!);
        string[] lines = reader.ReadToEnd().Split('\n');
        string size = string.Create(CultureInfo.InvariantCulture,
            $"    [ModelSize] static readonly Size Gpt175B = new() {{ [Vocab] = 51200, [Context] = 2048, [Width] = 12288, [Heads] = 96, [Layers] = {Layers} }};");
        int place = Array.FindIndex(lines, l => l.Contains("[ModelSize]", StringComparison.Ordinal));
        string source = string.Join('\n', lines.Take(place).Append(size).Concat(lines.Skip(place).Where(l => !l.Contains("[ModelSize]", StringComparison.Ordinal))));
        int recipes = source.IndexOf("Recipes = [", StringComparison.Ordinal);
        source = source[..recipes] + "Recipes = [Recipe." + Recipe + source[source.IndexOf("])]", recipes, StringComparison.Ordinal)..];
        compilation = TestCompilation.CreateRaw(source);
        model = compilation.GetSymbolsWithName("Gpt", SymbolFilter.Type).OfType<INamedTypeSymbol>().Single();
        spec = ReadSpec();
    }

    /// <summary>The front end: symbols and operations of the user's code to a spec.</summary>
    [Benchmark]
    public ModelSpec ReadSpec() =>
        ModelReader.Read(model, compilation, default).Spec ?? throw new InvalidOperationException("the sample has errors");

    /// <summary>All passes, both renderers, all emitted files.</summary>
    [Benchmark]
    public CompileResult Compile() => ModelCompiler.Compile(spec);

    /// <summary>Both: a full generation after an edit.</summary>
    [Benchmark(Baseline = true)]
    public CompileResult Generate() => ModelCompiler.Compile(ReadSpec());
}
