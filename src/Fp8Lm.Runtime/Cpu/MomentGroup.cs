using System;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Fp8Lm.Cpu;

/// <summary>
/// What 128 elements of a moment in FP8 share: a scale and an exponent, COAT's dynamic range expansion (arXiv 2410.19313, section 4). A group stores
/// <c>|y| = maximum (|x| / amax)^k</c>, rounded to the format, and is read back as <c>|x| = amax (|y| / maximum)^(1 / k)</c>, with k such that its smallest number other than
/// zero becomes the format's smallest. Powers are polynomials of fused multiply-adds: bit-identical to <c>fp8lm/optim/moment_group.cuh</c>.
/// </summary>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct MomentGroup
{
    /// <summary>Elements of a group; the last one of an instance may have fewer.</summary>
    public const int Elements = 128;

    /// <summary>Bytes of a group in memory: two F32.</summary>
    public const int Bytes = 2 * sizeof(float);

    private const uint LeastNormal = 0x00800000, Infinity = 0x7F800000;

    // More expansion than 16 is finer than what BF16 stores, and more compression than 1/2 would cost all numbers of a group accuracy for the sake of those 2^-35 as large as
    // its largest. These become the smallest number, not zero: a second moment of zero beside a first that is not would be a step without bound.
    private const float LeastRoot = 0.0625f, MostRoot = 2f;

    /// <summary>The largest magnitude, which is stored exactly; 0 where all are zeros.</summary>
    public float Amax;

    /// <summary>1 / k, from 1/16 to 2.</summary>
    public float Root;

    /// <summary>Groups of an instance.</summary>
    public static long Count(long elements) => (elements + Elements - 1) / Elements;

    /// <summary>The values of eight stored elements.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public readonly Vector256<float> Expand<T>(Vector256<float> stored) where T : struct, IStateFormat
    {
        Vector256<float> sign = Vector256.Create(-0f), top = Log2(Vector256.Create(T.GroupMaximum));
        Vector256<float> power = (Log2(Vector256.AndNot(stored, sign)) - top) * Root;
        return Vector256.AndNot((Exp2(power) * Amax) | (stored & sign), Vector256.Equals(stored, Vector256<float>.Zero));
    }

    /// <summary>
    /// Finds scale and exponent of a group and stores it. One with a number that is not finite keeps those it has, and what exceeds its amax becomes that. Numbers below the
    /// normal range of F32 count as zeros.
    /// </summary>
    /// <param name="values">The new values.</param>
    /// <param name="n">How many, a multiple of eight up to 128.</param>
    /// <param name="bytes">Where they go.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void Compress<T>(float* values, int n, byte* bytes) where T : struct, IStateFormat
    {
        // Zero is no smallest number: less one it is the largest integer.
        Vector256<uint> most = default, least = Vector256<uint>.AllBitsSet;
        for (int i = 0; i < n; i += Simd.Lanes)
        {
            Vector256<uint> bits = Magnitude(Simd.Load(values + i));
            most = Vector256.Max(most, bits);
            least = Vector256.Min(least, bits - Vector256<uint>.One);
        }

        uint largest = Simd.HorizontalMax(most);
        if (largest < Infinity)
        {
            Amax = BitConverter.UInt32BitsToSingle(largest);
            uint smallest = unchecked(~Simd.HorizontalMax(~least) + 1);
            float range = -Log2(Ratio(Vector256.Create(smallest), 1f / Amax)).ToScalar();
            Root = largest == 0 ? 1f : Math.Clamp(range * PerRange<T>(), LeastRoot, MostRoot);
        }

        float inverse = 1f / Amax, k = 1f / Root, low = T.GroupMaximum == E4M3State.Maximum ? -9f : -16f;
        Vector256<uint> amax = Vector256.Create(BitConverter.SingleToUInt32Bits(Amax));
        Vector256<float> top = Log2(Vector256.Create(T.GroupMaximum)), sign = Vector256.Create(-0f);
        for (int i = 0; i < n; i += Simd.Lanes)
        {
            Vector256<float> x = Simd.Load(values + i);
            Vector256<uint> bits = Vector256.Min(Magnitude(x), amax);
            Vector256<float> power = Vector256.Max(Vector256.FusedMultiplyAdd(Vector256.Create(k), Log2(Ratio(bits, inverse)), top), Vector256.Create(low));
            T.Store(bytes + i, Vector256.AndNot(Exp2(power) | (x & sign), Vector256.Equals(bits, Vector256<uint>.Zero).AsSingle()));
        }
    }

    /// <summary>The reciprocal of log2 of the format's range, from its smallest to its largest number; COAT's R is 448 / 2^-9.</summary>
    private static float PerRange<T>() where T : struct, IStateFormat => T.GroupMaximum == E4M3State.Maximum ? 0.056156572f : 0.031439271f;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<uint> Magnitude(Vector256<float> x)
    {
        Vector256<uint> bits = x.AsUInt32() & Vector256.Create(0x7FFFFFFFu);
        return Vector256.AndNot(bits, Vector256.LessThan(bits, Vector256.Create(LeastNormal)));
    }

    /// <summary>Beside a group's largest number; what is smaller than 2^-64 of it is below all exponents of the format anyway, and subnormal quotients stay out of the logarithm.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Ratio(Vector256<uint> bits, float inverse) => Vector256.Max(bits.AsSingle() * inverse, Vector256.Create(5.42101086e-20f));

    /// <summary>log2 of normal positive numbers within 3e-5; 0 at 1.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Log2(Vector256<float> x)
    {
        // x = 2^n m with m in [sqrt(1/2), sqrt(2)): measured from sqrt(1/2), the exponent field of the bits is n.
        Vector256<int> origin = Vector256.Create(0x3F3504F3), distance = x.AsInt32() - origin;
        Vector256<float> f = ((distance & Vector256.Create(0x007FFFFF)) + origin).AsSingle() - Vector256<float>.One;
        Vector256<float> p = Vector256.FusedMultiplyAdd(Vector256.Create(0.25028786f), f, Vector256.Create(-0.38967523f));
        p = Vector256.FusedMultiplyAdd(p, f, Vector256.Create(0.48573783f));
        p = Vector256.FusedMultiplyAdd(p, f, Vector256.Create(-0.72062922f));
        p = Vector256.FusedMultiplyAdd(p, f, Vector256.Create(1.44264042f));
        return Vector256.FusedMultiplyAdd(p, f, Vector256.ConvertToSingle(distance >> 23));
    }

    /// <summary>2^x within 7e-6 of itself for x in [-126, 127]; 1 at 0.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Exp2(Vector256<float> x)
    {
        // Adding 1.5 * 2^23 rounds to the nearest integer and leaves it in the low bits.
        Vector256<float> rounder = Vector256.Create(12582912f), shifted = x + rounder, f = x - (shifted - rounder);
        Vector256<float> p = Vector256.FusedMultiplyAdd(Vector256.Create(0.00965671055f), f, Vector256.Create(0.0558382832f));
        p = Vector256.FusedMultiplyAdd(p, f, Vector256.Create(0.2402253f));
        p = Vector256.FusedMultiplyAdd(p, f, Vector256.Create(0.693136752f));
        p = Vector256.FusedMultiplyAdd(p, f, Vector256<float>.One);
        return (p.AsInt32() + (shifted.AsInt32() << 23)).AsSingle();
    }
}
