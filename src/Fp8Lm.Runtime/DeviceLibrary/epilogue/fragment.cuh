#pragma once
#include <fp8lm/common/begin_grid.cuh>
#include <fp8lm/common/octet.cuh>
#include <fp8lm/epilogue/column_values.cuh>
#include <fp8lm/epilogue/exchange.cuh>
#include <fp8lm/epilogue/turned_columns.cuh>
#include <fp8lm/reduce/amax.cuh>
#include <fp8lm/reduce/cast_counter.cuh>

// Hands accumulators to a generated epilogue, which works on octets: eight adjacent columns of a row that begin at a multiple of eight.
//   kSums, kTransposed                        column sums and transposed FP8 copies that it asks for
//   kWholeTurned                              columns of its transposed copies begin at multiples of 16 bytes
//   kComputes                                 it does more than store
//   begin()                                   all threads, once, before everything else: loads what all elements share
//   Columns read_columns(col)                 what it loads of eight columns for all rows
//   Inputs read(row, col)                     what it loads of an octet; both are called early, so that memory answers meanwhile
//   prefetch(row, col, columns)               brings what read will load of a part of a row to L2
//   apply(row, col, acc, columns, in, sums, turned)    stores its rows, adds to 8 sums per column sum, leaves the bytes of transposed copies
//   u8* transposed(copy, col)                 where a column begins in a transposed copy
//   float* sum_row(sum, slab)                 where the sums of a slab of 16 rows go
//   finish()                                  converged warp, once
//   flush()                                   converged warp, behind every tile or item; in the form that counts casts only
namespace fp8lm::epilogue {

// A kernel and its epilogues begin, behind what it prepares in shared memory.
template <class... E> __device__ __forceinline__ void begin(E&... e)
{
    begin_grid();
    (e.begin(), ...);
}

template <class E> constexpr int kSumCount = E::kSums ? 8 * E::kSums : 1;
template <class E> constexpr int kTurnedCount = E::kTransposed ? E::kTransposed : 1;

// Calls body(0), body(1), ... in straight code while goes_on(step); a loop with #pragma unroll stays a loop where loads run ahead of their use.
template <int kIndex> struct Index
{
    static constexpr int kValue = kIndex;
    __device__ constexpr operator int() const { return kIndex; }
};

template <int kCount, int kFrom = 0, class Body, class Condition> __device__ __forceinline__ void straight(const Body& body, const Condition& goes_on)
{
    if constexpr (kFrom < kCount)
        if (goes_on(kFrom))
        {
            body(Index<kFrom>{});
            straight<kCount, kFrom + 1>(body, goes_on);
        }
}

// Eight accumulators of a step named at run time: a row of the two that a lane has in a fragment. Registers have no index, so this branches.
template <int kTiles, int kSteps, int kStep = 0, class Value>
__device__ __forceinline__ void take(float (&acc)[8], const Value& value, int step, int half)
{
    constexpr int kFirst = 4 * kStep;
    if (step == kStep)
    {
        #pragma unroll
        for (int i = 0; i < 8; ++i)
            acc[i] = kFirst + i / 2 >= kTiles ? 0.0f
                : half == 0 ? value(kFirst + i / 2, i % 2) : value(kFirst + i / 2, 2 + i % 2);
    }
    else if constexpr (kStep + 1 < kSteps)
        take<kTiles, kSteps, kStep + 1>(acc, value, step, half);
}

// Steps whose inputs are under way when applied steps have been: those asked for at first, and always the next one.
template <int kSteps, int kFirst> __device__ constexpr int steps_read(int applied)
{
    const int reads = applied + 1 > kFirst ? applied + 1 : kFirst;
    return reads < kSteps ? reads : kSteps;
}

// Fragments of one warp in the layout of mma and wgmma: value(j, i) is row row0 + l/4 + 8(i/2), column col0 + 8j + 2(l%4) + i%2, or if kAdjacent
// column col0 + 32(j/4) + 8(l%4) + 2(j%4) + i%2; row0 is a multiple of 16. A second slab of fragments, kTiles further, lies 64 rows below.
// A step is 32 columns of 16 rows, an octet of two rows for each lane. kLoops: steps are a loop and not straight code, where that
// would need more registers than there are. Elsewhere straight code is faster, long as it is: it gives accumulators back as it goes.
// kReads: steps whose inputs are asked for before the first one is applied; the second slab asks for all, where the first had its accumulators. turns: where transposed copies go.
// column_values: where what all rows share comes from.
// Bounds that are constants and multiples of 16 (rows) and 32 (columns) leave one question a step, the same for all lanes: parts of a step that were
// branches of their own could not overlap.
template <int kTiles, int kSlabs = 1, bool kLoops = false, bool kAdjacent = false, int kReads = 1, class E, class Value, class Turns = DirectTurns, class ColumnValues = DirectColumns>
__device__ __forceinline__ void apply_fragments(
    E& e, const Value& value, int row0, int col0, int row_end, int col_end, const Turns& turns = {}, const ColumnValues& column_values = {})
{
    constexpr int kSteps = ceil_div(kTiles, 4);
    const int lane = fresh_lane();
    [[maybe_unused]] const ByteTurn turn(lane);
    straight<kSlabs>([&](auto slab) {
        constexpr int kSlab = decltype(slab)::kValue, kAhead = kSlab == 0 ? kReads : kSteps;
        const int rows = row0 + 64 * kSlab;
        turns.begin_slab();
        const auto columns_of = [&](int step) { return col0 + 32 * step; };
        const auto exists = [&](int step) { return columns_of(step) < col_end; };
        const auto inside = [&](int row, int step) {
            return (row_end % 16 == 0 || row < row_end) && (col_end % 32 == 0 || columns_of(step) + 8 * (lane % 4) < col_end);
        };
        // Behind the last column it reads that again, and asks no question.
        const auto column_to_read = [&](int step) { return (col_end % 32 == 0 ? min(columns_of(step), col_end - 32) : columns_of(step)) + 8 * (lane % 4); };

        typename E::Columns next_columns = {};
        typename E::Inputs inputs[kLoops ? 1 : kSteps][2] = {};
        const auto read_columns = [&](int step) {
            const int col = column_to_read(step);
            if (col_end % 32 == 0 || col < col_end)
                next_columns = column_values.read(e, step, lane, col);
        };
        const auto read = [&](typename E::Inputs (&to)[2], int step) {
            #pragma unroll
            for (int half = 0; half < 2; ++half)
            {
                const int row = rows + 8 * half + lane / 4;
                if (inside(row, step))
                    to[half] = e.read(row, column_to_read(step));
            }
        };

        const auto apply_step = [&](auto step, const typename E::Inputs (&in)[2], const auto& read_ahead) {
            const typename E::Columns columns = next_columns;
            const int col = columns_of(step) + 8 * (lane % 4), turned_col = col + lane / 4;
            float sums[kSumCount<E>] = {};
            uint2 turned[2][kTurnedCount<E>] = {};
            #pragma unroll
            for (int half = 0; half < 2; ++half)
            {
                const int row = rows + 8 * half + lane / 4;
                float acc[8];
                take<kTiles, kSteps>(acc, [&](int j, int i) { return value(kSlab * kTiles + j, i); }, step, half);
                // What later steps need is under way during half of this one; accumulators have made room for it by then.
                if (half == 1)
                {
                    if (step + 1 < kSteps)
                        read_columns(step + 1);
                    read_ahead();
                }
                if constexpr (!kAdjacent)
                    gather_columns(acc, lane);
                if (inside(row, step))
                    e.apply(row, col, acc, columns, in[half], sums, turned[half]);
            }

            const bool store = col_end % 32 == 0 || turned_col < col_end;
            #pragma unroll
            for (int copy = 0; copy < E::kTransposed; ++copy)
            {
                const uint2 low = turn.turn(turned[0][copy]), high = turn.turn(turned[1][copy]);
                if (store)
                    turns.put(e, copy, step, lane, turned_col, make_uint4(low.x, low.y, high.x, high.y), rows, row_end);
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
                    e.sum_row(sum, rows / 16)[turned_col] = total;
            }
        };

        if (rows < row_end)
        {
            read_columns(0);
            if constexpr (kLoops)
            {
                read(inputs[0], 0);
                #pragma unroll 1
                for (int step = 0; step < kSteps && exists(step); ++step)
                {
                    const typename E::Inputs in[2] = {inputs[0][0], inputs[0][1]};
                    apply_step(step, in, [&] {
                        if (step + 1 < kSteps)
                            read(inputs[0], step + 1);
                    });
                }
            }
            else
            {
                straight<steps_read<kSteps, kAhead>(0)>([&](auto step) { read(inputs[step], step); }, [](int) { return true; });
                straight<kSteps>([&](auto step) {
                    constexpr int kStep = decltype(step)::kValue, kFrom = steps_read<kSteps, kAhead>(kStep), kTo = steps_read<kSteps, kAhead>(kStep + 1);
                    apply_step(step, inputs[kStep], [&] {
                        #pragma unroll
                        for (int next = kFrom; next < kTo; ++next)
                            read(inputs[next], next);
                    });
                }, exists);
            }
        }
        turns.template end_slab<8 * kTiles>(e, rows, col0, row_end, col_end);
    }, [&](int slab) { return turns.has_slab(row0 + 64 * slab, row_end); });
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
            e.apply(row + i, col, acc[i], e.read_columns(col), e.read(row + i, col), sums, turned);
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
