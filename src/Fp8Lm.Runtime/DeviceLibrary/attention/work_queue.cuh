#pragma once
#include <fp8lm/attention/shape.cuh>

namespace fp8lm::attention {

// Zero between launches: the last block to be turned away puts it back.
inline __device__ u32 next_item = 0;

// The blocks of rows of all heads, in an order that keeps a persistent grid busy to the end and the other operand in the L2 cache: some heads at
// a time, of those the first rank of every head, then the second, and so on; rank 0 is the block with the most work. Who computes an
// item does not change its result.
template <class S, int kRows, int kHeads> struct WorkQueue
{
    static constexpr int kRanks = (S::kSequence + kRows - 1) / kRows;
    static constexpr int kAllHeads = kHeads * S::kBatch;
    static constexpr int kItems = kRanks * kAllHeads;

    // The other side is two 16-bit matrices of [sequence, head size] for each of its heads, together at most half of the L2 cache.
    static constexpr int kCachedBytes = 24 << 20;
    static constexpr int kOtherHeads = kHeads == S::kQueryHeads ? S::kKeyValueHeads : S::kQueryHeads;
    static constexpr i64 kHeadBytes = (i64)4 * S::kSequence * S::kHeadSize * kOtherHeads / kHeads;
    static constexpr i64 kFitting = kCachedBytes / kHeadBytes;
    // Rounds of equally many heads: the long items of a small last round would keep a few multiprocessors busy alone.
    static constexpr int kRounds = kFitting < 1 ? kAllHeads : (int)((kAllHeads + kFitting - 1) / kFitting);
    static constexpr int kTogether = (kAllHeads + kRounds - 1) / kRounds;

    struct Item { int rank, head, batch, unused; };
    static constexpr int kNothing = -1;    // a rank

    // By one thread of each of a block's claimers, which stop at the first kNothing.
    template <int kClaimers> static __device__ int claim()
    {
        const u32 index = atomicAdd(&next_item, 1);
        if (index == kItems + kClaimers * gridDim.x * gridDim.y * gridDim.z - 1)
            next_item = 0;
        return (int)index;
    }

    static __device__ Item at(int index)
    {
        if (index >= kItems)
            return {kNothing};
        const int first = index / (kRanks * kTogether) * kTogether, within = index % (kRanks * kTogether);
        const int together = min(kTogether, kAllHeads - first), head = first + within % together;
        return {within / together, head % kHeads, head / kHeads, 0};
    }
};

}  // namespace fp8lm::attention
