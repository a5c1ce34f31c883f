using System;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Fp8Lm.Numerics;

/// <summary>
/// bfloat16: the upper half of an F32. Casts are bit for bit those of the hardware (<c>cvt.rn.bf16</c>): nearest, ties to even, too large
/// becomes infinity, every NaN becomes 0x7FFF.
/// </summary>
public static class BFloat16
{
    /// <summary>The largest finite value.</summary>
    public const float MaxValue = 3.38953138925153547590470800371487866880e38f;

    /// <summary>The code that every NaN is cast to.</summary>
    public const ushort NanCode = 0x7FFF;

    private const uint Infinity = 0x7F800000;

    /// <summary>Casts to the nearest value.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ushort FromSingle(float value)
    {
        uint bits = BitConverter.SingleToUInt32Bits(value);
        return (bits & 0x7FFFFFFF) > Infinity ? NanCode : (ushort)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
    }

    /// <summary>The value of a code; exact.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float ToSingle(ushort code) => BitConverter.UInt32BitsToSingle((uint)code << 16);

    /// <summary>Casts eight values; the codes lie in the low bits of the lanes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<uint> FromSingle(Vector256<float> value)
    {
        Vector256<uint> bits = value.AsUInt32();
        Vector256<uint> nearest = (bits + Vector256.Create(0x7FFFu) + ((bits >> 16) & Vector256<uint>.One)) >> 16;
        return Vector256.ConditionalSelect(Vector256.Equals(value, value).AsUInt32(), nearest, Vector256.Create((uint)NanCode));
    }

    /// <summary>The values of eight codes in the low bits of the lanes; the other bits must be zero.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> ToSingle(Vector256<uint> codes) => (codes << 16).AsSingle();
}
