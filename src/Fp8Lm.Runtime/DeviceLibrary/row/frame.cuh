#pragma once
#include <fp8lm/common/common.cuh>
#include <fp8lm/reduce/amax.cuh>
#include <fp8lm/reduce/cast_counter.cuh>
#include <fp8lm/reduce/warp.cuh>

// The frame of row kernels: which thread works on which columns of which row.
namespace fp8lm::row {

constexpr int kThreads = 512;
constexpr int kSlabRows = 16;      // rows whose column sums are added first; also 16 bytes of a transposed FP8 copy
constexpr int kKeptBytes = 128;    // of a row, per lane, in registers between sweeps

struct NoStages {};

// Lanes of a row. Kernels with stages cross rows in slabs of 16, a warp per row; others give a lane about four packs.
constexpr int lanes_of_row(i64 columns, int width, bool staged)
{
    int lanes = staged ? kThreads / kSlabRows : 8;
    while (!staged && lanes < kThreads && 4 * lanes * width < columns)
        lanes *= 2;
    return lanes;
}

// Columns of a block: all, or 1024 where nothing is reduced over the row and few rows would leave multiprocessors idle.
constexpr i64 columns_of_block(i64 columns, int width, bool splits)
{
    return splits && columns > 4 * 32 * width ? 4 * 32 * width : columns;
}

// kSplits: blocks (y of the grid) share the columns of their rows. Stages: what goes through shared memory, see stage.cuh.
template <i64 kColumns, int kWidth, class Stages = NoStages, bool kSplits = false> struct Frame
{
    static constexpr bool kStaged = !kSame<Stages, NoStages>;
    static constexpr int kLanes = lanes_of_row(kColumns, kWidth, kStaged);
    static constexpr int kThreads = row::kThreads;
    static constexpr int kSharedBytes = kStaged ? 2 * (int)sizeof(Stages) : 0;
    static constexpr int kTileM = kThreads / kLanes;
    static constexpr int kTileN = (int)columns_of_block(kColumns, kWidth, kSplits);
    static constexpr int kBlocks = 0;
    static constexpr int kStepColumns = kLanes * kWidth;
    static constexpr int kSteps = (kTileN + kStepColumns - 1) / kStepColumns;
    static constexpr bool kExact = kColumns % (kSteps * kStepColumns) == 0;

    // Blocks on a multiprocessor to ask for; 0: what ptxas finds. It finds two where sweeps are loops; where two or three steps are unrolled it has to be told,
    // and the shared memory has to be there. Rows of one step hold everything at once, and want the registers.
    static constexpr int kResident = kSteps > 1 && kSteps < 4 && kSharedBytes <= 113 * 1024 ? 2 : 0;

    // Sweeps that keep the row are unrolled; others ask for a few packs at once, the last one for fewer, as it has more to hold, and for
    // one between barriers.
    static constexpr int unroll_reduction(bool keeps) { return keeps || kSteps < 4 ? kSteps : 4; }
    static constexpr int unroll_last(bool keeps) { return keeps || kSteps < 2 ? kSteps : kStaged ? 1 : 2; }

    struct Position
    {
        int lane;       // lane in the row
        int in_block;   // row in the block
        int slab;       // of 16 rows; of kernels with stages
        i64 row;        // row of this lane; rows past the end read row 0 and store nothing
        bool active;    // whether that row exists; the same for all lanes of a row
        int first;      // first column of the block
        bool leads;     // stores what there is once per row

        __device__ explicit Position(i64 rows)
            : lane(threadIdx.x % kLanes), in_block(threadIdx.x / kLanes), slab(blockIdx.x), row((i64)blockIdx.x * kTileM + in_block), active(row < rows),
              first(blockIdx.y * kTileN), leads(active && lane == 0 && blockIdx.y == 0)
        {
            row = active ? row : 0;
        }

        // First column of this lane's pack in a step of a sweep.
        __device__ int column(int step) const { return first + step * kStepColumns + lane * kWidth; }
    };

    static __device__ bool inside(int column) { return kExact || column < kColumns; }

    // Two sets in turn: a step's flush may run while the next step is put, and one barrier a step is enough.
    static __device__ Stages& stages(int step)
    {
        extern __shared__ __align__(16) u8 shared[];
        return reinterpret_cast<Stages*>(shared)[step % 2];
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
