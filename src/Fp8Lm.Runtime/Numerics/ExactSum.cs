using System;
using System.Runtime.CompilerServices;
using System.Threading;

namespace Fp8Lm.Numerics;

/// <summary>
/// A sum of non-negative F32 numbers that depends neither on their order nor on who adds them: every number is an integer times a power of two, and goes as such
/// into the one of sixteen 64-bit integers that holds its sixteen exponents. Exact for up to 2^24 numbers. The layout of <c>fp8lm::ExactSum</c>.
/// </summary>
[InlineArray(Bins)]
public struct ExactSum
{
    /// <summary>Integers of a sum.</summary>
    public const int Bins = 16;

    private const int Exponents = 16, MantissaBits = 23;

    private ulong bin;

    /// <summary>The sum, rounded to F64.</summary>
    public readonly double Value
    {
        get
        {
            double sum = 0;
            for (int i = 0; i < Bins; i++)
            {
                sum += Math.ScaleB(this[i], (Exponents * i) - 127 - MantissaBits);
            }

            return sum;
        }
    }

    /// <summary>Adds a number; any number of threads may do so at once. An infinity counts as the largest number, NaN and negative numbers as zero.</summary>
    public static void Add(ref ExactSum sum, float part)
    {
        uint bits = BitConverter.SingleToUInt32Bits(float.Min(part, float.MaxValue));
        if (!(part > 0f))
        {
            return;
        }

        // Subnormal numbers have the exponent of the smallest normal one, and no leading bit.
        uint exponent = bits >> MantissaBits, mantissa = bits & ((1u << MantissaBits) - 1);
        (exponent, mantissa) = exponent == 0 ? (1, mantissa) : (exponent, mantissa | 1u << MantissaBits);
        Interlocked.Add(ref Unsafe.Add(ref Unsafe.As<ExactSum, ulong>(ref sum), exponent / Exponents), (ulong)mantissa << (int)(exponent % Exponents));
    }
}
