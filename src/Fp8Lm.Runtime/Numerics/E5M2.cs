using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Fp8Lm.Numerics;

/// <summary>
/// FP8 E5M2: 5 exponent bits with bias 15, 2 mantissa bits, infinities 0x7C and 0xFC. Casts are bit for bit those of the hardware
/// (<c>cvt.rn.satfinite</c>): nearest, ties to even; everything too large, infinities included, becomes +-57344; NaN becomes 0x7F.
/// </summary>
public static class E5M2
{
    /// <summary>The largest finite value.</summary>
    public const float MaxValue = 57344f;

    /// <summary>The smallest positive value, a subnormal.</summary>
    public const float Smallest = 1.52587890625e-5f;

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
        public static int MantissaBits => 2;

        public static int Bias => 15;

        public static uint SignBit => 0x80;

        public static uint Overflow => 0x7B;

        public static uint Nan => 0x7F;

        public static uint FirstSpecial => 0x7C;
    }
}
