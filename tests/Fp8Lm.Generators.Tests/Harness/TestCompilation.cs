using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;

namespace Fp8Lm.Generators.Tests.Harness;

/// <summary>User projects in memory: the framework this test runs on, the language, and the given files.</summary>
internal static class TestCompilation
{
    public const string Usings = "using Fp8Lm;\nusing static Fp8Lm.Ops;\n";

    public static readonly CSharpParseOptions Parse = new(LanguageVersion.Preview);

    private static readonly MetadataReference[] References =
    [
        .. ((string)AppContext.GetData("TRUSTED_PLATFORM_ASSEMBLIES")!).Split(Path.PathSeparator)
            .Where(p => Path.GetFileName(p) is var name && (name.StartsWith("System.", StringComparison.Ordinal) || name is "netstandard.dll" or "mscorlib.dll" or "Fp8Lm.Attributes.dll" or "Fp8Lm.Runtime.dll"))
            .Select(p => MetadataReference.CreateFromFile(p)),
    ];

    // Every project is this one plus files, so that the references are read once.
    private static readonly CSharpCompilation Empty = CSharpCompilation.Create(
        "UserProject", [], References,
        new CSharpCompilationOptions(OutputKind.DynamicallyLinkedLibrary, nullableContextOptions: NullableContextOptions.Enable, allowUnsafe: true));

    /// <summary>Files named File0.cs and so on, with the usings of the language in front.</summary>
    public static CSharpCompilation Create(params string[] sources) => CreateRaw([.. sources.Select(s => Usings + s)]);

    public static CSharpCompilation CreateRaw(params string[] sources) =>
        Empty.AddSyntaxTrees(sources.Select((s, i) => CSharpSyntaxTree.ParseText(s, Parse, path: "File" + i + ".cs")));

    /// <summary>Errors of C# itself.</summary>
    public static IEnumerable<string> Errors(Compilation compilation) =>
        compilation.GetDiagnostics().Where(d => d.Severity == DiagnosticSeverity.Error).Select(d => d.ToString());
}
