#pragma once
#include <fp8lm/common/pack.cuh>

// How many adjacent elements of a row a lane of a row kernel takes at a time, and what it keeps of them.
namespace fp8lm::row {

using namespace packs;

constexpr int kWidestPack = 8;

// Elements of a pack: the largest power of two that divides all extents (columns, pitches, offsets), so that every pack is aligned.
template <class... Extents> constexpr int pack_width(Extents... extents)
{
    i64 width = kWidestPack;
    for (const i64 extent : {(i64)extents...})
        while (extent % width != 0)
            width /= 2;
    return (int)width;
}

// Whether packs that begin at multiples of these are aligned.
template <class... Extents> constexpr bool whole_packs(int width, Extents... extents) { return ((extents % width == 0) && ...); }

template <bool kIs> struct Known { static constexpr bool kValue = kIs; };

// Calls body with whether the row's label is one of the kWidth columns from column on.
template <int kWidth, class Body> __device__ __forceinline__ void with_label(int column, int label, const Body& body)
{
    if ((u32)(label - column) < (u32)kWidth)
        body(Known<true>{});
    else
        body(Known<false>{});
}

// Sums of a lane's columns.
template <bool kAligned, int kWidth> __device__ __forceinline__ void store_sums(float* address, const Floats<kWidth>& sums)
{
    if constexpr (kAligned)
        store(address, sums);
    else
        #pragma unroll
        for (int i = 0; i < kWidth; ++i)
            address[i] = sums[i];
}

}  // namespace fp8lm::row
