#pragma once
#include <fp8lm/common/types.cuh>

namespace fp8lm {

// Scale of what the optimizer keeps: 2^floor(log2(maximum / amax)), and the old one where amax is zero or not finite (FP8-LM fact sheet, 2.2).
// Masking the correctly rounded quotient is the floor of its logarithm. Clamped so that the reciprocal is a normal number. Bit-identical to
// Scaling.State in Cpu/Scaling.cs.
__device__ inline float state_scale(u32 amax_bits, float maximum, float old)
{
    if (amax_bits == 0 || amax_bits >= 0x7F800000u)
        return old;
    const float ratio = __fdiv_rn(maximum, __uint_as_float(amax_bits));
    const float most = 8.507059e37f, least = 1.17549435e-38f;    // 2^126, 2^-126
    return __uint_as_float(__float_as_uint(ratio > most ? most : ratio < least ? least : ratio) & 0xFF800000u);
}

// The largest number of a format that is stored with a scale; 0 for those that need none.
template <class T> constexpr float kScaledMaximum = 0.0f;
template <> constexpr float kScaledMaximum<f16> = 65504.0f;
template <> constexpr float kScaledMaximum<e4m3> = 448.0f;
template <> constexpr float kScaledMaximum<e5m2> = 57344.0f;

}  // namespace fp8lm
