#pragma once
#include <fp8lm/common/octet.cuh>

// A gradient that products add to. The first product of a step finds nothing worth reading there: the host compiles a second kernel of the same text with
// FP8LM_ASSIGNS 1, which assigns, and launches that one instead of clearing first (Cuda/FirstProducts.cs).
#ifndef FP8LM_ASSIGNS
#define FP8LM_ASSIGNS 0
#endif

namespace fp8lm {

template <class T, bool kAssigns> struct OldOctetOf { Octet<T> octet; };
template <class T> struct OldOctetOf<T, true> {};
template <class T> using OldOctet = OldOctetOf<T, FP8LM_ASSIGNS>;

template <bool kWhole, class T> __device__ OldOctet<T> load_old([[maybe_unused]] const T* from, [[maybe_unused]] int count)
{
    if constexpr (FP8LM_ASSIGNS)
        return {};
    else
        return {load_octet<kWhole>(from, count)};
}

template <bool kWhole, class T> __device__ void prefetch_old([[maybe_unused]] const T* from, [[maybe_unused]] int columns)
{
    if constexpr (!FP8LM_ASSIGNS)
        prefetch_octets<kWhole>(from, columns);
}

template <class T> __device__ void add_old(float (&values)[8], [[maybe_unused]] const OldOctetOf<T, FP8LM_ASSIGNS>& old)
{
    float before[8] = {};    // adding to a zero is not the same as assigning: it makes -0 a 0, and equal steps have equal bytes
    if constexpr (!FP8LM_ASSIGNS)
        unpack(old.octet, before);
    #pragma unroll
    for (int e = 0; e < 8; ++e)
        values[e] += before[e];
}

}  // namespace fp8lm
