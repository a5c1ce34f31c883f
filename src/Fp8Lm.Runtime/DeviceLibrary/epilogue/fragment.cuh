#pragma once
#include <fp8lm/common/common.cuh>
#include <fp8lm/reduce/amax.cuh>

// Hands accumulators to a generated epilogue:
//   apply(row, col, v0, v1, sums)  two adjacent columns, in bounds; adds its contributions to the column sums
//   store_sums(slab, col, sums)    the sums of the slab's 16 rows for columns col and col + 1
//   finish()                       converged warp, once
namespace fp8lm::epilogue {

template <class E> constexpr int kSumCount = E::kSums ? 2 * E::kSums : 1;

// Fragments of one warp in the layout of mma and wgmma: value(j, i) is row row0 + l/4 + 8(i/2), column col0 + 8j + 2(l%4) + i%2.
template <int kTiles, class E, class Value>
__device__ __forceinline__ void apply_fragments(E& e, Value value, int row0, int col0, int row_end, int col_end)
{
    const int lane = threadIdx.x % kWarpSize;
    const int row = row0 + lane / 4;
    #pragma unroll
    for (int j = 0; j < kTiles; ++j)
    {
        const int col = col0 + 8 * j + 2 * (lane % 4);
        float sums[kSumCount<E>] = {};
        if (col < col_end)
        {
            if (row < row_end)
                e.apply(row, col, value(j, 0), value(j, 1), sums);
            if (row + 8 < row_end)
                e.apply(row + 8, col, value(j, 2), value(j, 3), sums);
        }
        if constexpr (E::kSums > 0)
        {
            __syncwarp();
            #pragma unroll
            for (int s = 0; s < kSumCount<E>; ++s)
                #pragma unroll
                for (int distance = 4; distance < kWarpSize; distance *= 2)
                    sums[s] += __shfl_xor_sync(kAllLanes, sums[s], distance);
            if (lane < 4 && col < col_end && row0 < row_end)
                e.store_sums(row0 / 16, col, sums);
        }
    }
}

// Two adjacent columns of a row into the transposed copy out: [cols, pitch].
template <class T> __device__ void store_transposed2(T* out, i64 pitch, int row, int col, float v0, float v1)
{
    static_assert(kIsFp8<T>, "only FP8 operands need a transposed copy");
    const u16 pair = encode2<T>(v0, v1);
    out[(i64)col * pitch + row] = T{(u8)pair};
    out[(i64)(col + 1) * pitch + row] = T{(u8)(pair >> 8)};
}

}  // namespace fp8lm::epilogue
