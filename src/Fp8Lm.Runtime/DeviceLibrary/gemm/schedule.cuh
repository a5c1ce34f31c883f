#pragma once
#include <fp8lm/common/types.cuh>

namespace fp8lm::gemm {

struct Tile { int m, n; };

// Tiles in groups of 8 tile rows, walked column by column: the tiles in flight at one time then read few distinct rows of A and B,
// which stay in L2. Block b of a persistent grid takes tiles b, b + grid, ...
struct Schedule
{
    static constexpr int kGroup = 8;

    int tiles_m, tiles_n;

    template <class Config> static __device__ Schedule make(int m, int n)
    {
        return {ceil_div(m, Config::kTileM), ceil_div(n, Config::kTileN)};
    }

    __device__ int count() const { return tiles_m * tiles_n; }

    __device__ Tile tile(int index) const
    {
        const int group = index / (kGroup * tiles_n);
        const int first = group * kGroup;
        const int rows = tiles_m - first < kGroup ? tiles_m - first : kGroup;
        const int inside = index - group * kGroup * tiles_n;
        return {first + inside % rows, inside / rows};
    }
};

}  // namespace fp8lm::gemm
