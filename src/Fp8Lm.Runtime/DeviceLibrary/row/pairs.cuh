#pragma once
#include <fp8lm/row/pack.cuh>

// The other half of rotary pairs. A row holds heads of `size` columns; the first `rotated` of each head form pairs, the rest pair with themselves.
namespace fp8lm::row {

// Pairs are the two halves of the rotated part. Packs divide half of it (pack_width takes it), so they do not straddle.
template <int kWidth, class T> __device__ __forceinline__ Floats<kWidth> load_halves(const T* row, int column, i64 rotated, i64 size)
{
    const int half = (int)rotated / 2, in_head = column % (int)size;
    return load<kWidth>(row + (in_head < half ? column + half : in_head < (int)rotated ? column - half : column));
}

// Pairs are neighbours.
template <int kWidth, class T> __device__ __forceinline__ Floats<kWidth> load_neighbours(const T* row, int column, i64 rotated, i64 size)
{
    Floats<kWidth> result;
    if constexpr (kWidth == 1)
        result[0] = decode(row[column % (int)size < (int)rotated ? column ^ 1 : column]);
    else
    {
        const Floats<kWidth> own = load<kWidth>(row + column);
        #pragma unroll
        for (int i = 0; i < kWidth; ++i)
            result[i] = (column + i) % (int)size < (int)rotated ? own[i ^ 1] : own[i];    // a register has no index
    }
    return result;
}

}  // namespace fp8lm::row
