#pragma once
#include <fp8lm/row/place.cuh>
#include <fp8lm/row/slabs.cuh>

namespace fp8lm::row {

// What a lane reads of its columns: asked for a batch or two ahead. kOffset: bytes of a column that others have before it. Where the frame has no stages, and
// of packs too small for an asynchronous copy, it is loaded where it is needed.
template <class Rows, class T, int kWidth, int kOffset> struct Ahead
{
    using Slot = Place<T, kWidth, Rows::kThreads>;

    static __device__ __forceinline__ void ask(int batch, int i, int pack, const T* address)
    {
        if constexpr (Rows::kStages > 0 && Slot::kCopies)
            Slot::ask(Rows::ahead(batch, i, pack, kOffset), address);
    }

    static __device__ __forceinline__ Floats<kWidth> get(int batch, int i, int pack, const T* address)
    {
        if constexpr (Rows::kStages > 0 && Slot::kCopies)
            return widen(Slot::take(Rows::ahead(batch, i, pack, kOffset)));
        else
            return load<kWidth>(address);
    }
};

// What only the last sweep reads of a batch: loaded before its reductions, which hide the time it takes.
template <class Rows, class T, int kWidth> struct Early
{
    Pack<T, kWidth> packs[Rows::kPacks][kBatch];

    __device__ __forceinline__ void ask(int i, int pack, const T* address) { packs[pack][i] = fetch<kWidth>(address); }
    __device__ __forceinline__ Floats<kWidth> get(int i, int pack) const { return widen(packs[pack][i]); }
};

constexpr int kHeldFloats = 32;    // of a lane, for all rows

// What a lane reads of its columns for all rows: kept in registers if that is allowed, else loaded where it is needed (from the caches).
template <class T, int kWidth, int kPacks, bool kHeld> struct ColumnValues
{
    Floats<kWidth> values[kPacks];

    __device__ __forceinline__ void hold(int pack, const T* address) { values[pack] = load<kWidth>(address); }
    __device__ __forceinline__ Floats<kWidth> get(int pack, const T*) const { return values[pack]; }
};

template <class T, int kWidth, int kPacks> struct ColumnValues<T, kWidth, kPacks, false>
{
    __device__ __forceinline__ void hold(int, const T*) {}
    __device__ __forceinline__ Floats<kWidth> get(int, const T* address) const { return load<kWidth>(address); }
};

}  // namespace fp8lm::row
