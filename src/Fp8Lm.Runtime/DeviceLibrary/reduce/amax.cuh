#pragma once
#include <fp8lm/reduce/warp.cuh>

// Largest magnitude as integer bits: bits of |x| order like |x|, and NaN > infinity > finite, so a poisoned tensor stays visible.
// An integer maximum does not depend on the order of its operands.
namespace fp8lm {

__device__ inline u32 amax_bits(u32 running, float x)
{
    // One instruction: the magnitude is a modifier of its operand. A NaN comes out as 0x7FFFFFFF.
    float largest;
    asm("max.NaN.f32 %0, %1, %2;" : "=f"(largest) : "f"(__uint_as_float(running)), "f"(fabsf(x)));
    return __float_as_uint(largest);
}

// Called by a converged warp; one atomic per warp.
__device__ inline void atomic_amax(u32* slot, u32 running)
{
    const u32 largest = warp_max(running);
    if (threadIdx.x % kWarpSize == 0 && largest != 0)
        atomicMax(slot, largest);
}

__device__ inline void atomic_amax(u32* slot, float value) { atomic_amax(slot, amax_bits(0, value)); }

}  // namespace fp8lm
