#pragma once

namespace fp8lm {

// Scale from the bits of an amax that is complete: maximum / amax; 1 where there is nothing to scale or it is not finite.
// The same formula stands in Cpu/Scaling.cs; the division is correctly rounded on both sides.
__device__ inline float current_scale(unsigned amax_bits, float maximum)
{
    const float amax = __uint_as_float(amax_bits);
    if (!(amax > 0.0f) || amax_bits >= 0x7F800000u) return 1.0f;
    const float scale = __fdiv_rn(maximum, amax);
    return __float_as_uint(scale) >= 0x7F800000u ? 1.0f : scale;
}

}  // namespace fp8lm
