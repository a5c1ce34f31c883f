#pragma once
#include <fp8lm/common/convert.cuh>

// One, two or four adjacent elements between memory and floats. Pairs and quads want addresses that are multiples of their size.
namespace fp8lm {

template <class T> __device__ float load(const T* address) { return decode(*address); }
template <class T> __device__ void store(T* address, float value) { *address = encode<T>(value); }

template <class T> __device__ float2 load2(const T* address)
{
    if constexpr (sizeof(T) == 4)
        return *reinterpret_cast<const float2*>(address);
    else if constexpr (sizeof(T) == 1)
        return decode2<T>(*reinterpret_cast<const u16*>(address));
    else
    {
        const u32 bits = *reinterpret_cast<const u32*>(address);
        return make_float2(decode(T{(u16)bits}), decode(T{(u16)(bits >> 16)}));
    }
}

template <class T> __device__ void store2(T* address, float v0, float v1)
{
    if constexpr (sizeof(T) == 4)
        *reinterpret_cast<float2*>(address) = make_float2(v0, v1);
    else if constexpr (sizeof(T) == 1)
        *reinterpret_cast<u16*>(address) = encode2<T>(v0, v1);
    else if constexpr (kSame<T, bf16>)
        *reinterpret_cast<u32*>(address) = pack_bf16(v0, v1);
    else
        *reinterpret_cast<u32*>(address) = pack_f16(v0, v1);
}

template <class T> __device__ float4 load4(const T* address)
{
    if constexpr (sizeof(T) == 4)
        return *reinterpret_cast<const float4*>(address);
    else if constexpr (sizeof(T) == 1)
    {
        const u32 bits = *reinterpret_cast<const u32*>(address);
        const float2 low = decode2<T>((u16)bits), high = decode2<T>((u16)(bits >> 16));
        return make_float4(low.x, low.y, high.x, high.y);
    }
    else
    {
        const uint2 bits = *reinterpret_cast<const uint2*>(address);
        return make_float4(
            decode(T{(u16)bits.x}), decode(T{(u16)(bits.x >> 16)}), decode(T{(u16)bits.y}), decode(T{(u16)(bits.y >> 16)}));
    }
}

template <class T> __device__ void store4(T* address, float v0, float v1, float v2, float v3)
{
    if constexpr (sizeof(T) == 4)
        *reinterpret_cast<float4*>(address) = make_float4(v0, v1, v2, v3);
    else if constexpr (sizeof(T) == 1)
        *reinterpret_cast<u32*>(address) = (u32)encode2<T>(v0, v1) | (u32)encode2<T>(v2, v3) << 16;
    else if constexpr (kSame<T, bf16>)
        *reinterpret_cast<uint2*>(address) = make_uint2(pack_bf16(v0, v1), pack_bf16(v2, v3));
    else
        *reinterpret_cast<uint2*>(address) = make_uint2(pack_f16(v0, v1), pack_f16(v2, v3));
}

}  // namespace fp8lm
