#pragma once
#include <fp8lm/reduce/warp.cuh>

namespace fp8lm {

// Sum over a block in a fixed order; the result is valid in thread 0. All threads take part, and a second call needs no barrier in between.
template <int kThreads> __device__ double block_sum(double value)
{
    __shared__ double partial[kThreads / kWarpSize];
    value = warp_sum(value);
    __syncthreads();
    if (threadIdx.x % kWarpSize == 0)
        partial[threadIdx.x / kWarpSize] = value;
    __syncthreads();
    double sum = 0.0;
    if (threadIdx.x == 0)
        for (int warp = 0; warp < kThreads / kWarpSize; ++warp)
            sum += partial[warp];
    return sum;
}

}  // namespace fp8lm
