#pragma once
#include <fp8lm/common/common.cuh>
#include <fp8lm/ptx/cluster.cuh>
#include <fp8lm/ptx/cp_async.cuh>
#include <fp8lm/reduce/warp.cuh>
#include <fp8lm/row/slab_shape.cuh>

// The frame of row kernels whose values cross rows: column sums and transposed FP8 copies. A lane owns columns and walks down the rows, four at a
// time, so that a column's sum stays in its registers and a quad of bytes of a transposed copy is made in them.
namespace fp8lm::row {

template <i64 kRows, i64 kColumns, int kWidth, int kAheadBytes, int kTurns, int kReductions, int kHeld> struct Slabs
{
    static constexpr SlabNeeds kNeeds{kRows, kColumns, kWidth, kAheadBytes, kTurns, kReductions, kHeld};
    static constexpr SlabShape kShape = shape_of(kNeeds);
    static constexpr int kTileM = kShape.rows();
    static constexpr int kTileN = kShape.columns;
    static constexpr int kCluster = kShape.cluster;
    static constexpr int kLanes = kShape.lanes;
    static constexpr int kPacks = kShape.packs;
    static constexpr int kThreads = kShape.threads();
    static constexpr int kResident = kShape.resident;
    static constexpr int kStages = kShape.stages;
    static constexpr int kBlocks = 0;
    static constexpr int kGroupRows = kShape.slabs * kSlabRows;
    static constexpr int kBatches = kGroupRows / kBatch;
    static constexpr int kSlabBatches = kSlabRows / kBatch;
    static constexpr int kSharedBytes = kNeeds.bytes(kShape);
    static constexpr bool kExact = kTileN == kPacks * kLanes * kWidth && kColumns % kTileN == 0;
    static constexpr bool kWholeRows = kRows % kTileM == 0;
    static_assert(kSharedBytes <= kSharedOfBlock, "a row is too wide: 16 bytes a column and transposed copy do not fit into the shared memory of eight blocks");

    struct Position
    {
        int lane;       // lane in the row
        int group;
        int first;      // column of the block
        i64 top;        // first row of the group
        bool leads;     // stores what there is once per row
        bool begins;    // stores what there is once

        __device__ Position()
            : lane(threadIdx.x % kLanes), group(threadIdx.x / kLanes), first(blockIdx.y * kTileN), top((i64)blockIdx.x * kTileM + group * kGroupRows), leads(lane == 0 && blockIdx.y == 0),
              begins(leads && top == 0)
        {
        }

        __device__ bool active(int batch, int i) const { return kWholeRows || top + batch * kBatch + i < kRows; }

        // Rows past the end read row 0 and store nothing.
        __device__ i64 row(int batch, int i) const { return active(batch, i) ? top + batch * kBatch + i : 0; }

        __device__ int column(int pack) const { return first + (pack * kLanes + lane) * kWidth; }

        __device__ bool inside(int column) const { return kExact || (column < first + kTileN && column < kColumns); }

        // Whether sums of a slab are complete after this batch, and which slab that is.
        __device__ bool ends_slab(int batch) const { return batch % kSlabBatches == kSlabBatches - 1 && active(batch + 1 - kSlabBatches, 0); }
        __device__ i64 slab(int batch) const { return (top + batch * kBatch) / kSlabRows; }

        __device__ int quad(int batch) const { return group * kBatches + batch; }
    };

    // Shared memory: transposed copies, parts of reductions, what was asked for ahead.
    static __device__ u8* shared()
    {
        extern __shared__ __align__(128) u8 slabs_shared[];
        return slabs_shared;
    }

    static __device__ u32* turn(int number) { return reinterpret_cast<u32*>(shared() + number * kShape.turn_bytes()); }

    // Places of a batch's rows; offset: bytes of a column before it.
    static __device__ u8* ahead(int batch, int i, int pack, int offset)
    {
        constexpr int kPlace = kThreads * kWidth * kAheadBytes;
        return shared() + kTurns * kShape.turn_bytes() + kNeeds.part_bytes(kShape) + ((batch % (kStages > 0 ? kStages : 1) * kBatch + i) * kPacks + pack) * kPlace + kThreads * kWidth * offset;
    }

    // What was asked for of the oldest batch has come; every ask is committed, also an empty one.
    static __device__ void wait() { ptx::cp_async_wait<(kStages > 0 ? kStages - 1 : 0)>(); }

    // Shared memory of the other blocks may be written from here on.
    static __device__ void begin()
    {
        if constexpr (kCluster > 1)
            ptx::cluster_sync();
    }

    // Over the lanes of a row, for the rows of a batch; all lanes get the results. Bit k of kMaxima: values[k] has maxima, not sums. Calls that follow
    // each other have turns 0 and 1, so that one barrier a call is enough.
    template <unsigned kMaxima, int kCount> static __device__ void reduce(float (&values)[kCount][kBatch], int turn)
    {
        constexpr int kIn = kLanes < kWarpSize ? kLanes : kWarpSize;
        const int lane = threadIdx.x % kWarpSize;
        float folded[kCount];
        #pragma unroll
        for (int k = 0; k < kCount; ++k)
            folded[k] = fold<kIn>(values[k], kMaxima >> k & 1);
        if constexpr (kLanes > kWarpSize)
        {
            constexpr int kUsed = kCluster * kShape.warps();
            const int from = (kCluster > 1 ? blockIdx.y * kShape.warps() : 0) + threadIdx.x % kLanes / kWarpSize;
            #pragma unroll
            for (int k = 0; k < kCount; ++k)
                put_part(part(turn, k, lane / 8) + from, lane % 8, folded[k]);
            if constexpr (kCluster > 1)
                ptx::cluster_sync();
            else
                __syncthreads();
            #pragma unroll
            for (int k = 0; k < kCount; ++k)
            {
                const bool max = kMaxima >> k & 1;
                const float* const parts = part(turn, k, lane / 8);
                folded[k] = lane % 8 < kUsed ? parts[lane % 8] : max ? __int_as_float(0xff800000) : 0.0f;
                #pragma unroll
                for (int i = 8; i < kUsed; i += 8)
                    if (lane % 8 + i < kUsed)
                        folded[k] = join(folded[k], parts[lane % 8 + i], max);
                #pragma unroll
                for (int distance = 4; distance > 0; distance /= 2)
                    folded[k] = join(folded[k], __shfl_xor_sync(kAllLanes, folded[k], distance), max);
            }
        }
        #pragma unroll
        for (int k = 0; k < kCount; ++k)
            #pragma unroll
            for (int i = 0; i < kBatch; ++i)
                values[k][i] = __shfl_sync(kAllLanes, folded[k], (lane & ~(kIn - 1)) + i * (kIn / kBatch));
    }

private:
    static __device__ float join(float a, float b, bool max) { return max ? max_(a, b) : a + b; }

    // A quarter of the lanes ends up with the result of one of the four rows: half the shuffles of four butterflies, in their order.
    template <int kIn> static __device__ float fold(const float (&v)[kBatch], bool max)
    {
        const bool lower = threadIdx.x & kIn / 2, odd = threadIdx.x & kIn / 4;
        const float even_row = join(lower ? v[2] : v[0], __shfl_xor_sync(kAllLanes, lower ? v[0] : v[2], kIn / 2), max);
        const float odd_row = join(lower ? v[3] : v[1], __shfl_xor_sync(kAllLanes, lower ? v[1] : v[3], kIn / 2), max);
        float result = join(odd ? odd_row : even_row, __shfl_xor_sync(kAllLanes, odd ? even_row : odd_row, kIn / 4), max);
        #pragma unroll
        for (int distance = kIn / 8; distance > 0; distance /= 2)
            result = join(result, __shfl_xor_sync(kAllLanes, result, distance), max);
        return result;
    }

    // What the warps of a row in all blocks of the cluster have, of row i of a batch.
    static __device__ float* part(int turn, int k, int i)
    {
        const int group = threadIdx.x / kLanes;
        return reinterpret_cast<float*>(shared() + kTurns * kShape.turn_bytes()) + (((turn * kReductions + k) * kShape.groups + group) * kBatch + i) * kShape.parts();
    }

    static __device__ void put_part(float* to, int eighth, float value)
    {
        if constexpr (kCluster == 1)
        {
            if (eighth == 0)
                *to = value;
        }
        else if (eighth < kCluster)
            ptx::store_of_rank(ptx::shared_of_rank((u32)__cvta_generic_to_shared(to), eighth), value);
    }
};

}  // namespace fp8lm::row
