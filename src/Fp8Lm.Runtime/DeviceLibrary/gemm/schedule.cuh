#pragma once
#include <fp8lm/gemm/config.cuh>

namespace fp8lm::gemm {

struct Position { int row, col; };

// Tiles in groups of up to 2048 rows, equally many each, walked column by column: the tiles in flight at one time then read few distinct rows of A and B, which stay in
// L2. Block b of a persistent grid takes tiles b, b + grid, ...; where K is split, a cluster does what a block does elsewhere.
template <class Config> struct Schedule
{
    static constexpr int kGroup = ceil_div(Config::kTilesM, ceil_div(Config::kTilesM, 2048 / Config::kRows));
    static constexpr int kTiles = Config::kTilesM * Config::kTilesN;

    // Tiles of the block, which its cluster shares.
    static __device__ int first() { return (int)(blockIdx.x / Config::kSplit); }
    static __device__ int stride() { return (int)(gridDim.x / Config::kSplit); }

    // Of a consumer: all of the block's, or every other one.
    static __device__ int first(int group) { return first() + (Config::kTogether ? 0 : group * stride()); }
    static __device__ int stride_of_consumer() { return (Config::kTogether ? 1 : Config::kConsumers) * stride(); }

    // Top left element.
    static __device__ Position position(int tile)
    {
        const int group = tile / (kGroup * Config::kTilesN), inside = tile - group * kGroup * Config::kTilesN;
        const int rows = min(Config::kTilesM - group * kGroup, kGroup);
        return {(group * kGroup + inside % rows) * Config::kRows, inside / rows * Config::kColumns};
    }
};

}  // namespace fp8lm::gemm
