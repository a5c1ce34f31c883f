#pragma once
#include <fp8lm/epilogue/fragment.cuh>
#include <fp8lm/gemm/config.cuh>

// The F32 GEMM: every product and sum is an FP32 fused multiply-add in the order of k.
namespace fp8lm::gemm {

// A tile of kRows x kDepth of an operand into shared memory as [k][row]; zeros outside the matrix.
template <bool kKMajor, int kRowsOfTile, int kDepth, int kPitch>
__device__ __forceinline__ void load_tile(float (&to)[kDepth][kPitch], const float* from, i64 pitch, int row0, int k0, int rows, int k)
{
    for (int i = threadIdx.x; i < kRowsOfTile * kDepth; i += 256)
    {
        const int row = kKMajor ? i / kDepth : i % kRowsOfTile, depth = kKMajor ? i % kDepth : i / kRowsOfTile;
        const bool inside = row0 + row < rows && k0 + depth < k;
        const i64 at = kKMajor ? (row0 + row) * pitch + k0 + depth : (k0 + depth) * pitch + row0 + row;
        to[depth][row] = inside ? from[at] : 0.0f;
    }
}

// Tile 128 x 64, 8 warps of 16 rows; a lane holds 8 rows x 4 columns. Pitches in elements.
template <class Config, class E>
__device__ __forceinline__ void run_f32(const float* a, i64 a_pitch, const float* b, i64 b_pitch, int m, int n, int k, E& e)
{
    constexpr int kDepth = 16;
    __shared__ alignas(16) float tile_a[kDepth][Config::kTileM + 4];
    __shared__ alignas(16) float tile_b[kDepth][Config::kTileN + 4];
    const int lane = threadIdx.x % kWarpSize, warp = threadIdx.x / kWarpSize;
    const int row_in_tile = 16 * warp + 8 * (lane / 16), col_in_tile = 4 * (lane % 16);
    const int tiles_m = ceil_div(m, Config::kTileM), tiles = tiles_m * ceil_div(n, Config::kTileN);

    #pragma unroll 1
    for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x)
    {
        const int row0 = tile % tiles_m * Config::kTileM, col0 = tile / tiles_m * Config::kTileN;
        float acc[8][4] = {};
        #pragma unroll 1
        for (int k0 = 0; k0 < k; k0 += kDepth)
        {
            load_tile<Config::kAIsKMajor, Config::kTileM>(tile_a, a, a_pitch, row0, k0, m, k);
            load_tile<Config::kBIsKMajor, Config::kTileN>(tile_b, b, b_pitch, col0, k0, n, k);
            __syncthreads();
            #pragma unroll
            for (int depth = 0; depth < kDepth; ++depth)
            {
                const float4 low = *reinterpret_cast<const float4*>(&tile_a[depth][row_in_tile]);
                const float4 high = *reinterpret_cast<const float4*>(&tile_a[depth][row_in_tile + 4]);
                const float4 right = *reinterpret_cast<const float4*>(&tile_b[depth][col_in_tile]);
                const float rows[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
                const float cols[4] = {right.x, right.y, right.z, right.w};
                #pragma unroll
                for (int i = 0; i < 8; ++i)
                    #pragma unroll
                    for (int j = 0; j < 4; ++j)
                        acc[i][j] = fmaf(rows[i], cols[j], acc[i][j]);
            }
            __syncthreads();
        }

        #pragma unroll
        for (int j = 0; j < 4; j += 2)
        {
            const int row = row0 + row_in_tile, col = col0 + col_in_tile + j;
            float sums[epilogue::kSumCount<E>] = {};
            #pragma unroll
            for (int i = 0; i < 8; ++i)
                if (row + i < m && col < n)
                    e.apply(row + i, col, acc[i][j], acc[i][j + 1], sums);
            if constexpr (E::kSums > 0)
            {
                __syncwarp();
                #pragma unroll
                for (int s = 0; s < epilogue::kSumCount<E>; ++s)
                    sums[s] += __shfl_xor_sync(kAllLanes, sums[s], 16);
                if (lane < 16 && row < m && col < n)
                    e.store_sums(row / 16, col, sums);
            }
        }
    }
    __syncwarp();
    e.finish();
}

}  // namespace fp8lm::gemm
