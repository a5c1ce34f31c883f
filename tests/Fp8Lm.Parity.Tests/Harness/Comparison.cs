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
    /// Recipes of 8 bits are measured over four draws of weights and batches, each of which has to agree. Only a gradient that is a single number (a
    /// learned gate) is judged over all draws together: one says little about an error that has a distribution.
    /// </summary>
    /// <returns>What was measured.</returns>
    public static string WithReference(string model, string recipe, Func<Problem, ModelRun> start)
    {
        ulong[] seeds = IsFp8(recipe) ? [1, 2, 3, 4] : [1];
        Tolerance tolerance = Tolerance.Of(recipe, model);
        // Selects that jump put some elements on the other side in 8 bits.
        double jumps = model == nameof(Parity.Models.ElementwiseOps) ? 3 : 1;
        List<Draw> draws = [.. seeds.Select(seed => Run(new Problem(ModelSources.Spec(model), seed: seed), start))];
        (string Name, double Error)[] errors = [.. Errors(new Problem(ModelSources.Spec(model)), draws, tolerance.Floor)];
        double loss = draws.Max(d => d.LossError), angle = draws.Max(d => 1 - Measure.Cosine(Measure.Flat(d.Expected), Measure.Flat(d.Actual)));
        string measured = FormattableString.Invariant($"{model} {recipe}: loss {loss:E2}, worst tensor {errors.Max(e => e.Error):E2}, 1 - cosine {angle:E2}");
        string wrong = string.Join(", ", errors.Where(e => !(e.Error <= tolerance.Gradient)).Select(e => FormattableString.Invariant($"{e.Name}: {e.Error:E2}")));
        Assert.True(wrong.Length == 0, measured + "; " + wrong);
        Assert.True(loss <= jumps * tolerance.Loss, measured);
        Assert.True(angle <= tolerance.Angle, measured);
        return measured;
    }

    /// <summary>Whether products of a recipe read 8 bits.</summary>
    public static bool IsFp8(string recipe) => recipe is not ("Fp32" or "Bf16" or "Fp16");

    private static Draw Run(Problem problem, Func<Problem, ModelRun> start)
    {
        ReferenceResult reference = ReferenceResult.Of(problem);
        using ModelRun run = start(problem);
        double error = Math.Abs(run.Train() - reference.Loss) / reference.Loss;
        return new Draw(error, reference.Gradients, run.Gradients());
    }

    private static IEnumerable<(string Name, double Error)> Errors(Problem names, List<Draw> draws, double floor)
    {
        for (int p = 0; p < draws[0].Expected.Length; p++)
        {
            for (int layer = 0; layer < draws[0].Expected[p].Length; layer++)
            {
                List<Draw>[] groups = draws[0].Expected[p][layer].Length == 1 ? [draws] : [.. draws.Select(d => new List<Draw> { d })];
                foreach (List<Draw> group in groups)
                {
                    double whole = Math.Sqrt(group.Sum(d => Measure.Flat(d.Expected).Sum(v => v * v)));
                    double[] expected = [.. group.SelectMany(d => d.Expected[p][layer])], actual = [.. group.SelectMany(d => d.Actual[p][layer])];
                    yield return (names.Name(p, layer), Measure.RelativeError(expected, actual, whole * floor));
                }
            }
        }
    }

    /// <param name="LossError">Relative.</param>
    /// <param name="Expected">Gradients of the reference, by parameter, layer and element.</param>
    /// <param name="Actual">Gradients of the program.</param>
    private sealed record Draw(double LossError, double[][][] Expected, double[][][] Actual);
}
