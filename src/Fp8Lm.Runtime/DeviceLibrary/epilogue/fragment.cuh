#pragma once
#include <fp8lm/common/octet.cuh>
#include <fp8lm/epilogue/exchange.cuh>
#include <fp8lm/reduce/amax.cuh>

// Hands accumulators to a generated epilogue, which works on octets: eight adjacent columns of a row that begin at a multiple of eight.
//   kSums, kTransposed                        column sums and transposed FP8 copies that it asks for
//   Inputs read(row, col)                     what it loads of an octet that other octets do not; called early, so that memory answers meanwhile
//   prefetch(row, col, columns)               brings what read will load of a part of a row to L2
//   apply(row, col, acc, in, sums, turned)    stores its rows, adds to 8 sums per column sum, leaves the bytes of transposed copies
//   u8* transposed(copy, col)                 where a column begins in a transposed copy
//   float* sum_row(sum, slab)                 where the sums of a slab of 16 rows go
//   finish()                                  converged warp, once
namespace fp8lm::epilogue {

template <class E> constexpr int kSumCount = E::kSums ? 8 * E::kSums : 1;
template <class E> constexpr int kTurnedCount = E::kTransposed ? E::kTransposed : 1;

// Rows row .. row + 15 of one column into a transposed copy; row is a multiple of 16.
__device__ __forceinline__ void store_column(u8* to, uint4 bytes, int row, int row_end)
{
    to += row;
    if ((row_end % 16 == 0 || row + 16 <= row_end) && ((u64)to & 15) == 0)
        *reinterpret_cast<uint4*>(to) = bytes;
    else
    {
        const u64 low = (u64)bytes.y << 32 | bytes.x, high = (u64)bytes.w << 32 | bytes.z;
        #pragma unroll 1
        for (int i = 0; i < 16 && row + i < row_end; ++i)
            to[i] = (u8)((i < 8 ? low : high) >> 8 * (i % 8));
    }
}

// Eight accumulators of a step named at run time: a row of the two that a lane has in a fragment. Registers have no index, so this branches.
template <int kTiles, int kSteps, int kStep = 0, class Value>
__device__ __forceinline__ void take(float (&acc)[8], const Value& value, int step, int half)
{
    constexpr int kSlab = kStep / ceil_div(kTiles, 4), kFirst = 4 * (kStep % ceil_div(kTiles, 4));
    if (step == kStep)
    {
        #pragma unroll
        for (int i = 0; i < 8; ++i)
            acc[i] = kFirst + i / 2 >= kTiles ? 0.0f
                : half == 0 ? value(kSlab * kTiles + kFirst + i / 2, i % 2) : value(kSlab * kTiles + kFirst + i / 2, 2 + i % 2);
    }
    else if constexpr (kStep + 1 < kSteps)
        take<kTiles, kSteps, kStep + 1>(acc, value, step, half);
}

// Fragments of one warp in the layout of mma and wgmma: value(j, i) is row row0 + l/4 + 8(i/2), column col0 + 8j + 2(l%4) + i%2; row0 is a multiple
// of 16. A second slab of fragments, kTiles further, lies 64 rows below.
// A step is 32 columns of 16 rows, an octet of two rows for each lane. kLoops: steps are a loop and not straight code, where that
// would need more registers than there are. Elsewhere straight code is faster, long as it is: it gives accumulators back as it goes.
// kAhead: loads run one step ahead, which takes registers; not needed where another warpgroup multiplies meanwhile.
template <int kTiles, int kSlabs = 1, bool kLoops = false, bool kAhead = false, class E, class Value>
__device__ __forceinline__ void apply_fragments(E& e, const Value& value, int row0, int col0, int row_end, int col_end)
{
    constexpr int kSlabSteps = ceil_div(kTiles, 4), kSteps = kSlabs * kSlabSteps, kUnrolled = kLoops ? 1 : kSteps;
    const int lane = fresh_lane();
    [[maybe_unused]] const ByteTurn turn(lane);
    // Bounds that are constants and multiples of 16 (rows) and 32 (columns) make all lanes of the warp go the same way.
    const auto rows_of = [&](int step) { return row0 + 64 * (step / kSlabSteps); };
    const auto columns_of = [&](int step) { return col0 + 32 * (step % kSlabSteps); };
    const auto inside = [&](int row, int step) {
        return (row_end % 16 == 0 ? rows_of(step) : row) < row_end && columns_of(step) + (col_end % 32 == 0 ? 0 : 8 * (lane % 4)) < col_end;
    };

    typename E::Inputs next[2] = {};
    const auto read = [&](int step) {
        #pragma unroll
        for (int half = 0; half < 2; ++half)
        {
            const int row = rows_of(step) + 8 * half + lane / 4;
            if (inside(row, step))
                next[half] = e.read(row, columns_of(step) + 8 * (lane % 4));
        }
    };
    if (kAhead)
        read(0);

    #pragma unroll kUnrolled
    for (int step = 0; step < kSteps && rows_of(step) < row_end; ++step)
    {
        if (!kAhead)
            read(step);
        const typename E::Inputs in[2] = {next[0], next[1]};
        if (kAhead && step + 1 < kSteps)
            read(step + 1);

        const int col = columns_of(step) + 8 * (lane % 4), turned_col = col + lane / 4;
        float sums[kSumCount<E>] = {};
        uint2 turned[2][kTurnedCount<E>] = {};
        #pragma unroll
        for (int half = 0; half < 2; ++half)
        {
            const int row = rows_of(step) + 8 * half + lane / 4;
            float acc[8];
            take<kTiles, kSteps>(acc, value, step, half);
            gather_columns(acc, lane);
            if (inside(row, step))
                e.apply(row, col, acc, in[half], sums, turned[half]);
        }

        const bool store = (col_end % 32 == 0 ? columns_of(step) : turned_col) < col_end;
        #pragma unroll
        for (int copy = 0; copy < E::kTransposed; ++copy)
        {
            const uint2 low = turn.turn(turned[0][copy]), high = turn.turn(turned[1][copy]);
            if (store)
                store_column(e.transposed(copy, turned_col), make_uint4(low.x, low.y, high.x, high.y), rows_of(step), row_end);
        }

        #pragma unroll
        for (int sum = 0; sum < E::kSums; ++sum)
        {
            float columns[8];
            #pragma unroll
            for (int i = 0; i < 8; ++i)
                columns[i] = sums[8 * sum + i];
            const float total = sum_rows(columns, lane);
            if (store)
                e.sum_row(sum, rows_of(step) / 16)[turned_col] = total;
        }
    }
}

// A warp's 16 rows of a product without fragments: lane 8r + c has rows 4r .. 4r + 3 of eight columns of its own.
template <class E> __device__ __forceinline__ void apply_rows(E& e, const float (&acc)[4][8], int row, int col, int row_end, int col_end)
{
    float sums[kSumCount<E>] = {};
    #pragma unroll
    for (int i = 0; i < 4; ++i)
        if (row + i < row_end && col < col_end)
        {
            uint2 turned[kTurnedCount<E>] = {};
            e.apply(row + i, col, acc[i], e.read(row + i, col), sums, turned);
            #pragma unroll
            for (int copy = 0; copy < E::kTransposed; ++copy)
                #pragma unroll
                for (int c = 0; c < 8; ++c)
                    if (col + c < col_end)
                        e.transposed(copy, col + c)[row + i] = (u8)((c < 4 ? turned[copy].x : turned[copy].y) >> 8 * (c % 4));
        }
    __syncwarp();
    #pragma unroll
    for (int i = 0; i < 8 * E::kSums; ++i)
    {
        sums[i] += __shfl_xor_sync(kAllLanes, sums[i], 8);
        sums[i] += __shfl_xor_sync(kAllLanes, sums[i], 16);
        if (threadIdx.x % kWarpSize < 8 && row < row_end && col + i % 8 < col_end)
            e.sum_row(i / 8, row / 16)[col + i % 8] = sums[i];
    }
}

}  // namespace fp8lm::epilogue
