using System;
using System.Diagnostics;
using Fp8Lm.Generators.Model;
using Fp8Lm.Generators.Tests.Harness;
using Xunit;

namespace Fp8Lm.Generators.Tests.Emit;

/// <summary>A generator runs at every pause in typing.</summary>
[Collection(nameof(GenerationSpeedTests))]
public sealed class GenerationSpeedTests
{
    private const int Runs = 15;

    [Theory]
    [InlineData("Bf16")]
    [InlineData("TransformerEngine")]
    public void AWarmGenerationOfGpt175BTakesLessThanATenthOfASecond(string recipe)
    {
        double milliseconds = Best(EmittedTextTests.Deep(96) with { Recipes = new[] { CompilerTest.Recipe(recipe) }.ToEquatable() });

        TestContext.Current.TestOutputHelper?.WriteLine(FormattableString.Invariant($"{recipe}: {milliseconds:F1} ms"));
        Assert.True(milliseconds < 100, FormattableString.Invariant($"{milliseconds:F1} ms"));
    }

    [Fact]
    public void NinetySixLayersTakeAsLongAsTwo()
    {
        ModelSpec shallow = EmittedTextTests.Deep(2), deep = EmittedTextTests.Deep(96);
        double two = Best(shallow), many = Best(deep);

        Assert.InRange(many / two, 0.5, 2);
    }

    /// <summary>The quickest of several runs: what the work takes when other processes leave it alone.</summary>
    private static double Best(ModelSpec spec)
    {
        double best = double.MaxValue;
        for (int i = 0; i < Runs; i++)
        {
            long start = Stopwatch.GetTimestamp();
            ModelCompiler.Compile(spec);
            best = Math.Min(best, Stopwatch.GetElapsedTime(start).TotalMilliseconds);
        }

        return best;
    }
}

/// <summary>Alone: other tests would be measured too.</summary>
[CollectionDefinition(nameof(GenerationSpeedTests), DisableParallelization = true)]
public sealed class SpeedCollection;
