#pragma once
#include <fp8lm/row/frame.cuh>
#include <fp8lm/row/place.cuh>

namespace fp8lm::row {

// What several sweeps of a row read. Kept from the first fetch on, where the frame says, or read again (from the caches). kOffset: bytes of a column that
// others have before it.
template <class Rows, class T, int kWidth, int kOffset> struct Kept
{
    static constexpr Keeping kKeeping = Rows::kKeeping == Keeping::Shared && !Place<T, kWidth, Rows::kThreads>::kCopies ? Keeping::Nothing : Rows::kKeeping;

    Pack<T, kWidth> packs[kKeeping == Keeping::Registers ? Rows::kSteps : 1];

    __device__ __forceinline__ void fetch(int step, const T* address)
    {
        if constexpr (kKeeping == Keeping::Registers)
            packs[step] = row::fetch<kWidth>(address);
        else if constexpr (kKeeping == Keeping::Shared)
            Place<T, kWidth, Rows::kThreads>::ask(place(step), address);
    }

    __device__ __forceinline__ Floats<kWidth> get(int step, const T* address) const
    {
        if constexpr (kKeeping == Keeping::Registers)
            return widen(packs[step]);
        else if constexpr (kKeeping == Keeping::Shared)
            return widen(Place<T, kWidth, Rows::kThreads>::take(place(step)));
        else
            return load<kWidth>(address);
    }

private:
    static __device__ u8* place(int step) { return Rows::shared() + Rows::kThreads * kWidth * (Rows::kSteps * kOffset + step * (int)sizeof(T)); }
};

}  // namespace fp8lm::row
