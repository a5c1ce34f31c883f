#pragma once
// The other half of a rotary pair: columns [0, rotated) fold in the middle, the rest pair with themselves.

namespace fp8lm {

__device__ constexpr long long pair_column(long long c, long long rotated)
{
    const long long half = rotated / 2;
    return c < half ? c + half : c < rotated ? c - half : c;
}

}  // namespace fp8lm
