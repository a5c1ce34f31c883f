#pragma once
// The other half of a rotary pair. A row holds heads of `size` columns; the first `rotated` of each head form pairs, the rest pair with themselves.

namespace fp8lm {

// Pairs are the two halves of the rotated part.
__device__ constexpr long long pair_column(long long c, long long rotated, long long size)
{
    const long long half = rotated / 2, d = c % size;
    return d < half ? c + half : d < rotated ? c - half : c;
}

// Pairs are neighbours.
__device__ constexpr long long neighbour_column(long long c, long long rotated, long long size)
{
    return c % size < rotated ? c ^ 1 : c;
}

}  // namespace fp8lm
