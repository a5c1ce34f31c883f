#pragma once
#include <fp8lm/common/types.cuh>

// How a tensor-core GEMM is cut into tiles, chosen from its shape when it is compiled.
namespace fp8lm::gemm {

// How the consumer warpgroups of a block share its work. Together: each has its part of the rows of a tile. In turn: each has whole tiles, and one
// applies its epilogue while the other multiplies. Clusters that share a tile by multicast were tried: they gain nothing at these shapes. Clusters that share K
// of a tile keep multiprocessors busy where tiles are few (gemm/split.cuh).
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

constexpr int kMultiprocessors = 132, kMostSplit = 8;    // larger clusters are not portable

// Clusters of so many blocks that an H100 holds at a time with a multiprocessor for each block, as its driver says (benchmarks/gemm.py prints it): a cluster lies in one of eight parts
// of the GPU, of which some have 16 multiprocessors and some 18. A GPU with room for fewer is slower, not wrong.
constexpr int kClusters[kMostSplit + 1] = {0, kMultiprocessors, 66, 39, 30, 22, 17, 15, 15};
__device__ constexpr int clusters_at_a_time(int split) { return kClusters[split]; }

// What exchanging partial sums takes, in bytes of K as above (measured on an H100: 768 x 768 x 32768 takes 85 us whole and 41 in four parts), the bytes of K that a block should have at
// least, and what a split must save by that prediction, in percent.
constexpr int kExchange = 3000, kLeastShare = 2048, kSplitMargin = 5;

// A tile of the table, and the blocks that share its K.
struct Cut { int tile, split; };

// Work that is proportional to the time of the busiest multiprocessor: its rounds, times what a round takes.
__device__ constexpr i64 time_of(const Cut& cut, const TileSpeed& speed, i64 tiles, i64 k_bytes)
{
    const i64 rounds = cut.split > 1 ? 1 : ceil_div<i64>(tiles, kMultiprocessors);
    const i64 length = ceil_div<i64>(k_bytes, cut.split) + speed.start + (cut.split > 1 ? kExchange : 0);
    return rounds * kTiles[cut.tile].rows * kTiles[cut.tile].columns * length * (cut.split > 1 ? 100 + kSplitMargin : 100) / speed.percent;
}

// K is split only among consumers that share a tile, and only where every tile finds a cluster at once: between rounds a cluster has nothing on its way, which
// made 3072 x 768 x 32768 in four parts 1.8 times as slow as whole. FP8LM_TILE and FP8LM_SPLIT take the choice away.
__device__ constexpr Cut choose_cut(const TileSpeeds& speeds, i64 m, i64 n, i64 k_bytes, bool splits)
{
    Cut best{-1, 1};
    i64 least = 0;
    for (int i = 0; i < kTileCount; ++i)
    {
        TileSpeed speed = speeds.of[i];
#ifdef FP8LM_TILE
        speed = {i == FP8LM_TILE ? 100 : 0, 400};
#endif
        const i64 tiles = ceil_div<i64>(m, kTiles[i].rows) * ceil_div<i64>(n, kTiles[i].columns);
        for (int split = 1; split <= kMostSplit && speed.percent > 0; ++split)
        {
#ifdef FP8LM_SPLIT
            const bool serves = split == FP8LM_SPLIT && (split == 1 || kTiles[i].consumers == Consumers::Together);
#elif defined(FP8LM_TILE)
            const bool serves = split == 1;
#else
            const bool serves = split == 1 || (splits && kTiles[i].consumers == Consumers::Together && tiles <= clusters_at_a_time(split) && k_bytes >= (i64)split * kLeastShare);
#endif
            const i64 time = serves ? time_of({i, split}, speed, tiles, k_bytes) : 0;
            if (serves && (best.tile < 0 || time < least))
            {
                best = {i, split};
                least = time;
            }
        }
    }
    return best;
}

}  // namespace fp8lm::gemm
