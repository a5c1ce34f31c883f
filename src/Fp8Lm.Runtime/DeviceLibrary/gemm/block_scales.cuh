#pragma once
#include <fp8lm/gemm/ring.cuh>
#include <fp8lm/gemm/schedule.cuh>
#include <fp8lm/ptx/tma.cuh>

// Inverse scales of operands per 128 of K: through the ring with the bytes they belong to, and into the promotion of partial sums.
namespace fp8lm::gemm {

// a: [blocks of K, M] f32. b: [blocks of K, N], or of a weight's squares one per 128 columns and block, across and along elements apart.
struct ScaleAddresses
{
    const float* a;
    const float* b;
    int across = 0, along = 0;

    __device__ float square(int column, int block) const { return b[column / 128 * across + block * along]; }
};

// Rows of the stage's tile, and columns, that have scales; what a tile has beyond them is never stored.
template <class Config> __device__ __forceinline__ u32 scale_bytes(const Position& tile)
{
    const int rows = min(Config::kRows, Config::kRowEnd - tile.row), columns = min(Config::kColumns, Config::kColumnEnd - tile.col);
    return 4 * (rows + (Config::kScales == BlockScales::Rows ? columns : 0));
}

// The producer's lane; the bytes were announced.
template <class Config> __device__ __forceinline__ void load_scales(const Ring<Config>& ring, const ScaleAddresses& scales, const Position& tile, int block)
{
    const int rows = min(Config::kRows, Config::kRowEnd - tile.row), columns = min(Config::kColumns, Config::kColumnEnd - tile.col);
    ptx::bulk_load(ring.scales_a(), scales.a + (i64)block * Config::kRowEnd + tile.row, 4 * rows, ring.full());
    if constexpr (Config::kScales == BlockScales::Rows)
        ptx::bulk_load(ring.scales_b(), scales.b + (i64)block * Config::kColumnEnd + tile.col, 4 * columns, ring.full());
}

__device__ __forceinline__ float shared_float(u32 address)
{
    float value;
    asm volatile("ld.shared.f32 %0, [%1];" : "=f"(value) : "r"(address));
    return value;
}

__device__ __forceinline__ float4 shared_float4(u32 address)
{
    float4 value;
    asm volatile("ld.shared.v4.f32 {%0, %1, %2, %3}, [%4];" : "=f"(value.x), "=f"(value.y), "=f"(value.z), "=f"(value.w) : "r"(address));
    return value;
}

__device__ __forceinline__ float2 shared_float2(u32 address)
{
    float2 value;
    asm volatile("ld.shared.v2.f32 {%0, %1}, [%2];" : "=f"(value.x), "=f"(value.y) : "r"(address));
    return value;
}

// acc += partial * scale of the row * scale of the column, in the layout of epilogue::apply_fragments. low, high: of the lane's two rows.
template <class Config>
__device__ __forceinline__ void promote_squares(float (&acc)[Config::kAccumulators], const float (&partial)[Config::kAccumulators], float low, float high)
{
    #pragma unroll
    for (int i = 0; i < Config::kAccumulators; ++i)
        acc[i] = fmaf(partial[i], i % 4 < 2 ? low : high, acc[i]);
}

// columns: the shared address of the scales of B.
template <class Config>
__device__ __forceinline__ void promote_rows(
    float (&acc)[Config::kAccumulators], const float (&partial)[Config::kAccumulators], float low, float high, u32 columns)
{
    const int lane = threadIdx.x % 4;
    if constexpr (Config::kAdjacent)
        #pragma unroll
        for (int group = 0; group < Config::kColumns / 32; ++group)
        {
            const u32 at = columns + 4 * (32 * group + 8 * lane);
            const float4 first = shared_float4(at), second = shared_float4(at + 16);
            const float scales[8] = {first.x, first.y, first.z, first.w, second.x, second.y, second.z, second.w};
            #pragma unroll
            for (int i = 0; i < 16; ++i)
            {
                const int index = 16 * group + i;
                acc[index] = fmaf(partial[index] * scales[i / 4 * 2 + i % 2], i % 4 < 2 ? low : high, acc[index]);
            }
        }
    else
        #pragma unroll
        for (int tile = 0; tile < Config::kColumns / 8; ++tile)
        {
            const float2 scales = shared_float2(columns + 4 * (8 * tile + 2 * lane));
            #pragma unroll
            for (int i = 0; i < 4; ++i)
                acc[4 * tile + i] = fmaf(partial[4 * tile + i] * (i % 2 == 0 ? scales.x : scales.y), i < 2 ? low : high, acc[4 * tile + i]);
        }
}

}  // namespace fp8lm::gemm
