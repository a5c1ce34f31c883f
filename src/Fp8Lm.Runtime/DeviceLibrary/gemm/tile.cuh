#pragma once
#include <fp8lm/common/types.cuh>

// How a tensor-core GEMM is cut into tiles, chosen from its shape when it is compiled.
namespace fp8lm::gemm {

// How the consumer warpgroups of a block share its work. Together: each has its part of the rows of a tile. In turn: each has whole tiles, and one
// applies its epilogue while the other multiplies. Clusters that share a tile by multicast were tried: they gain nothing at these shapes.
enum class Consumers { Together, InTurn };

struct Tile
{
    int rows, columns;
    Consumers consumers;
    int warpgroups;    // that consume
};

constexpr int kTileCount = 7;
constexpr Tile kTiles[kTileCount] = {
    {128, 256, Consumers::Together, 2}, {128, 192, Consumers::InTurn, 2}, {128, 128, Consumers::InTurn, 2},
    {256, 128, Consumers::Together, 2}, {128, 192, Consumers::Together, 2}, {128, 128, Consumers::Together, 2}, {192, 128, Consumers::Together, 3},
};

// What a tile achieves, measured on an H200: speed in percent of the best where K is long (0 where it does not serve), and bytes of K that would take as
// long as beginning and ending a tile. Promotion holds a second set of accumulators, so it has tiles of its own and does not take turns: a
// consumer alone cannot keep the tensor cores busy while it adds.
// A light epilogue keeps few values beside the accumulators: no sums, one vector over the columns, and either an octet of bf16 that it reads or a transposed copy. Only then
// are 192 accumulators kept in turn. A plain epilogue has neither sums nor transposed copies; with it three consumers hide each other's additions best.
struct TileSpeed { int percent, start; };
struct TileSpeeds { TileSpeed of[kTileCount]; };
constexpr TileSpeeds kFp8Speeds = {{{0, 0}, {0, 0}, {95, 120}, {0, 0}, {0, 0}, {0, 0}, {0, 0}}};
constexpr TileSpeeds kFp8LightSpeeds = {{{0, 0}, {100, 80}, {95, 120}, {0, 0}, {0, 0}, {0, 0}, {0, 0}}};
constexpr TileSpeeds kPromotedSpeeds = {{{0, 0}, {0, 0}, {0, 0}, {98, 400}, {100, 400}, {90, 400}, {0, 0}}};
constexpr TileSpeeds kPromotedPlainSpeeds = {{{0, 0}, {0, 0}, {0, 0}, {93, 400}, {96, 400}, {91, 400}, {100, 400}}};
// Promoted sums with scales per block want 128 columns, which share a square of a weight; speeds as if they had no scales, not measured. A scale per column
// as well takes registers that two slabs and more than a plain epilogue need.
constexpr TileSpeeds kBlockScaledSpeeds = {{{0, 0}, {0, 0}, {0, 0}, {98, 400}, {0, 0}, {90, 400}, {0, 0}}};
constexpr TileSpeeds kRowScaledSpeeds = {{{0, 0}, {0, 0}, {0, 0}, {0, 0}, {0, 0}, {90, 400}, {0, 0}}};
constexpr TileSpeeds kBlockScaledPlainSpeeds = {{{0, 0}, {0, 0}, {0, 0}, {93, 400}, {0, 0}, {91, 400}, {100, 400}}};
// 16-bit operands, measured on an H100. An epilogue that computes takes three times as long as a plain store, which only consumers in turn hide. A wide one reads or sums more
// than 192 accumulators leave registers for.
constexpr TileSpeeds kBf16PlainSpeeds = {{{100, 600}, {83, 80}, {72, 120}, {0, 0}, {0, 0}, {0, 0}, {0, 0}}};
constexpr TileSpeeds kBf16Speeds = {{{100, 1800}, {83, 80}, {72, 120}, {0, 0}, {0, 0}, {0, 0}, {0, 0}}};
constexpr TileSpeeds kBf16WideSpeeds = {{{100, 1800}, {0, 0}, {72, 120}, {0, 0}, {0, 0}, {0, 0}, {0, 0}}};

// The tile of least time: rounds that the busiest multiprocessor makes, times what a round takes.
__device__ constexpr int choose_tile(const TileSpeeds& speeds, i64 m, i64 n, i64 k_bytes)
{
#ifdef FP8LM_TILE
    return FP8LM_TILE;
#else
    constexpr i64 kMultiprocessors = 132;
    int best = -1;
    i64 least = 0;
    for (int i = 0; i < kTileCount; ++i)
        if (speeds.of[i].percent > 0)
        {
            const i64 rounds = ceil_div(ceil_div<i64>(m, kTiles[i].rows) * ceil_div<i64>(n, kTiles[i].columns), kMultiprocessors);
            const i64 time = rounds * kTiles[i].rows * kTiles[i].columns * (k_bytes + speeds.of[i].start) * 100 / speeds.of[i].percent;
            if (best < 0 || time < least)
            {
                best = i;
                least = time;
            }
        }
    return best;
#endif
}

}  // namespace fp8lm::gemm
