#pragma once
#include <fp8lm/attention/tile.cuh>
#include <fp8lm/ptx/mma_sync.cuh>

// The two products that attention is made of, on one warp's fragments (16 rows; columns in groups of 8, layout of mma.m16n8k16):
//   rows_by_rows      acc[m][n] += sum over d of a[m][d] * b[n][d]         both operands in shared memory
//   fragment_by_rows  acc[m][d] += sum over k of p[m][k] * b[k][d]         p in the layout of acc
// bf16 and f16 run on tensor cores; float computes the same elements with FP32 multiply-adds.
namespace fp8lm::attention {

template <class T> struct Product
{
    static constexpr int scratch_bytes(int) { return 0; }

    template <int kDepth, int kPitch, int kTiles>
    static __device__ __forceinline__ void rows_by_rows(float (&acc)[kTiles][4], const T* a, const T* b)
    {
        const int lane = threadIdx.x % kWarpSize;
        const u32 at_a = ptx::shared_address(a + lane % 16 * kPitch + lane / 16 * 8);
        const u32 at_b = ptx::shared_address(b + (lane % 8 + lane / 16 * 8) * kPitch + lane / 8 % 2 * 8);
        // Fully unrolled, large heads make ptxas load operands so early that accumulators spill.
        constexpr int kUnroll = kDepth > 128 ? 4 : kDepth / 16;
        #pragma unroll kUnroll
        for (int d = 0; d < kDepth; d += 16)
        {
            u32 left[4];
            ptx::ldmatrix4(left, at_a + d * 2);
            #pragma unroll
            for (int n = 0; n < kTiles; n += 2)
            {
                u32 right[4];
                ptx::ldmatrix4(right, at_b + (n * 8 * kPitch + d) * 2);
                ptx::mma<T>(acc[n], left, right[0], right[1]);
                ptx::mma<T>(acc[n + 1], left, right[2], right[3]);
            }
        }
    }

    template <int kPitch, int kTiles, int kTilesP>
    static __device__ __forceinline__ void fragment_by_rows(float (&acc)[kTiles][4], const float (&p)[kTilesP][4], const T* b, float*)
    {
        const int lane = threadIdx.x % kWarpSize;
        const u32 at_b = ptx::shared_address(b + (lane % 8 + lane / 8 % 2 * 8) * kPitch + lane / 16 * 8);
        #pragma unroll
        for (int k = 0; k < kTilesP; k += 2)
        {
            // Two neighbouring accumulator tiles are an A fragment as they stand.
            const u32 left[4] = {
                pack2<T>(p[k][0], p[k][1]), pack2<T>(p[k][2], p[k][3]), pack2<T>(p[k + 1][0], p[k + 1][1]), pack2<T>(p[k + 1][2], p[k + 1][3])};
            #pragma unroll
            for (int n = 0; n < kTiles; n += 2)
            {
                u32 right[4];
                ptx::ldmatrix4_transposed(right, at_b + (k * 8 * kPitch + n * 8) * 2);
                ptx::mma<T>(acc[n], left, right[0], right[1]);
                ptx::mma<T>(acc[n + 1], left, right[2], right[3]);
            }
        }
    }
};

template <> struct Product<float>
{
    // A warp's p has to be seen by all its lanes; it goes through shared memory.
    static constexpr int scratch_bytes(int columns) { return kWarpRows * (columns + 4) * (int)sizeof(float); }

    template <int kDepth, int kPitch, int kTiles>
    static __device__ __forceinline__ void rows_by_rows(float (&acc)[kTiles][4], const float* a, const float* b)
    {
        const int lane = threadIdx.x % kWarpSize;
        const float* a0 = a + lane / 4 * kPitch;
        const float* a1 = a0 + 8 * kPitch;
        const float* b0 = b + 2 * (lane % 4) * kPitch;
        #pragma unroll 2
        for (int d = 0; d < kDepth; ++d)
        {
            #pragma unroll
            for (int n = 0; n < kTiles; ++n)
            {
                const float even = b0[8 * n * kPitch + d], odd = b0[(8 * n + 1) * kPitch + d];
                acc[n][0] = fmaf(a0[d], even, acc[n][0]);
                acc[n][1] = fmaf(a0[d], odd, acc[n][1]);
                acc[n][2] = fmaf(a1[d], even, acc[n][2]);
                acc[n][3] = fmaf(a1[d], odd, acc[n][3]);
            }
        }
    }

    template <int kPitch, int kTiles, int kTilesP>
    static __device__ __forceinline__ void fragment_by_rows(float (&acc)[kTiles][4], const float (&p)[kTilesP][4], const float* b, float* scratch)
    {
        constexpr int kPitchP = kTilesP * 8 + 4;
        const int lane = threadIdx.x % kWarpSize, row = lane / 4, col = 2 * (lane % 4);
        __syncwarp();
        #pragma unroll
        for (int n = 0; n < kTilesP; ++n)
            #pragma unroll
            for (int i = 0; i < 4; ++i)
                scratch[(row + i / 2 * 8) * kPitchP + 8 * n + col + i % 2] = p[n][i];
        __syncwarp();
        #pragma unroll 1
        for (int k = 0; k < kTilesP * 8; ++k)
        {
            const float p0 = scratch[row * kPitchP + k], p1 = scratch[(row + 8) * kPitchP + k];
            #pragma unroll
            for (int n = 0; n < kTiles; ++n)
            {
                const float2 right = *reinterpret_cast<const float2*>(b + k * kPitch + 8 * n + col);
                acc[n][0] = fmaf(p0, right.x, acc[n][0]);
                acc[n][1] = fmaf(p0, right.y, acc[n][1]);
                acc[n][2] = fmaf(p1, right.x, acc[n][2]);
                acc[n][3] = fmaf(p1, right.y, acc[n][3]);
            }
        }
    }
};

template <int kTiles> __device__ __forceinline__ void clear(float (&acc)[kTiles][4])
{
    #pragma unroll
    for (int n = 0; n < kTiles; ++n)
        #pragma unroll
        for (int i = 0; i < 4; ++i)
            acc[n][i] = 0.0f;
}

// Column of element i of tile n for this lane, and its row inside the warp's 16.
__device__ inline int fragment_col(int n, int i) { return 8 * n + 2 * (threadIdx.x % 4) + i % 2; }
__device__ inline int fragment_row(int i) { return threadIdx.x % kWarpSize / 4 + i / 2 * 8; }

}  // namespace fp8lm::attention
