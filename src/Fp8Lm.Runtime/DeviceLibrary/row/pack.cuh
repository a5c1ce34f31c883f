#pragma once
#include <fp8lm/common/convert.cuh>

// A few adjacent elements of a row: how a lane of a row kernel reads, keeps and writes them. Addresses are multiples of the pack's size,
// or of 16 bytes where it is larger.
namespace fp8lm::row {

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

template <int kWidth> struct Floats
{
    float values[kWidth];

    __device__ float& operator[](int i) { return values[i]; }
    __device__ float operator[](int i) const { return values[i]; }
};

// The elements as they stand in memory.
template <class T, int kWidth> struct Pack
{
    static constexpr int kBytes = kWidth * (int)sizeof(T);

    alignas(kBytes < 16 ? kBytes : 16) T elements[kWidth];

    __device__ u32 word(int i) const { return reinterpret_cast<const u32*>(elements)[i]; }
    __device__ u32& word(int i) { return reinterpret_cast<u32*>(elements)[i]; }
};

template <int kWidth, class T> __device__ __forceinline__ Pack<T, kWidth> fetch(const T* address)
{
    Pack<T, kWidth> pack;
    constexpr int kBytes = Pack<T, kWidth>::kBytes;
    if constexpr (kBytes % 16 == 0)
        #pragma unroll
        for (int i = 0; i < kBytes / 16; ++i)
            reinterpret_cast<uint4*>(pack.elements)[i] = reinterpret_cast<const uint4*>(address)[i];
    else if constexpr (kBytes == 8)
        *reinterpret_cast<uint2*>(pack.elements) = *reinterpret_cast<const uint2*>(address);
    else if constexpr (kBytes == 4)
        *reinterpret_cast<u32*>(pack.elements) = *reinterpret_cast<const u32*>(address);
    else if constexpr (kBytes == 2)
        *reinterpret_cast<u16*>(pack.elements) = *reinterpret_cast<const u16*>(address);
    else
        pack.elements[0] = *address;
    return pack;
}

template <class T, int kWidth> __device__ __forceinline__ Floats<kWidth> widen(const Pack<T, kWidth>& pack)
{
    Floats<kWidth> result;
    if constexpr (kIsFp8<T> && kWidth > 1)
        #pragma unroll
        for (int i = 0; i < kWidth; i += 2)
        {
            const float2 pair = decode2<T>((u16)(pack.elements[i].bits | pack.elements[i + 1].bits << 8));
            result[i] = pair.x;
            result[i + 1] = pair.y;
        }
    else
        #pragma unroll
        for (int i = 0; i < kWidth; ++i)
            result[i] = decode(pack.elements[i]);
    return result;
}

template <class T, int kWidth> __device__ __forceinline__ Pack<T, kWidth> narrow(const Floats<kWidth>& values)
{
    Pack<T, kWidth> pack;
    if constexpr (sizeof(T) == 4 || kWidth == 1)
        #pragma unroll
        for (int i = 0; i < kWidth; ++i)
            pack.elements[i] = encode<T>(values[i]);
    else if constexpr (sizeof(T) == 2)
        #pragma unroll
        for (int i = 0; i < kWidth; i += 2)
            pack.word(i / 2) = kSame<T, bf16> ? pack_bf16(values[i], values[i + 1]) : pack_f16(values[i], values[i + 1]);
    else if constexpr (kWidth == 2)
        *reinterpret_cast<u16*>(pack.elements) = encode2<T>(values[0], values[1]);
    else
        #pragma unroll
        for (int i = 0; i < kWidth; i += 4)
            pack.word(i / 4) = (u32)encode2<T>(values[i], values[i + 1]) | (u32)encode2<T>(values[i + 2], values[i + 3]) << 16;
    return pack;
}

template <int kWidth, class T> __device__ __forceinline__ Floats<kWidth> load(const T* address) { return widen(fetch<kWidth>(address)); }

template <int kWidth, class T> __device__ __forceinline__ void put(T* address, const Pack<T, kWidth>& pack)
{
    constexpr int kBytes = Pack<T, kWidth>::kBytes;
    if constexpr (kBytes % 16 == 0)
        #pragma unroll
        for (int i = 0; i < kBytes / 16; ++i)
            reinterpret_cast<uint4*>(address)[i] = reinterpret_cast<const uint4*>(pack.elements)[i];
    else if constexpr (kBytes == 8)
        *reinterpret_cast<uint2*>(address) = *reinterpret_cast<const uint2*>(pack.elements);
    else if constexpr (kBytes == 4)
        *reinterpret_cast<u32*>(address) = *reinterpret_cast<const u32*>(pack.elements);
    else if constexpr (kBytes == 2)
        *reinterpret_cast<u16*>(address) = *reinterpret_cast<const u16*>(pack.elements);
    else
        *address = pack.elements[0];
}

template <int kWidth, class T> __device__ __forceinline__ void store(T* address, const Floats<kWidth>& values) { put<kWidth>(address, narrow<T>(values)); }

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
