#pragma once
#include <fp8lm/common/common.cuh>

namespace fp8lm::reduce {

// partial: [slabs, cols] f32, one slab per 16 rows; grad: [cols] f32, adds.
struct ColumnSum
{
    const float* partial;
    i64 slabs, cols;
    float* grad;
};

// grad[c] += sum over slabs of partial[slab][c]. Grid: (blocks of columns, sums of the launch); which sum a block has is the caller's choice.
// A block owns 32 columns; warp w sums slabs w, w + 16, ... and the warps' sums are added in order. A warp asks for many slabs at once, and some blocks share
// a multiprocessor: one adds up while others wait for memory.
struct ColumnSumFinish : Launch<512, 32, 1, 0, 4>
{
    static constexpr int kWarps = kThreads / kWarpSize;
    static constexpr int kBatch = 8;

    static __device__ __forceinline__ void run(const ColumnSum& sum) { run(sum.partial, sum.slabs, sum.cols, sum.grad); }

    static __device__ __forceinline__ void run(const float* partial, i64 slabs, i64 cols, float* grad)
    {
        __shared__ float sums[kWarps][kWarpSize];
        const int lane = threadIdx.x % kWarpSize, warp = threadIdx.x / kWarpSize;
        for (i64 first = (i64)blockIdx.x * kTileM; first < cols; first += (i64)gridDim.x * kTileM)
        {
            const i64 col = first + lane;
            float sum = 0.0f;
            if (col < cols)
            {
                i64 slab = warp;
                for (; slab + (kBatch - 1) * kWarps < slabs; slab += kBatch * kWarps)
                {
                    float values[kBatch];
                    #pragma unroll
                    for (int i = 0; i < kBatch; ++i)
                        values[i] = partial[(slab + i * kWarps) * cols + col];
                    #pragma unroll
                    for (int i = 0; i < kBatch; ++i)
                        sum += values[i];
                }
                for (; slab < slabs; slab += kWarps)
                    sum += partial[slab * cols + col];
            }
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
