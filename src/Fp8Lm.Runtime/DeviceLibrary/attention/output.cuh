#pragma once
#include <fp8lm/attention/product.cuh>
#include <fp8lm/epilogue/fragment.cuh>

namespace fp8lm::attention {

// A warp's 16 rows of an output to the epilogue; row0 and row_end count tokens over the batch.
template <class E, int kTiles>
__device__ __forceinline__ void write_output(E& e, const float (&acc)[kTiles][4], int row0, int col0, int row_end)
{
    epilogue::apply_fragments<kTiles>(e, [&](int tile, int i) { return acc[tile][i]; }, row0, col0, row_end, col0 + 8 * kTiles);
}

// The same from the fragments of a warpgroup multiply.
template <class E, int kElements>
__device__ __forceinline__ void write_output(E& e, const float (&acc)[kElements], int row0, int col0, int row_end)
{
    epilogue::apply_fragments<kElements / 4>(
        e, [&](int tile, int i) { return acc[4 * tile + i]; }, row0, col0, row_end, col0 + 2 * kElements);
}

}  // namespace fp8lm::attention
