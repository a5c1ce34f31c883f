using System;
using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Parity.Tests.Reference;
using Xunit;

namespace Fp8Lm.Parity.Tests.Harness;

/// <summary>
/// A program against the float64 reference: loss and the gradient of every instance of every weight. The measure is the norm of the difference
/// over the norm of the reference's tensor; a norm counts as at least a small part of the whole gradient's (<see cref="Tolerance.Floor"/>), so that a tensor
/// whose gradient cancels is judged by what the optimizer would see.
/// </summary>
internal static class Comparison
{
    /// <summary>
    /// Rounding to 8 bits is measured over four sets of weights and batches, joined into one tensor: one draw of a gradient that is a single number
    /// (a learned gate) says little about an error that has a distribution.
    /// </summary>
    /// <returns>What was measured.</returns>
    public static string WithReference(string model, string recipe, Func<Problem, ModelRun> start)
    {
        ulong[] seeds = recipe.StartsWith("TransformerEngine", StringComparison.Ordinal) ? [1, 2, 3, 4] : [1];
        Tolerance tolerance = Tolerance.Of(recipe, model);
        // Selects that jump put some elements on the other side in 8 bits.
        double jumps = model == nameof(Parity.Models.ElementwiseOps) ? 3 : 1;
        List<double[][][]> expected = [], actual = [];
        double worstLoss = 0;
        foreach (ulong seed in seeds)
        {
            Problem problem = new(ModelSources.Spec(model), seed: seed);
            ReferenceResult reference = ReferenceResult.Of(problem);
            using ModelRun run = start(problem);
            worstLoss = Math.Max(worstLoss, Math.Abs(run.Train() - reference.Loss) / reference.Loss);
            expected.Add(reference.Gradients);
            actual.Add(run.Gradients());
        }

        double[] whole = Join(expected, Measure.Flat), mine = Join(actual, Measure.Flat);
        double floor = Math.Sqrt(whole.Sum(v => v * v)) * tolerance.Floor;
        Problem names = new(ModelSources.Spec(model));
        (string Name, double Error)[] errors =
        [
            .. from p in Enumerable.Range(0, expected[0].Length)
               from layer in Enumerable.Range(0, expected[0][p].Length)
               select (names.Name(p, layer), Measure.RelativeError(Join(expected, g => g[p][layer]), Join(actual, g => g[p][layer]), floor)),
        ];
        double cosine = Measure.Cosine(whole, mine);
        string measured = FormattableString.Invariant($"{model} {recipe}: loss {worstLoss:E2}, worst tensor {errors.Max(e => e.Error):E2}, 1 - cosine {1 - cosine:E2}");
        string wrong = string.Join(", ", errors.Where(e => !(e.Error <= tolerance.Gradient)).Select(e => FormattableString.Invariant($"{e.Name}: {e.Error:E2}")));
        Assert.True(wrong.Length == 0, measured + "; " + wrong);
        Assert.True(worstLoss <= jumps * tolerance.Loss, measured);
        Assert.True(1 - cosine <= tolerance.Angle, measured);
        return measured;
    }

    private static double[] Join(List<double[][][]> runs, Func<double[][][], double[]> tensor) => [.. runs.SelectMany(tensor)];
}
