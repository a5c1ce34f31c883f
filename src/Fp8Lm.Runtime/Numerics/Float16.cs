using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Fp8Lm.Numerics;

/// <summary>
/// IEEE binary16 with vector conversions: <see cref="System.Half"/> lane by lane, except that every NaN is cast to 0x7FFF as on the GPU.
/// Nearest, ties to even; too large becomes infinity.
/// </summary>
public static class Float16
{
    /// <summary>The largest finite value.</summary>
    public const float MaxValue = 65504f;

    /// <summary>The smallest positive value, a subnormal.</summary>
    public const float Smallest = 5.9604644775390625e-8f;

    /// <summary>The code that every NaN is cast to.</summary>
    public const ushort NanCode = 0x7FFF;

    /// <summary>Casts to the nearest value.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ushort FromSingle(float value) => (ushort)SmallFloat<Format>.FromSingle(value);

    /// <summary>The value of a code; exact.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float ToSingle(ushort code) => SmallFloat<Format>.ToSingle(code);

    /// <summary>Casts eight values; the codes lie in the low bits of the lanes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<uint> FromSingle(Vector256<float> value) => SmallFloat<Format>.FromSingle(value);

    /// <summary>The values of eight codes in the low bits of the lanes; the other bits must be zero.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> ToSingle(Vector256<uint> codes) => SmallFloat<Format>.ToSingle(codes);

    private readonly struct Format : ISmallFloatFormat
    {
        public static int MantissaBits => 10;

        public static int Bias => 15;

        public static uint SignBit => 0x8000;

        public static uint Overflow => 0x7C00;

        public static uint Nan => 0x7FFF;

        public static uint FirstSpecial => 0x7C00;
    }
}
