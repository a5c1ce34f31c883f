using System;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Fp8Lm.Numerics;

/// <summary>Layout of a binary floating-point format narrower than F32: sign, exponent, mantissa, in the low bits of a word.</summary>
internal interface ISmallFloatFormat
{
    static abstract int MantissaBits { get; }

    static abstract int Bias { get; }

    static abstract uint SignBit { get; }

    /// <summary>The magnitude that everything too large becomes: the largest finite one where casts saturate, else infinity.</summary>
    static abstract uint Overflow { get; }

    /// <summary>What every NaN becomes; like the hardware's casts it has no sign.</summary>
    static abstract uint Nan { get; }

    /// <summary>The first magnitude that is no finite number.</summary>
    static abstract uint FirstSpecial { get; }
}

/// <summary>
/// Conversions between F32 and small formats, written once for all of them. Both ways are exact integer arithmetic except that
/// subnormals go through one F32 addition or subtraction, which the format's quantum makes exact or rounds to nearest even.
/// </summary>
internal static class SmallFloat<TFormat> where TFormat : ISmallFloatFormat
{
    private const uint Infinity = 0x7F800000;

    private static int Shift => 23 - TFormat.MantissaBits;

    /// <summary>What the exponent field of an F32 has more than that of this format, at the place of this format's mantissa end.</summary>
    private static uint Rebias => (uint)(127 - TFormat.Bias) << TFormat.MantissaBits;

    /// <summary>Bits of the smallest normal number as F32, 2^(1 - bias).</summary>
    private static uint SmallestNormal => (uint)(128 - TFormat.Bias) << 23;

    /// <summary>Bits of the power of two whose F32 quantum is this format's smallest subnormal: adding it rounds to multiples of that.</summary>
    private static uint Rounder => (uint)(127 + 24 - TFormat.Bias - TFormat.MantissaBits) << 23;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint FromSingle(float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value);
        uint magnitude = bits & 0x7FFFFFFF;
        if (magnitude > Infinity)
        {
            return TFormat.Nan;
        }

        uint sign = (bits >> 31) * TFormat.SignBit;
        if (magnitude < SmallestNormal)
        {
            float rounded = BitConverter.UInt32BitsToSingle(magnitude) + BitConverter.UInt32BitsToSingle(Rounder);
            return sign | (BitConverter.SingleToUInt32Bits(rounded) - Rounder);
        }

        uint nearest = magnitude + ((1u << (Shift - 1)) - 1) + ((magnitude >> Shift) & 1);
        return sign | Math.Min((nearest >> Shift) - Rebias, TFormat.Overflow);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float ToSingle(uint code)
    {
        uint magnitude = code & (TFormat.SignBit - 1);
        uint sign = (code & TFormat.SignBit) * (0x80000000 / TFormat.SignBit);
        uint bits = (magnitude + Rebias) << Shift;
        if (magnitude < 1u << TFormat.MantissaBits)
        {
            // Read with the exponent of the smallest normal, a subnormal is too large by exactly that normal.
            float value = BitConverter.UInt32BitsToSingle(bits + (1u << 23)) - BitConverter.UInt32BitsToSingle(SmallestNormal);
            return BitConverter.UInt32BitsToSingle(BitConverter.SingleToUInt32Bits(value) | sign);
        }

        return BitConverter.UInt32BitsToSingle(bits | sign | (magnitude >= TFormat.FirstSpecial ? Infinity : 0));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<uint> FromSingle(Vector256<float> value)
    {
        Vector256<uint> bits = value.AsUInt32();
        Vector256<uint> magnitude = bits & Vector256.Create(0x7FFFFFFFu);
        Vector256<uint> sign = (bits >> 31) * TFormat.SignBit;
        Vector256<uint> rounder = Vector256.Create(Rounder);
        Vector256<uint> subnormal = (magnitude.AsSingle() + rounder.AsSingle()).AsUInt32() - rounder;
        Vector256<uint> nearest = magnitude + Vector256.Create((1u << (Shift - 1)) - 1) + ((magnitude >> Shift) & Vector256<uint>.One);
        Vector256<uint> normal = Vector256.Min((nearest >> Shift) - Vector256.Create(Rebias), Vector256.Create(TFormat.Overflow));

        // Magnitudes are below 2^31, so signed comparisons (the ones AVX2 has) order them.
        Vector256<int> signed = magnitude.AsInt32();
        Vector256<uint> isSubnormal = Vector256.LessThan(signed, Vector256.Create((int)SmallestNormal)).AsUInt32();
        Vector256<uint> isNan = Vector256.GreaterThan(signed, Vector256.Create((int)Infinity)).AsUInt32();
        Vector256<uint> result = Vector256.ConditionalSelect(isSubnormal, subnormal, normal) | sign;
        return Vector256.ConditionalSelect(isNan, Vector256.Create(TFormat.Nan), result);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> ToSingle(Vector256<uint> code)
    {
        Vector256<uint> magnitude = code & Vector256.Create(TFormat.SignBit - 1);
        Vector256<uint> sign = (code & Vector256.Create(TFormat.SignBit)) << (31 - (int)uint.Log2(TFormat.SignBit));
        Vector256<uint> bits = (magnitude + Vector256.Create(Rebias)) << Shift;
        Vector256<float> subnormal = (bits + Vector256.Create(1u << 23)).AsSingle() - Vector256.Create(SmallestNormal).AsSingle();
        Vector256<int> signed = magnitude.AsInt32();
        Vector256<uint> isSubnormal = Vector256.LessThan(signed, Vector256.Create(1 << TFormat.MantissaBits)).AsUInt32();
        Vector256<uint> isSpecial = Vector256.GreaterThan(signed, Vector256.Create((int)TFormat.FirstSpecial - 1)).AsUInt32();
        bits |= isSpecial & Vector256.Create(Infinity);
        return (Vector256.ConditionalSelect(isSubnormal, subnormal.AsUInt32(), bits) | sign).AsSingle();
    }
}
