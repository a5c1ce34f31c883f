#pragma once
#include <fp8lm/common/common.cuh>
#include <fp8lm/ptx/cp_async.cuh>
#include <fp8lm/reduce/amax.cuh>
#include <fp8lm/reduce/cast_counter.cuh>
#include <fp8lm/reduce/warp.cuh>

// The frame of row kernels: which thread works on which columns of which row.
namespace fp8lm::row {

constexpr int kThreads = 512;
constexpr int kKeptBytes = 64;     // of a row, per lane, in registers between sweeps: two blocks find room on a multiprocessor
constexpr int kKeptShared = 112 << 10;    // of a block, in shared memory: two blocks on a multiprocessor, one reads while the other computes

// Where what several sweeps read stays in between.
enum class Keeping { Nothing, Registers, Shared };

// Lanes of a row: about four packs each.
constexpr int lanes_of_row(i64 columns, int width)
{
    int lanes = 8;
    while (lanes < kThreads && 4 * lanes * width < columns)
        lanes *= 2;
    return lanes;
}

// kKeptOfColumn: bytes of a column that several sweeps read.
template <i64 kColumns, int kWidth, int kKeptOfColumn = 0> struct Frame
{
    static constexpr int kLanes = lanes_of_row(kColumns, kWidth);
    static constexpr int kThreads = row::kThreads;
    static constexpr int kTileM = kThreads / kLanes;
    static constexpr int kTileN = (int)kColumns;
    static constexpr int kBlocks = 0;
    static constexpr int kStepColumns = kLanes * kWidth;
    static constexpr int kSteps = (kTileN + kStepColumns - 1) / kStepColumns;
    static constexpr bool kExact = kColumns % (kSteps * kStepColumns) == 0;

    static constexpr i64 kKeptOfBlock = (i64)kThreads * kSteps * kWidth * kKeptOfColumn;
    static constexpr Keeping kKeeping = kKeptOfColumn == 0 ? Keeping::Nothing : kSteps * kWidth * kKeptOfColumn <= kKeptBytes ? Keeping::Registers
        : kKeptOfBlock <= kKeptShared ? Keeping::Shared : Keeping::Nothing;
    static constexpr int kSharedBytes = kKeeping == Keeping::Shared ? (int)kKeptOfBlock : 0;

    // Sweeps that keep the row in registers are unrolled; others ask for a few packs at once, the last one for fewer, as it has more to hold.
    static constexpr int kUnrollReduction = kKeeping == Keeping::Registers || kSteps < 4 ? kSteps : 4;
    static constexpr int kUnrollLast = kKeeping == Keeping::Registers || kSteps < 2 ? kSteps : 2;

    struct Position
    {
        int lane;       // lane in the row
        int in_block;   // row in the block
        i64 row;        // row of this lane; rows past the end read row 0 and store nothing
        bool active;    // whether that row exists; the same for all lanes of a row
        bool leads;     // stores what there is once per row

        __device__ explicit Position(i64 rows)
            : lane(threadIdx.x % kLanes), in_block(threadIdx.x / kLanes), row((i64)blockIdx.x * kTileM + in_block), active(row < rows), leads(active && lane == 0)
        {
            row = active ? row : 0;
        }

        // First column of this lane's pack in a step of a sweep.
        __device__ int column(int step) const { return step * kStepColumns + lane * kWidth; }
    };

    static __device__ bool inside(int column) { return kExact || column < kColumns; }

    static __device__ u8* shared()
    {
        extern __shared__ __align__(128) u8 row_shared[];
        return row_shared;
    }

    // After the fetches of what is kept.
    static __device__ void fetched()
    {
        if constexpr (kKeeping == Keeping::Shared)
        {
            ptx::cp_async_commit();
            ptx::cp_async_wait<0>();
        }
    }

    // Over the lanes of a row; every one gets the result. All threads of the block take part.
    static __device__ float sum(float value)
    {
        return reduce(value, [](float a, float b) { return a + b; });
    }

    static __device__ float max(float value)
    {
        return reduce(value, [](float a, float b) { return max_(a, b); });
    }

private:
    template <class Op> static __device__ float reduce(float value, Op op)
    {
        #pragma unroll
        for (int distance = (kLanes < kWarpSize ? kLanes : kWarpSize) / 2; distance > 0; distance /= 2)
            value = op(value, __shfl_xor_sync(kAllLanes, value, distance));
        if constexpr (kLanes > kWarpSize)
        {
            constexpr int kWarps = kLanes / kWarpSize;
            __shared__ float parts[kThreads / kWarpSize];
            const int warp = threadIdx.x / kWarpSize, first = warp / kWarps * kWarps;
            __syncthreads();    // the last reduction has been read
            if (threadIdx.x % kWarpSize == 0)
                parts[warp] = value;
            __syncthreads();
            value = parts[first];
            #pragma unroll
            for (int i = 1; i < kWarps; ++i)
                value = op(value, parts[first + i]);
        }
        return value;
    }
};

// One atomic per block, and none where a larger value stands already (an amax only grows until the step ends).
__device__ inline void block_amax(u32* slot, u32 running)
{
    __shared__ u32 largest;
    if (threadIdx.x == 0)
        largest = 0;
    __syncthreads();
    const u32 mine = warp_max(running);
    if (threadIdx.x % kWarpSize == 0)
        atomicMax(&largest, mine);
    __syncthreads();
    if (threadIdx.x == 0 && largest > *static_cast<volatile u32*>(slot))
        atomicMax(slot, largest);
}

}  // namespace fp8lm::row
