#pragma once
#include <fp8lm/common/math.cuh>
#include <fp8lm/common/types.cuh>

// Reductions over the 32 lanes of a converged warp; every lane gets the result, and the order is fixed.
namespace fp8lm {

__device__ inline float warp_sum(float value)
{
    #pragma unroll
    for (int distance = 16; distance > 0; distance /= 2)
        value += __shfl_xor_sync(kAllLanes, value, distance);
    return value;
}

__device__ inline double warp_sum(double value)
{
    #pragma unroll
    for (int distance = 16; distance > 0; distance /= 2)
        value += __shfl_xor_sync(kAllLanes, value, distance);
    return value;
}

__device__ inline float warp_max(float value)
{
    #pragma unroll
    for (int distance = 16; distance > 0; distance /= 2)
        value = max_(value, __shfl_xor_sync(kAllLanes, value, distance));
    return value;
}

__device__ inline u32 warp_max(u32 value) { return __reduce_max_sync(kAllLanes, value); }

}  // namespace fp8lm
