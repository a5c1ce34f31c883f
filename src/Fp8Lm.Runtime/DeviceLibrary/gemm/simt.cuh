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

// Tile 128 x 64, 8 warps of 16 rows; a lane holds 4 rows x 8 columns. Pitches in elements.
template <class Config, class E>
__device__ __forceinline__ void run_f32(const float* a, i64 a_pitch, const float* b, i64 b_pitch, int m, int n, int k, E& e)
{
    epilogue::begin(e);
    constexpr int kDepth = 16;
    if (k < kDepth)
    {
        // A single step whose length ptxas knows is taken out of its loop, where its loads need more registers than there are. Folded away for every longer K.
        asm volatile("" : "+r"(k));
    }

    __shared__ alignas(16) float tile_a[kDepth][Config::kTileM + 4];
    __shared__ alignas(16) float tile_b[kDepth][Config::kTileN + 4];
    const int lane = threadIdx.x % kWarpSize, warp = threadIdx.x / kWarpSize;
    const int row_in_tile = 16 * warp + 4 * (lane / 8), col_in_tile = 8 * (lane % 8);
    const int tiles_m = ceil_div(m, Config::kTileM), tiles = tiles_m * ceil_div(n, Config::kTileN);

    #pragma unroll 1
    for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x)
    {
        const int row0 = tile % tiles_m * Config::kTileM, col0 = tile / tiles_m * Config::kTileN;
        float acc[4][8] = {};
        #pragma unroll 1
        for (int k0 = 0; k0 < k; k0 += kDepth)
        {
            load_tile<Config::kAIsKMajor, Config::kTileM>(tile_a, a, a_pitch, row0, k0, m, k);
            load_tile<Config::kBIsKMajor, Config::kTileN>(tile_b, b, b_pitch, col0, k0, n, k);
            __syncthreads();
            #pragma unroll
            for (int depth = 0; depth < kDepth; ++depth)
            {
                const float4 left = *reinterpret_cast<const float4*>(&tile_a[depth][row_in_tile]);
                const float4 low = *reinterpret_cast<const float4*>(&tile_b[depth][col_in_tile]);
                const float4 high = *reinterpret_cast<const float4*>(&tile_b[depth][col_in_tile + 4]);
                const float rows[4] = {left.x, left.y, left.z, left.w};
                const float cols[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
                #pragma unroll
                for (int i = 0; i < 4; ++i)
                    #pragma unroll
                    for (int j = 0; j < 8; ++j)
                        acc[i][j] = fmaf(rows[i], cols[j], acc[i][j]);
            }
            __syncthreads();
        }
        epilogue::apply_rows(e, acc, row0 + row_in_tile, col0 + col_in_tile, m, n);
    }
    __syncwarp();
    e.finish();
}

}  // namespace fp8lm::gemm
