using System;
using Fp8Lm.Execution;
using Fp8Lm.Numerics;
using Xunit;

namespace Fp8Lm.Runtime.Tests.Cuda;

/// <summary>Random data in the element formats, and comparisons with double references.</summary>
internal static class TestNumbers
{
    /// <summary>Values of the given format: small integers, whose products and sums stay exact, or normal numbers.</summary>
    public static float[] Random(int seed, long count, ElementFormat format, bool integers)
    {
        Random random = new(seed);
        float[] values = new float[count];
        for (long i = 0; i < count; i++)
        {
            double normal = Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());
            values[i] = integers ? random.Next(-2, 3) : Round((float)normal, format);
        }

        return values;
    }

    public static float Round(float value, ElementFormat format) => format switch
    {
        ElementFormat.F32 => value,
        ElementFormat.BF16 => BFloat16.ToSingle(BFloat16.FromSingle(value)),
        ElementFormat.F16 => Float16.ToSingle(Float16.FromSingle(value)),
        ElementFormat.E4M3 => E4M3.ToSingle(E4M3.FromSingle(value)),
        ElementFormat.E5M2 => E5M2.ToSingle(E5M2.FromSingle(value)),
        _ => throw new ArgumentOutOfRangeException(nameof(format)),
    };

    public static byte[] Encode(float[] values, ElementFormat format)
    {
        byte[] bytes = new byte[values.LongLength * format.Bytes()];
        for (int i = 0; i < values.Length; i++)
        {
            switch (format)
            {
                case ElementFormat.F32:
                    BitConverter.TryWriteBytes(bytes.AsSpan(4 * i), values[i]);
                    break;
                case ElementFormat.BF16:
                    BitConverter.TryWriteBytes(bytes.AsSpan(2 * i), BFloat16.FromSingle(values[i]));
                    break;
                case ElementFormat.F16:
                    BitConverter.TryWriteBytes(bytes.AsSpan(2 * i), Float16.FromSingle(values[i]));
                    break;
                case ElementFormat.E4M3:
                    bytes[i] = E4M3.FromSingle(values[i]);
                    break;
                case ElementFormat.E5M2:
                    bytes[i] = E5M2.FromSingle(values[i]);
                    break;
                default:
                    throw new ArgumentOutOfRangeException(nameof(format));
            }
        }

        return bytes;
    }

    /// <summary>Name of a format in device code.</summary>
    public static string CudaName(this ElementFormat format) => format switch
    {
        ElementFormat.F32 => "float",
        ElementFormat.I32 => "int",
        _ => format.ToString().ToLowerInvariant(),
    };

    /// <summary>Compares by the norm of the difference over the norm of the reference; NaN never passes.</summary>
    public static void AssertClose(double[] expected, float[] actual, double tolerance, string what)
    {
        Assert.Equal(expected.Length, actual.Length);
        double difference = 0;
        double norm = 0;
        int worst = 0;
        double worstError = -1;
        for (int i = 0; i < expected.Length; i++)
        {
            double error = Math.Abs(expected[i] - actual[i]);
            if (!(error <= worstError))
            {
                (worst, worstError) = (i, double.IsNaN(error) ? double.PositiveInfinity : error);
            }

            difference += error * error;
            norm += expected[i] * expected[i];
        }

        double relative = Math.Sqrt(difference / Math.Max(norm, 1e-300));
        Assert.True(
            relative <= tolerance,
            $"{what}: relative error {relative:E2} exceeds {tolerance:E2}; worst at {worst}: expected {expected[worst]:R}, got {actual[worst]:R}.");
    }
}
