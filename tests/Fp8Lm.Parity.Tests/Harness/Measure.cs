using System;
using System.Linq;

namespace Fp8Lm.Parity.Tests.Harness;

/// <summary>How far apart two tensors are, as one number.</summary>
internal static class Measure
{
    /// <summary>Norm of the difference over norm of the expected values, which counts as at least <paramref name="floor"/>.</summary>
    public static double RelativeError(ReadOnlySpan<double> expected, ReadOnlySpan<double> actual, double floor = 1e-12)
    {
        if (expected.Length != actual.Length)
        {
            throw new ArgumentException($"{expected.Length} and {actual.Length} elements");
        }

        double difference = 0, norm = 0;
        for (int i = 0; i < expected.Length; i++)
        {
            double d = expected[i] - actual[i];
            difference += d * d;
            norm += expected[i] * expected[i];
        }

        double error = Math.Sqrt(difference) / Math.Max(Math.Sqrt(norm), floor);
        return double.IsNaN(error) ? double.PositiveInfinity : error;
    }

    /// <summary>Cosine of the angle between two tensors.</summary>
    public static double Cosine(ReadOnlySpan<double> a, ReadOnlySpan<double> b)
    {
        double dot = 0, aa = 0, bb = 0;
        for (int i = 0; i < a.Length; i++)
        {
            dot += a[i] * b[i];
            aa += a[i] * a[i];
            bb += b[i] * b[i];
        }

        return dot / Math.Sqrt(aa * bb);
    }

    /// <summary>All gradients of a model as one vector.</summary>
    public static double[] Flat(double[][][] gradients) => [.. gradients.SelectMany(p => p).SelectMany(l => l)];
}
