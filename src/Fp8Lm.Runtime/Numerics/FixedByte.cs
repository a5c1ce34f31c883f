using System;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Fp8Lm.Numerics;

/// <summary>
/// Fixed point in a byte: a code stands for (code - zero) * (1 / steps in a unit). Casts are bit for bit those of emitted CUDA kernels: one rounding, to nearest even; the
/// compiler chooses both numbers so that values are in range, and NaN becomes 255.
/// </summary>
public static class FixedByte
{
    /// <summary>A float of that size has a last place of 1: adding it rounds to whole numbers, which stand in the low bits.</summary>
    private const float Whole = 12582912f;

    private const uint NanCode = 255;

    /// <summary>Casts to the nearest code.</summary>
    /// <param name="value">From -<paramref name="zero"/> to 255 - <paramref name="zero"/> steps, within half a step; others have codes without a meaning.</param>
    /// <param name="zero">Code of 0, 0 to 255.</param>
    /// <param name="perUnit">Steps between 0 and 1, at least 1.</param>
    public static byte FromSingle(float value, int zero, int perUnit) =>
        float.IsNaN(value) ? (byte)NanCode : (byte)BitConverter.SingleToUInt32Bits(MathF.FusedMultiplyAdd(value, perUnit, Whole + zero));

    /// <summary>The value of a code: one rounding of the product.</summary>
    /// <param name="code">Any byte.</param>
    /// <param name="zero">Code of 0, 0 to 255.</param>
    /// <param name="perUnit">Steps between 0 and 1, at least 1.</param>
    public static float ToSingle(byte code, int zero, int perUnit) => (code - zero) * (1f / perUnit);

    /// <summary>Casts eight values; the codes lie in the low bits of the lanes, the other bits are zero.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<uint> FromSingle(Vector256<float> value, int zero, int perUnit)
    {
        Vector256<uint> bits = Vector256.FusedMultiplyAdd(value, Vector256.Create((float)perUnit), Vector256.Create(Whole + zero)).AsUInt32();
        Vector256<uint> known = Vector256.ConditionalSelect(Vector256.Equals(value, value).AsUInt32(), bits, Vector256.Create(NanCode));
        return known & Vector256.Create(255u);
    }

    /// <summary>The values of eight codes in the low bits of the lanes; the other bits must be zero.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> ToSingle(Vector256<uint> codes, int zero, int perUnit) =>
        Vector256.ConvertToSingle(codes.AsInt32() - Vector256.Create(zero)) * Vector256.Create(1f / perUnit);
}
