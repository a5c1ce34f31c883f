using System;
using System.IO;
using System.Linq;
using Fp8Lm.Generators.Model;
using Fp8Lm.Generators.Tests.Architecture;
using Fp8Lm.Generators.Tests.Harness;
using Xunit;

namespace Fp8Lm.Generators.Tests.Emit;

public sealed class ReadmeTests
{
    /// <summary>The model that people see first.</summary>
    [Fact]
    public void TheModelInTheReadmeCompiles()
    {
        string path = Path.Combine(LayeringTests.Root(), "README.md");
        if (!File.Exists(path))
        {
            Assert.Skip("The sources are not here.");
        }

        const string Start = "```csharp\nusing Fp8Lm;\nusing static Fp8Lm.Ops;\n";
        string text = File.ReadAllText(path).Replace("\r\n", "\n", StringComparison.Ordinal);
        int start = text.IndexOf(Start, StringComparison.Ordinal) + Start.Length;
        ModelSpec spec = FrontendTest.Spec(text[start..text.IndexOf("```", start, StringComparison.Ordinal)]);

        Assert.Empty(ModelCompiler.Compile(spec, verify: true).Errors.AsEnumerable());
    }
}
