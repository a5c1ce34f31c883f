using System.Collections.Generic;
using System.Linq;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Xunit;

namespace Fp8Lm.Generators.Tests.Harness;

/// <summary>The generator on an in-memory project: its sources, and what its steps did.</summary>
internal sealed class GeneratorTest
{
    private GeneratorDriver driver = CSharpGeneratorDriver.Create(
        [new Fp8ModelGenerator().AsSourceGenerator()], parseOptions: TestCompilation.Parse,
        driverOptions: new GeneratorDriverOptions(IncrementalGeneratorOutputKind.None, trackIncrementalGeneratorSteps: true));

    /// <summary>The project with the generated files.</summary>
    public Compilation Output { get; private set; } = null!;

    /// <summary>File name to text.</summary>
    public IReadOnlyDictionary<string, string> Sources { get; private set; } = null!;

    public GeneratorRunResult Result { get; private set; }

    /// <summary>Runs the generator; a second call is an edit.</summary>
    public GeneratorTest Run(Compilation compilation)
    {
        driver = driver.RunGeneratorsAndUpdateCompilation(compilation, out Compilation output, out _, TestContext.Current.CancellationToken);
        Output = output;
        Result = driver.GetRunResult().Results.Single();
        Assert.Null(Result.Exception);
        Sources = Result.GeneratedSources.ToDictionary(s => s.HintName, s => s.SourceText.ToString());
        return this;
    }

    /// <summary>What a named step did in the last run, one entry per output.</summary>
    public IEnumerable<IncrementalStepRunReason> Reasons(string step) =>
        Result.TrackedSteps.TryGetValue(step, out var runs) ? runs.SelectMany(r => r.Outputs).Select(o => o.Reason) : [];
}
