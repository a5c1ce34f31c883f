using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Linq;
using Fp8Lm.Generators.Diagnostics;
using Fp8Lm.Generators.Frontend;
using Fp8Lm.Generators.Model;
using Fp8Lm.Generators.Tests.Harness;
using Microsoft.CodeAnalysis;
using Xunit;

namespace Fp8Lm.Generators.Tests.Diagnostics;

/// <summary>The catalogue as a whole, and bugs of our own.</summary>
public sealed class CatalogueTests
{
    public static IEnumerable<TheoryDataRow<string>> Ids => DiagnosticDescriptors.All.Select(d => new TheoryDataRow<string>(d.Id));

    [Fact]
    public void IdsAreDistinct() => Assert.Equal(DiagnosticDescriptors.All.Length, DiagnosticDescriptors.All.Select(d => d.Id).Distinct().Count());

    [Theory]
    [MemberData(nameof(Ids))]
    public void EveryIdHasAPageWithExampleAndFix(string id)
    {
        DiagnosticDescriptor descriptor = DiagnosticDescriptors.Find(id);
        string page = File.ReadAllText(Path.Combine(Repository(), descriptor.HelpLinkUri));

        Assert.StartsWith("# " + id + ": " + descriptor.Title.ToString(CultureInfo.InvariantCulture), page, StringComparison.Ordinal);
        Assert.Contains("## Example", page, StringComparison.Ordinal);
        Assert.Contains("## Fix", page, StringComparison.Ordinal);
    }

    [Fact]
    public void AnExceptionInThePipelineNamesThePass()
    {
        ModelSpec spec = FrontendTest.Spec(FrontendTest.Model("return Gelu(x);"));
        ModelSpec broken = spec with { Forward = spec.Forward.Select(s => s is OpSpec { Op: "gelu" } op ? op with { Op = "no_such_op" } : s).ToEquatable() };

        CompileError error = Assert.Single(GuardedCompiler.Compile(broken).Errors.AsEnumerable());
        Diagnostic diagnostic = DiagnosticFactory.Create(error, new SiteMap(), Location.None);
        Assert.Equal("FP8L0901", diagnostic.Id);
        Assert.Contains("Passes.GraphConstruction", diagnostic.GetMessage(CultureInfo.InvariantCulture), StringComparison.Ordinal);
        Assert.Contains("no_such_op", diagnostic.GetMessage(CultureInfo.InvariantCulture), StringComparison.Ordinal);
    }

    [Fact]
    public void AnUnknownCodeIsShownAsABug()
    {
        Diagnostic diagnostic = DiagnosticFactory.Create(new CompileError("FP8L9999", -1, "a", "b"), new SiteMap(), Location.None);

        Assert.Equal("FP8L0901", diagnostic.Id);
        Assert.Contains("FP8L9999 (a, b)", diagnostic.GetMessage(CultureInfo.InvariantCulture), StringComparison.Ordinal);
    }

    private static string Repository()
    {
        DirectoryInfo? folder = new(Path.GetDirectoryName(typeof(CatalogueTests).Assembly.Location)!);
        string[] roots = [folder.FullName, SourceFolder()];
        foreach (string root in roots)
        {
            for (folder = new DirectoryInfo(root); folder is not null; folder = folder.Parent)
            {
                if (Directory.Exists(Path.Combine(folder.FullName, "docs", "diagnostics")))
                {
                    return folder.FullName;
                }
            }
        }

        throw new InvalidOperationException("docs/diagnostics not found");
    }

    private static string SourceFolder([System.Runtime.CompilerServices.CallerFilePath] string path = "") => Path.GetDirectoryName(path)!;
}
