using System;
using Fp8Lm.Cpu;

namespace Fp8Lm.Numerics;

/// <summary>FP8-LM's scale from an amax: the largest power of two that keeps the tensor inside the format (fact sheet 2.2).</summary>
public static class PowerOfTwoScale
{
    /// <summary>
    /// <c>2^floor(log2(maximum / amax))</c>. Values multiplied with it have their largest magnitude in (maximum / 2, maximum].
    /// </summary>
    /// <param name="amax">Largest magnitude of the tensor.</param>
    /// <param name="maximum">Largest finite value of the format: 448 for E4M3, 57344 for E5M2, 65504 for F16.</param>
    /// <param name="old">The scale so far; it stays, as it is, when <paramref name="amax"/> is zero, infinite or NaN.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="maximum"/> is not a positive number.</exception>
    public static float FromAmax(float amax, float maximum, float old)
    {
        if (!(maximum > 0f) || !float.IsFinite(maximum))
        {
            throw new ArgumentOutOfRangeException(nameof(maximum), maximum, $"The largest value of a format is a positive number; got {maximum}. Use 448 for E4M3 or 57344 for E5M2.");
        }

        return amax > 0f && float.IsFinite(amax) ? CpuKernels.NextScale(maximum, amax, powerOfTwo: true, margin: 0) : old;
    }
}
