#pragma once
#include <fp8lm/ptx/cp_async.cuh>
#include <fp8lm/row/pack.cuh>

namespace fp8lm::row {

// Packs in shared memory, one per thread of a block, that only their thread fills (by an asynchronous copy) and reads: no barrier is needed. A place is
// kThreads packs long; 16-byte vectors of a pack lie a line of threads apart, so that neighbours use different banks.
template <class T, int kWidth, int kThreads> struct Place
{
    static constexpr int kBytes = Pack<T, kWidth>::kBytes;
    static constexpr bool kCopies = kBytes >= 4;    // smaller packs have no asynchronous copy
    static constexpr int kVector = kBytes < 16 ? kBytes : 16;

    static __device__ __forceinline__ void ask(u8* place, const T* address)
    {
        #pragma unroll
        for (int part = 0; part < kBytes / kVector; ++part)
            ptx::cp_async<kVector, (kBytes > kVector)>((u32)__cvta_generic_to_shared(place + (part * kThreads + threadIdx.x) * kVector), reinterpret_cast<const u8*>(address) + part * kVector);
    }

    static __device__ __forceinline__ Pack<T, kWidth> take(const u8* place)
    {
        Pack<T, kWidth> pack;
        #pragma unroll
        for (int part = 0; part < kBytes / kVector; ++part)
        {
            const u8* const from = place + (part * kThreads + threadIdx.x) * kVector;
            if constexpr (kVector == 16)
                reinterpret_cast<uint4*>(pack.elements)[part] = *reinterpret_cast<const uint4*>(from);
            else if constexpr (kVector == 8)
                *reinterpret_cast<uint2*>(pack.elements) = *reinterpret_cast<const uint2*>(from);
            else
                *reinterpret_cast<u32*>(pack.elements) = *reinterpret_cast<const u32*>(from);
        }
        return pack;
    }
};

}  // namespace fp8lm::row
