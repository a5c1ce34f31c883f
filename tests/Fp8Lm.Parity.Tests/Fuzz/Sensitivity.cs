using System;
using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Parity.Tests.Harness;
using Fp8Lm.Parity.Tests.Reference;
using Fp8Lm.Training;

namespace Fp8Lm.Parity.Tests.Fuzz;

/// <summary>
/// How far a recipe may be from float64 in a model about which nothing is known: several times what gradients change in float64 when each weight is off by a
/// rounding of the recipe's format. A fault is an error of the order of one in a gradient that this hardly moves.
/// What amplifies the rounding of activations more than that of weights (a norm of values that hardly differ) can be flagged without a fault in recipes of 16 and 8 bits; the same
/// model in Fp32 tells.
/// </summary>
internal sealed class Sensitivity
{
    private const int Draws = 2;
    private readonly double[][] moved;
    private readonly double factor, floor;

    private Sensitivity(double[][] moved, double factor, double floor) => (this.moved, this.factor, this.floor) = (moved, factor, floor);

    public static Sensitivity Of(Problem problem, ReferenceResult reference, string recipe)
    {
        // The unit roundoff of binary32, bfloat16, binary16 and E4M3.
        double roundoff = recipe switch { "Fp32" => 1.2e-7, "Bf16" => 1.0 / 256, "Fp16" => 1.0 / 2048, _ => 1.0 / 16 };
        double[][] moved = [.. reference.Gradients.Select(p => p.Select(_ => 0.0).ToArray())];
        for (int draw = 0; draw < Draws; draw++)
        {
            double[][][] gradients = Perturbed(problem, roundoff, draw);
            for (int p = 0; p < moved.Length; p++)
            {
                for (int layer = 0; layer < moved[p].Length; layer++)
                {
                    moved[p][layer] = Math.Max(moved[p][layer], Distance(reference.Gradients[p][layer], gradients[p][layer]));
                }
            }
        }

        return new Sensitivity(moved, recipe == "Fp32" ? 100 : 15, recipe == "Fp32" ? 3e-6 : 2e-3);
    }

    /// <summary>The tensors whose gradients are further off than that.</summary>
    public IEnumerable<string> Wrong(Problem problem, double[][][] expected, double[][][] actual)
    {
        double whole = Math.Sqrt(Measure.Flat(expected).Sum(v => v * v));
        for (int p = 0; p < moved.Length; p++)
        {
            for (int layer = 0; layer < moved[p].Length; layer++)
            {
                double off = Distance(expected[p][layer], actual[p][layer]);
                // A tensor whose gradient cancels has errors like its larger neighbours.
                double limit = Math.Max(factor * Math.Max(moved[p][layer], 1e-3 * moved.SelectMany(m => m).Max()), floor * whole);
                if (!(off <= limit))
                {
                    yield return FormattableString.Invariant($"{problem.Name(p, layer)}: off by {off / whole:E1} of all gradients' norm, its own is {Distance(expected[p][layer], new double[expected[p][layer].Length]) / whole:E1}, at most {limit / whole:E1} expected");
                }
            }
        }
    }

    private static double[][][] Perturbed(Problem problem, double roundoff, int draw)
    {
        double[][][] kept = [.. problem.Weights.Select(p => p.Select(l => (double[])l.Clone()).ToArray())];
        for (int p = 0; p < kept.Length; p++)
        {
            for (int layer = 0; layer < kept[p].Length; layer++)
            {
                ulong key = CounterRandom.Key((ulong)draw + 17, problem.Name(p, layer));
                for (int i = 0; i < kept[p][layer].Length; i++)
                {
                    problem.Weights[p][layer][i] *= 1 + (roundoff * ((2 * CounterRandom.Uniform(key, (ulong)i)) - 1));
                }
            }
        }

        double[][][] gradients = ReferenceResult.Of(problem).Gradients;
        for (int p = 0; p < kept.Length; p++)
        {
            for (int layer = 0; layer < kept[p].Length; layer++)
            {
                kept[p][layer].CopyTo(problem.Weights[p][layer], 0);
            }
        }

        return gradients;
    }

    private static double Distance(double[] a, double[] b) => Math.Sqrt(a.Zip(b, (x, y) => (x - y) * (x - y)).Sum());
}
