#pragma once
#include <fp8lm/attention/product.cuh>
#include <fp8lm/epilogue/fragment.cuh>

namespace fp8lm::attention {

// An epilogue seen from one head of one sequence: rows and columns count from there. Both bounds are constants then, and every sequence begins at a
// row that is a multiple of 16, whatever its length.
template <class E> struct HeadEpilogue
{
    static constexpr int kSums = E::kSums;
    static constexpr int kTransposed = E::kTransposed;
    static constexpr bool kWholeTurned = E::kWholeTurned;
    using Columns = typename E::Columns;
    using Inputs = typename E::Inputs;

    E& e;
    int token, col0;

    __device__ Columns read_columns(int col) const { return e.read_columns(col0 + col); }
    __device__ Inputs read(int row, int col) const { return e.read(token + row, col0 + col); }

    template <class Sums, class Turned>
    __device__ void apply(int row, int col, const float (&acc)[8], const Columns& columns, const Inputs& in, Sums& sums, Turned& turned)
    {
        e.apply(token + row, col0 + col, acc, columns, in, sums, turned);
    }

    __device__ u8* transposed(int copy, int col) const { return e.transposed(copy, col0 + col) + token; }
    __device__ float* sum_row(int sum, int slab) const { return e.sum_row(sum, token / 16 + slab) + col0; }
};

// A warp's 16 rows of an output to the epilogue: row counts from token, where a sequence of S begins, and the columns begin at col0.
template <class S, int kTiles, class E, class Value>
__device__ __forceinline__ void write_fragments(E& e, const Value& value, int token, int row, int col0)
{
    HeadEpilogue<E> head{e, token, col0};
    // With bounds to check, straight code keeps more in registers than there are.
    epilogue::apply_fragments<kTiles, 1, S::kSequence % 16 != 0>(head, value, row, 0, S::kSequence, 8 * kTiles);
}

template <class S, class E, int kTiles>
__device__ __forceinline__ void write_output(E& e, const float (&acc)[kTiles][4], int token, int row, int col0)
{
    write_fragments<S, kTiles>(e, [&](int tile, int i) { return acc[tile][i]; }, token, row, col0);
}

template <class S, class E, int kElements>
__device__ __forceinline__ void write_output(E& e, const float (&acc)[kElements], int token, int row, int col0)
{
    write_fragments<S, kElements / 4>(e, [&](int tile, int i) { return acc[4 * tile + i]; }, token, row, col0);
}

}  // namespace fp8lm::attention
