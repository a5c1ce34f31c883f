using System;
using System.Linq;
using Fp8Lm.Generators.Ir;
using Fp8Lm.Parity.Tests.Reference;
using Fp8Lm.Training;

namespace Fp8Lm.Parity.Tests.Harness;

/// <summary>The slope of a loss by central differences of fourth order. Truncation is below 1e-9 and rounding below 1e-10, both absolute.</summary>
internal static class DifferenceQuotient
{
    /// <summary>The distance at which truncation and rounding are about equal.</summary>
    public const double Step = 2e-5;

    /// <summary>A random direction through all of a tensor's elements, of length one.</summary>
    public static double[] Direction(string name, int elements)
    {
        ulong key = CounterRandom.Key(3, name);
        double[] direction = [.. Enumerable.Range(0, elements).Select(i => CounterRandom.NormalPair(key, (ulong)i).First)];
        double length = Math.Sqrt(direction.Sum(d => d * d));
        return [.. direction.Select(d => d / length)];
    }

    /// <summary>The slope of <paramref name="forward"/> along one direction of some of the problem's weights, which are as before afterwards.</summary>
    public static double Along(Graph forward, Problem problem, (double[] Weights, double[] Direction)[] tensors, double step = Step)
    {
        double[][] kept = [.. tensors.Select(t => (double[])t.Weights.Clone())];
        double At(double distance)
        {
            for (int t = 0; t < tensors.Length; t++)
            {
                for (int i = 0; i < kept[t].Length; i++)
                {
                    tensors[t].Weights[i] = kept[t][i] + (distance * tensors[t].Direction[i]);
                }
            }

            return GraphInterpreter.Run(forward, problem).Loss;
        }

        double slope = ((8 * (At(step) - At(-step))) - (At(2 * step) - At(-2 * step))) / (12 * step);
        At(0);
        return slope;
    }
}
