using System;
using System.Collections.Concurrent;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Threading;
using Fp8Lm.Generators.Frontend;
using Fp8Lm.Generators.Model;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;

namespace Fp8Lm.Parity.Tests.Harness;

/// <summary>The files of Fp8Lm.Parity.Models as the compiler's front end reads them: the same text that the generator compiled there.</summary>
internal static class ModelSources
{
    private static readonly Lazy<CSharpCompilation> Compilation = new(Compile);
    private static readonly ConcurrentDictionary<string, Lazy<ModelSpec>> Specs = new(StringComparer.Ordinal);

    /// <summary>Names of all models, in order.</summary>
    public static IEnumerable<string> Names { get; } =
        typeof(ModelSources).Assembly.GetManifestResourceNames().Select(n => Path.GetFileNameWithoutExtension(n)).Order(StringComparer.Ordinal);

    /// <summary>How models are parsed.</summary>
    public static CSharpParseOptions Parsing { get; } = new(LanguageVersion.Preview);

    /// <summary>What models and the programs made of them refer to.</summary>
    public static IReadOnlyList<MetadataReference> References { get; } =
    [
        .. ((string)AppContext.GetData("TRUSTED_PLATFORM_ASSEMBLIES")!).Split(Path.PathSeparator)
            .Where(p => Path.GetFileName(p) is var name && (name.StartsWith("System.", StringComparison.Ordinal) || name is "netstandard.dll" or "mscorlib.dll" or "Fp8Lm.Attributes.dll" or "Fp8Lm.Runtime.dll"))
            .Select(p => MetadataReference.CreateFromFile(p)),
    ];

    public static ModelSpec Spec(string model) => Specs.GetOrAdd(model, static name => new Lazy<ModelSpec>(() => Read(name))).Value;

    private static ModelSpec Read(string model)
    {
        INamedTypeSymbol type = Compilation.Value.GetTypeByMetadataName("Fp8Lm.Parity.Models." + model)
            ?? throw new ArgumentException($"{model}.cs declares no {model}", nameof(model));
        ReadResult read = ModelReader.Read(type, Compilation.Value, CancellationToken.None);
        return read.Spec ?? throw new InvalidOperationException(string.Join("; ", read.Errors.Select(e => e.Code + " " + string.Join(", ", e.Arguments))));
    }

    private static CSharpCompilation Compile()
    {
        SyntaxTree[] trees = [.. typeof(ModelSources).Assembly.GetManifestResourceNames().Select(n => CSharpSyntaxTree.ParseText(Text(n), Parsing, n))];
        return CSharpCompilation.Create("Models", trees, References, new CSharpCompilationOptions(OutputKind.DynamicallyLinkedLibrary, nullableContextOptions: NullableContextOptions.Enable));
    }

    private static string Text(string resource)
    {
        using StreamReader reader = new(typeof(ModelSources).Assembly.GetManifestResourceStream(resource)!);
        return reader.ReadToEnd();
    }
}
