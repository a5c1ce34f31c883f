using System;
using Fp8Lm.Numerics;

namespace Fp8Lm.Cpu;

/// <summary>Scale of a row or block from its own amax; bit-identical to <c>fp8lm/cast/group_scale.cuh</c>.</summary>
/// <param name="Scale">Multiplies what is cast.</param>
/// <param name="Inverse">Its reciprocal, which products multiply with.</param>
internal readonly record struct GroupScale(float Scale, float Inverse)
{
    /// <summary>
    /// maximum / amax, rounded to nearest or down to a power of two; 1 where the group is zero or so small that the quotient overflows. A group that holds
    /// an infinity or NaN has the inverse NaN: casts saturate, and its products must not look like numbers.
    /// </summary>
    /// <param name="amaxBits">Largest magnitude as integer bits.</param>
    /// <param name="maximum">Largest number of the format.</param>
    /// <param name="powerOfTwo">Whether to round down to a power of two.</param>
    public static GroupScale Of(uint amaxBits, float maximum, bool powerOfTwo)
    {
        if (amaxBits >= 0x7F800000u)
        {
            return new GroupScale(1f, BitConverter.UInt32BitsToSingle(0x7FC00000u));
        }

        float ratio = maximum / BitConverter.UInt32BitsToSingle(amaxBits);
        float scale = !float.IsFinite(ratio) ? 1f : powerOfTwo ? BitConverter.UInt32BitsToSingle(BitConverter.SingleToUInt32Bits(ratio) & 0xFF800000u) : ratio;
        return new GroupScale(scale, 1f / scale);
    }
}
