using System;
using System.Linq;
using Fp8Lm.Parity.Models;
using Fp8Lm.Parity.Tests.Harness;
using Fp8Lm.Parity.Tests.Reference;
using Xunit;

namespace Fp8Lm.Parity.Tests;

/// <summary>Scales per row and per block, where they differ from those of whole tensors. What all recipes promise is in <see cref="CpuParityTests"/>.</summary>
public sealed class GroupedScalingTests(ITestOutputHelper output)
{
    /// <summary>160 tokens: weight gradients sum over a whole block of tokens and a short one.</summary>
    [Theory]
    [InlineData("Rowwise")]
    [InlineData("RowwiseExact")]
    [InlineData("BlockScaled")]
    [InlineData("BlockHybrid")]
    [InlineData("BlockO2")]
    [InlineData("RowwiseO3")]
    public void SumsOverMoreThanABlockOfTokensCostNoMoreThanTheirCasts(string recipe)
    {
        Problem problem = new(ModelSources.Spec(nameof(GroupTails)), microBatch: 5);
        double[] exact = Measure.Flat(ReferenceResult.Of(problem).Gradients), rounded = Measure.Flat(ReferenceResult.WithCasts(problem, recipe).Gradients);
        using ModelRun run = new(problem, recipe);
        run.Train();
        double casts = Measure.RelativeError(exact, rounded), program = Measure.RelativeError(exact, Measure.Flat(run.Gradients()));
        output.WriteLine(FormattableString.Invariant($"{recipe}: the casts cost {casts:E2}, the program {program:E2}"));
        Assert.True(program <= 1.25 * casts, $"the program's gradient is off by {program:E2}; the casts alone cost {casts:E2}");
    }

    /// <summary>A token whose features are huge takes the digits of all others where they share a scale, and none where it has its own.</summary>
    [Theory]
    [InlineData("TransformerEngine", 0.15, 10)]
    [InlineData("Rowwise", 0, 0.1)]
    [InlineData("BlockScaled", 0, 0.1)]
    public void AHugeTokenHurtsNoOther(string recipe, double least, double most)
    {
        Problem problem = new(ModelSources.Spec(nameof(GroupTails)), microBatch: 1);
        int width = (int)problem.Size.Values[1], vocabulary = (int)problem.Size.Values[0], huge = problem.Tokens[^1];
        for (int i = 0; i < width; i++)
        {
            problem.Weights[0][0][(huge * width) + i] *= 4194304;
        }

        using ModelRun run = new(problem, recipe);
        double[] expected = ReferenceResult.Of(problem).Logits, actual = run.Logits();
        int[] others = [.. Enumerable.Range(0, expected.Length).Where(i => problem.Tokens[i / vocabulary] != huge && i % vocabulary != huge)];
        double error = Measure.RelativeError([.. others.Select(i => expected[i])], [.. others.Select(i => actual[i])]);
        output.WriteLine(FormattableString.Invariant($"{recipe}: logits of the other tokens are off by {error:E2}"));
        Assert.InRange(error, least, most);
    }
}
