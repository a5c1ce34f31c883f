#pragma once
#include <fp8lm/epilogue/fragment.cuh>
#include <fp8lm/gemm/config.cuh>
#include <fp8lm/ptx/cluster.cuh>
#include <fp8lm/ptx/named_barrier.cuh>
#include <fp8lm/ptx/proxy.cuh>
#include <fp8lm/ptx/shared.cuh>

// K of a tile over the blocks of a cluster. Each multiplies its blocks of K, all lay their partial sums into their own shared memory, and each adds and stores a share of the tile: sums
// and epilogue are spread as the products were. A share is added up beginning with its owner's own part and going round by rank, so that no two blocks read from the same one at a time;
// whose share an element is depends on nothing but its place, so its sum has one order.
namespace fp8lm::gemm {

// What a block multiplies of every tile.
struct BlocksOfK { int rank, first, count; };

template <class Config> __device__ __forceinline__ BlocksOfK blocks_of_k()
{
    if constexpr (Config::kSplit == 1)
        return {0, 0, Config::kBlocksK};
    else
    {
        const int rank = (int)ptx::cluster_rank(), first = rank * Config::kBlocksK / Config::kSplit;
        return {rank, first, (rank + 1) * Config::kBlocksK / Config::kSplit - first};
    }
}

// Between a tile's last block of K and the next tile's first, what a warp that does not consume has to do: the two barriers of SharedTile, at which all threads of a cluster meet.
__device__ __forceinline__ void stand_by()
{
    ptx::cluster_sync();    // partial sums are where others read them
    ptx::cluster_sync();    // others have read them: stages may be filled again, and the block may end
}

// A consumer thread's part in it.
template <class Config> struct SharedTile
{
    // A part is 32 columns of a slab of every consumer, 16 accumulators of a thread; a block has every kSplit-th.
    static constexpr int kSteps = Config::kColumns / 32, kParts = Config::kSlabs * kSteps, kOwn = ceil_div(kParts, Config::kSplit);
    static constexpr int kThreads = 128 * Config::kConsumers;
    static_assert(Config::kColumns % 32 == 0 && kParts * 64 * kThreads <= Config::kStages * Config::kStageBytes, "partial sums take the place of stages");

    int rank;
    float sums[kOwn][16];

    static __device__ u32 offset(int part, int vector) { return ((4 * part + vector) * kThreads + threadIdx.x) * 16; }

    // shared: of the first stage. Nothing is on its way there: the producer has asked for no more than the products waited for, and asks on only after the second barrier.
    __device__ SharedTile(const float (&acc)[Config::kSlabs][Config::kAccumulators], u32 shared)
        : rank((int)ptx::cluster_rank())
    {
        ptx::barrier_sync<kThreads>(1 + Config::kConsumers);    // the products of all consumers have read their stages; smaller numbers belong to the epilogue
        #pragma unroll
        for (int part = 0; part < kParts; ++part)
            #pragma unroll
            for (int vector = 0; vector < 4; ++vector)
            {
                const float* from = &acc[part / kSteps][16 * (part % kSteps) + 4 * vector];
                ptx::shared_store(shared + offset(part, vector), make_float4(from[0], from[1], from[2], from[3]));
            }
        ptx::cluster_sync();    // releases them to the cluster
        #pragma unroll
        for (int i = 0; i < kOwn; ++i)
            #pragma unroll
            for (int turn = 0; turn < Config::kSplit; ++turn)
            {
                const int from = rank + turn < Config::kSplit ? rank + turn : rank + turn - Config::kSplit;
                const u32 theirs = ptx::shared_of_rank(shared, from);
                #pragma unroll
                for (int vector = 0; vector < 4; ++vector)
                {
                    const u32 at = offset(min(own(i), kParts - 1), vector);    // one too many is read for nothing: a branch would cost registers
                    const float4 v = turn == 0 ? ptx::shared_load_floats(shared + at) : ptx::load_of_rank(theirs + at);
                    float (&sum)[16] = sums[i];
                    sum[4 * vector] = turn == 0 ? v.x : sum[4 * vector] + v.x;
                    sum[4 * vector + 1] = turn == 0 ? v.y : sum[4 * vector + 1] + v.y;
                    sum[4 * vector + 2] = turn == 0 ? v.z : sum[4 * vector + 2] + v.z;
                    sum[4 * vector + 3] = turn == 0 ? v.w : sum[4 * vector + 3] + v.w;
                }
            }
        ptx::fence_proxy_async();    // the copy engine writes next where this thread wrote
        ptx::cluster_arrive();       // this thread reads no more; the epilogue needs no memory of others
    }

    // All threads, behind the epilogue.
    __device__ void finish() const
    {
        __syncwarp();
        ptx::cluster_wait();
    }

    __device__ int own(int i) const { return rank + Config::kSplit * i; }
    __device__ bool exists(int i) const { return kParts % Config::kSplit == 0 || own(i) < kParts; }

    // row0, col0: of the warp's first slab.
    template <class E, class Turns, class ColumnValues>
    __device__ void apply(E& e, int row0, int col0, const Turns& turns, const ColumnValues& column_values) const
    {
        epilogue::straight<kOwn>([&](auto i) {
            constexpr int kI = decltype(i)::kValue;
            epilogue::apply_fragments<4, 1, false, Config::kAdjacent>(
                e, [&](int j, int k) { return sums[kI][4 * j + k]; }, row0 + 64 * (own(kI) / kSteps), col0 + 32 * (own(kI) % kSteps),
                Config::kRowEnd, Config::kColumnEnd, turns, column_values);
        }, [&](int i) { return exists(i); });
    }
};

}  // namespace fp8lm::gemm
