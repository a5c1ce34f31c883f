#pragma once
#include <fp8lm/common/common.cuh>

namespace fp8lm::reduce {

// grad[c] += sum over slabs of partial[slab][c]. partial: [slabs, cols] f32, one slab per 16 rows; grad: [cols] f32, adds.
// A block owns 32 columns; warp w sums slabs w, w + 8, ... and the eight partial sums are added in order.
struct ColumnSumFinish : Launch<256, 16, 32>
{
    static constexpr int kWarps = kThreads / kWarpSize;

    static __device__ void run(const float* partial, i64 slabs, i64 cols, float* grad)
    {
        __shared__ float sums[kWarps][kWarpSize];
        const int lane = threadIdx.x % kWarpSize, warp = threadIdx.x / kWarpSize;
        for (i64 first = (i64)blockIdx.x * kTileN; first < cols; first += (i64)gridDim.x * kTileN)
        {
            const i64 col = first + lane;
            float sum = 0.0f;
            if (col < cols)
                for (i64 slab = warp; slab < slabs; slab += kWarps)
                    sum += partial[slab * cols + col];
            sums[warp][lane] = sum;
            __syncthreads();
            if (warp == 0 && col < cols)
            {
                for (int other = 1; other < kWarps; ++other)
                    sum += sums[other][lane];
                grad[col] += sum;
            }
            __syncthreads();
        }
    }
};

}  // namespace fp8lm::reduce
