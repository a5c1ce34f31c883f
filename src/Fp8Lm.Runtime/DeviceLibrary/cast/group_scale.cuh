#pragma once
#include <fp8lm/common/state_scale.cuh>

namespace fp8lm::cast {

struct GroupScale { float scale, inverse; };

// Scale of a row or block from the bits of its amax: maximum / amax, rounded to nearest or down to a power of two; 1 where the group is zero or so small
// that the quotient overflows. A group that holds an infinity or NaN has the inverse NaN: casts saturate, and its products must not look like numbers.
// Bit-identical to Cpu/GroupScale.cs.
template <class T, bool kPowerOfTwo> __device__ GroupScale group_scale(u32 amax_bits)
{
    if (amax_bits >= 0x7F800000u)
        return {1.0f, __uint_as_float(0x7FC00000u)};
    const u32 ratio = __float_as_uint(__fdiv_rn(kScaledMaximum<T>, __uint_as_float(amax_bits)));
    const float scale = ratio >= 0x7F800000u ? 1.0f : __uint_as_float(kPowerOfTwo ? ratio & 0xFF800000u : ratio);
    return {scale, __fdiv_rn(1.0f, scale)};
}

}  // namespace fp8lm::cast
