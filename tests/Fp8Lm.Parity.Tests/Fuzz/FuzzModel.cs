using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Reflection;
using System.Threading;
using Fp8Lm.Execution;
using Fp8Lm.Generators;
using Fp8Lm.Generators.Frontend;
using Fp8Lm.Generators.Model;
using Fp8Lm.Parity.Tests.Harness;
using Fp8Lm.Parity.Tests.Reference;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Microsoft.CodeAnalysis.Emit;

namespace Fp8Lm.Parity.Tests.Fuzz;

/// <summary>A model compiled from text in this process: what the front end read, and the program that the generator wrote.</summary>
internal sealed record FuzzModel(string Text, ModelSpec Spec, ModelDefinition Definition)
{
    private const string DeadWeight = "FP8L0201";
    private const int Attempts = 20;

    /// <summary>Random model <paramref name="seed"/>. What has weights that do not reach the loss is no model, so the next attempt counts.</summary>
    public static FuzzModel Compile(int seed)
    {
        for (int attempt = 0; ; attempt++)
        {
            (FuzzModel? model, string text, List<CompileError> errors) = Compile(RandomModel.Text(seed, attempt), "Fuzz" + seed);
            if (model is not null)
            {
                return model;
            }

            if (attempt == Attempts || errors.Any(e => e.Code != DeadWeight))
            {
                throw new InvalidOperationException(string.Join('\n', errors.Select(e => e.Code + " " + string.Join(", ", e.Arguments))) + "\n" + text);
            }
        }
    }

    /// <exception cref="InvalidOperationException">What the generator wrote does not compile.</exception>
    private static (FuzzModel? Model, string Text, List<CompileError> Errors) Compile(string text, string type)
    {
        CSharpCompilation models = CSharpCompilation.Create(
            type, [CSharpSyntaxTree.ParseText(text, ModelSources.Parsing, type + ".cs")], ModelSources.References,
            new CSharpCompilationOptions(OutputKind.DynamicallyLinkedLibrary, allowUnsafe: true, optimizationLevel: OptimizationLevel.Release, nullableContextOptions: NullableContextOptions.Enable));
        string name = RandomModel.Namespace + "." + type;
        ReadResult read = ModelReader.Read(models.GetTypeByMetadataName(name)!, models, CancellationToken.None);
        List<CompileError> errors = [.. read.Errors];
        foreach (RecipeSpec recipe in read.Spec?.Recipes ?? [])
        {
            ModelCompiler.CompileRecipe(read.Spec!, recipe, errors, verify: true);
        }

        if (errors.Count > 0)
        {
            return (null, text, errors);
        }

        CSharpGeneratorDriver.Create([new Fp8ModelGenerator().AsSourceGenerator()], parseOptions: ModelSources.Parsing)
            .RunGeneratorsAndUpdateCompilation(models, out Compilation generated, out var diagnostics);
        Check(text, diagnostics);
        using MemoryStream stream = new();
        EmitResult emitted = generated.Emit(stream);
        Check(text, emitted.Diagnostics);
        Type loaded = Assembly.Load(stream.ToArray()).GetType(name)!;
        ModelDefinition definition = (ModelDefinition)loaded.GetProperty("Definition", BindingFlags.Public | BindingFlags.Static)!.GetValue(null)!;
        return (new FuzzModel(text, read.Spec!, definition), text, errors);
    }

    /// <summary>Numbers for it.</summary>
    public Problem Problem() => new(Spec, microBatch: 2, sequence: 16) { Definition = Definition };

    private static void Check(string text, IEnumerable<Diagnostic> diagnostics)
    {
        string errors = string.Join('\n', diagnostics.Where(d => d.Severity == DiagnosticSeverity.Error || d.Id == "CS8785").Take(8));
        if (errors.Length > 0)
        {
            throw new InvalidOperationException(errors + "\n" + text);
        }
    }
}
