using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Fp8Lm.Numerics;

/// <summary>
/// FP8 E4M3 ("FN"): 4 exponent bits with bias 7, 3 mantissa bits, no infinity, NaN 0x7F and 0xFF. Casts are bit for bit those of the
/// hardware (<c>cvt.rn.satfinite</c>): nearest, ties to even; everything too large, infinities included, becomes +-448; NaN becomes 0x7F.
/// </summary>
public static class E4M3
{
    /// <summary>The largest finite value.</summary>
    public const float MaxValue = 448f;

    /// <summary>The smallest positive value, a subnormal.</summary>
    public const float Smallest = 0.001953125f;

    /// <summary>The code that every NaN is cast to.</summary>
    public const byte NanCode = 0x7F;

    /// <summary>Casts to the nearest value.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static byte FromSingle(float value) => (byte)SmallFloat<Format>.FromSingle(value);

    /// <summary>The value of a code; exact.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float ToSingle(byte code) => SmallFloat<Format>.ToSingle(code);

    /// <summary>Casts eight values; the codes lie in the low bits of the lanes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<uint> FromSingle(Vector256<float> value) => SmallFloat<Format>.FromSingle(value);

    /// <summary>The values of eight codes in the low bits of the lanes; the other bits must be zero.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> ToSingle(Vector256<uint> codes) => SmallFloat<Format>.ToSingle(codes);

    private readonly struct Format : ISmallFloatFormat
    {
        public static int MantissaBits => 3;

        public static int Bias => 7;

        public static uint SignBit => 0x80;

        public static uint Overflow => 0x7E;

        public static uint Nan => 0x7F;

        public static uint FirstSpecial => 0x7F;
    }
}
