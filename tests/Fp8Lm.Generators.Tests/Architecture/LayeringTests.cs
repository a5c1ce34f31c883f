using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Runtime.CompilerServices;
using Fp8Lm.Generators.Model;
using Xunit;

namespace Fp8Lm.Generators.Tests.Architecture;

/// <summary>Who may know whom, read from the using lines of the compiler's sources.</summary>
public sealed class LayeringTests
{
    private static readonly Dictionary<string, string[]> Arrows = new(StringComparer.Ordinal)
    {
        ["Model"] = [],
        ["Diagnostics"] = ["Model"],
        ["Frontend"] = ["Model", "Diagnostics"],
        ["Ir"] = ["Model", "Ir"],
        ["Passes"] = ["Ir", "Model", "Passes"],
        ["Kernels"] = ["Ir", "Model"],
        ["Emit"] = ["Kernels", "Ir", "Model", "Emit"],
    };

    private static readonly string[] RoslynFolders = ["Frontend", "Diagnostics"];

    /// <summary>The files that join the parts: entry points and the pass list.</summary>
    private static bool IsEntry(string file) => !file.Contains('/', StringComparison.Ordinal);

    public static IEnumerable<(string File, string Used)> Usings()
    {
        string folder = Path.Combine(Root(), "src", "Fp8Lm.Generators");
        if (!Directory.Exists(folder))
        {
            Assert.Skip("The sources are not here.");
        }

        foreach (string path in Directory.EnumerateFiles(folder, "*.cs", SearchOption.AllDirectories).Order(StringComparer.Ordinal))
        {
            string file = Path.GetRelativePath(folder, path).Replace('\\', '/');
            if (file.StartsWith("obj/", StringComparison.Ordinal) || file.StartsWith("bin/", StringComparison.Ordinal))
            {
                continue;
            }

            foreach (string line in File.ReadLines(path).Where(l => l.StartsWith("using ", StringComparison.Ordinal)))
            {
                yield return (file, line["using ".Length..].Replace("static ", "", StringComparison.Ordinal).Split(['=', ';'])[^2].Trim());
            }
        }
    }

    [Fact]
    public void ArrowsPointOneWay()
    {
        const string Prefix = "Fp8Lm.Generators.";
        string[] wrong = [.. Usings().Where(u => !IsEntry(u.File) && u.Used.StartsWith(Prefix, StringComparison.Ordinal)
            && !Arrows[u.File.Split('/')[0]].Contains(u.Used[Prefix.Length..].Split('.')[0])).Select(u => u.File + " -> " + u.Used)];

        Assert.Empty(wrong);
    }

    [Fact]
    public void RoslynStaysAtTheEdge()
    {
        string[] wrong = [.. Usings().Where(u => u.Used.StartsWith("Microsoft.CodeAnalysis", StringComparison.Ordinal)
            && !RoslynFolders.Contains(u.File.Split('/')[0]) && !(IsEntry(u.File) && u.File.StartsWith("Fp8", StringComparison.Ordinal))).Select(u => u.File)];

        Assert.Empty(wrong);
    }

    [Fact]
    public void TheCompilerDoesNotReferenceTheRuntime()
    {
        Assert.DoesNotContain(typeof(ModelSpec).Assembly.GetReferencedAssemblies(), a => a.Name!.StartsWith("Fp8Lm", StringComparison.Ordinal));
        Assert.DoesNotContain(Usings(), u => u.Used is "Fp8Lm" || (u.Used.StartsWith("Fp8Lm.", StringComparison.Ordinal) && !u.Used.StartsWith("Fp8Lm.Generators", StringComparison.Ordinal)));
    }

    internal static string Root([CallerFilePath] string file = "") => Path.GetFullPath(Path.Combine(Path.GetDirectoryName(file)!, "..", "..", ".."));
}
