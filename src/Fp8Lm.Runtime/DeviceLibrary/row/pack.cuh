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

// What several sweeps of a row read: kept in registers from the first fetch on if that is allowed, else read again (from the caches).
template <class T, int kWidth, int kSteps, bool kKeeps> struct Kept
{
    Pack<T, kWidth> packs[kSteps];

    __device__ __forceinline__ void fetch(int step, const T* address) { packs[step] = row::fetch<kWidth>(address); }
    __device__ __forceinline__ Floats<kWidth> get(int step, const T*) const { return widen(packs[step]); }
};

template <class T, int kWidth, int kSteps> struct Kept<T, kWidth, kSteps, false>
{
    __device__ __forceinline__ void fetch(int, const T*) {}
    __device__ __forceinline__ Floats<kWidth> get(int, const T* address) const { return row::load<kWidth>(address); }
};

}  // namespace fp8lm::row
