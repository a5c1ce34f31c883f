using System;
using System.IO;
using System.Linq;
using Fp8Lm.Data;
using Xunit;

namespace Fp8Lm.Runtime.Tests.Data;

public sealed class ApiDocumentationTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("fp8lm-test-").FullName;

    public void Dispose() => Directory.Delete(folder, recursive: true);

    [Fact]
    public void Prose_comes_out_without_markup()
    {
        string path = Path.Combine(folder, "x.xml");
        File.WriteAllText(path, """
            <doc><members>
            <member name="M:System.Text.Foo.Bar``1(System.Int32)">
              <summary>Appends the <paramref name="value" /> to
                this <see cref="T:System.Text.StringBuilder" /> and
                returns <see langword="null" />.</summary>
              <remarks><para>Reads <c>a &lt; b</c> well enough.</para><code>int ignored = 1;</code></remarks>
              <returns>Short.</returns>
              <param name="value">A value that is appended to it.</param>
            </member>
            <member name="T:System.Text.Foo"><summary/><remarks>Describes a thing named Foo here.</remarks></member>
            </members></doc>
            """);

        Assert.Equal(
            [
                ("System.Text.Foo", "Appends the value to this StringBuilder and returns null."),
                ("System.Text.Foo", "Reads a < b well enough."),
                ("System.Text.Foo", "A value that is appended to it."),
                ("System.Text.Foo", "Describes a thing named Foo here."),
            ],
            DocumentationText.Read(path));
    }

    [Fact]
    public void A_broken_file_ends_early_and_entities_are_not_expanded()
    {
        string path = Path.Combine(folder, "x.xml");
        File.WriteAllText(path, "<doc><members><member name=\"T:A.B\"><summary>This sentence is complete.</summary><summary>This one is");
        Assert.Equal("This sentence is complete.", DocumentationText.Read(path).First().Paragraph);

        File.WriteAllText(path, "<!DOCTYPE d [<!ENTITY a \"aaaaaaaaaaaaaaaaaaaaaaa\">]><doc><member name=\"T:A\"><summary>&a;&a;&a;&a;</summary></member></doc>");
        Assert.Empty(DocumentationText.Read(path));
    }

    [Fact]
    public void The_installed_sdk_gives_a_corpus_that_is_the_same_every_time()
    {
        string root = Path.GetFullPath(Path.Combine(System.Runtime.InteropServices.RuntimeEnvironment.GetRuntimeDirectory(), "..", "..", ".."));
        Assert.SkipUnless(ApiDocumentation.FindFiles(root).Count > 0, "Needs a .NET SDK with reference packs.");

        using ByteCorpus corpus = ApiDocumentation.Load();
        using ByteCorpus again = ApiDocumentation.Load();

        Assert.InRange(corpus.Count, 5_000_000, 100_000_000);
        Assert.InRange(corpus.Documents, 2000, 100_000);
        Assert.Equal(corpus.Fingerprint, again.Fingerprint);
        int[] sample = new int[100_000];
        corpus.Read(corpus.Count / 2, sample);
        Assert.InRange(sample.Count(t => t is ' ' or (>= 'a' and <= 'z')), 85_000, 100_000);
    }

    [Fact]
    public void The_newest_version_of_each_pack_is_taken()
    {
        foreach (string version in (string[])["9.0.10", "10.0.2", "10.0.12"])
        {
            Directory.CreateDirectory(Path.Combine(folder, "packs", "A.Ref", version, "ref", "net"));
            File.WriteAllText(Path.Combine(folder, "packs", "A.Ref", version, "ref", "net", "a.xml"), "");
        }

        Assert.Contains("10.0.12", Assert.Single(ApiDocumentation.FindFiles(folder)), StringComparison.Ordinal);
    }
}
