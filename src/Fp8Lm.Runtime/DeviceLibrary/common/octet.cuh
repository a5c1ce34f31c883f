#pragma once
#include <fp8lm/common/convert.cuh>

// Eight adjacent elements of a row, as they lie in memory: what a thread of an epilogue loads and stores at once.
namespace fp8lm {

template <class T> struct Octet { u32 words[2 * sizeof(T)]; };

// Whether octets lie on whole vectors: every extent, pitch and offset that leads to one is a multiple of 8. Buffers themselves are aligned.
template <class... Extents> __device__ constexpr bool whole_octets(Extents... extents) { return ((extents % 8 == 0) && ...); }

// Columns of an octet that exist; eight is known at compile time where rows are whole octets.
template <i64 kColumns> __device__ int octet_count(int col)
{
    if constexpr (kColumns % 8 == 0)
        return 8;
    else
        return kColumns - col < 8 ? (int)(kColumns - col) : 8;
}

// kWhole: the address is a multiple of the octet's 16-byte vectors (8 for FP8) and all of it exists; otherwise element by element.
template <bool kWhole, class T> __device__ Octet<T> load_octet(const T* from, int count)
{
    Octet<T> result;
    if constexpr (!kWhole)
    {
        T elements[8];
        #pragma unroll
        for (int i = 0; i < 8; ++i)
            elements[i] = i < count ? from[i] : T{};
        memcpy(result.words, elements, sizeof(result.words));
    }
    else if constexpr (sizeof(T) == 1)
    {
        const uint2 v = *reinterpret_cast<const uint2*>(from);
        result.words[0] = v.x;
        result.words[1] = v.y;
    }
    else
    {
        #pragma unroll
        for (int i = 0; i < (int)sizeof(T) / 2; ++i)
        {
            const uint4 v = reinterpret_cast<const uint4*>(from)[i];
            result.words[4 * i] = v.x;
            result.words[4 * i + 1] = v.y;
            result.words[4 * i + 2] = v.z;
            result.words[4 * i + 3] = v.w;
        }
    }
    return result;
}

// Asks for columns adjacent elements of a row, that will be loaded as octets, to be brought to L2: a line at a time. (A bulk prefetch takes its address from a uniform register, so
// a warp whose lanes have rows of their own issues one after the other: 128 rows kept the warp that feeds the tensor cores busy for most of a short product.)
template <bool kWhole, class T> __device__ void prefetch_octets(const T* from, int columns)
{
    constexpr int kLine = 128;
    if constexpr (kWhole && (sizeof(T) > 1 || kIsFixed8<T>))
        #pragma unroll 1
        for (int byte = 0; byte < columns * (int)sizeof(T); byte += kLine)
            asm volatile("prefetch.global.L2 [%0];" ::"l"(reinterpret_cast<u64>(from) + byte) : "memory");
}

template <bool kWhole, class T> __device__ void store_octet(T* to, const Octet<T>& octet, int count)
{
    if constexpr (!kWhole)
    {
        T elements[8];
        memcpy(elements, octet.words, sizeof(octet.words));
        #pragma unroll
        for (int i = 0; i < 8; ++i)
            if (i < count)
                to[i] = elements[i];
    }
    else if constexpr (sizeof(T) == 1)
        *reinterpret_cast<uint2*>(to) = make_uint2(octet.words[0], octet.words[1]);
    else
    {
        #pragma unroll
        for (int i = 0; i < (int)sizeof(T) / 2; ++i)
            reinterpret_cast<uint4*>(to)[i] =
                make_uint4(octet.words[4 * i], octet.words[4 * i + 1], octet.words[4 * i + 2], octet.words[4 * i + 3]);
    }
}

template <int kZero, int kPerUnit> __device__ void unpack(const Octet<fixed8<kZero, kPerUnit>>& octet, float (&to)[8])
{
    #pragma unroll
    for (int i = 0; i < 8; ++i)
        to[i] = decode_fixed8<kZero, kPerUnit>(octet.words[i / 4], i % 4);
}

template <class T> __device__ void unpack(const Octet<T>& octet, float (&to)[8])
{
    #pragma unroll
    for (int i = 0; i < 8; i += 2)
    {
        if constexpr (sizeof(T) == 4)
        {
            to[i] = __uint_as_float(octet.words[i]);
            to[i + 1] = __uint_as_float(octet.words[i + 1]);
        }
        else if constexpr (sizeof(T) == 2)
        {
            to[i] = decode(T{(u16)octet.words[i / 2]});
            to[i + 1] = decode(T{(u16)(octet.words[i / 2] >> 16)});
        }
        else
        {
            const float2 pair = decode2<T>((u16)(octet.words[i / 4] >> 8 * (i % 4)));
            to[i] = pair.x;
            to[i + 1] = pair.y;
        }
    }
}

template <int kZero, int kPerUnit> __device__ void pack(const float (&from)[8], Octet<fixed8<kZero, kPerUnit>>& to)
{
    u32 codes[8];
    #pragma unroll
    for (int i = 0; i < 8; ++i)
        codes[i] = encode_fixed8<kZero, kPerUnit>(from[i]);
    #pragma unroll
    for (int i = 0; i < 8; i += 4)
        to.words[i / 4] = __byte_perm(__byte_perm(codes[i], codes[i + 1], 0x0040), __byte_perm(codes[i + 2], codes[i + 3], 0x0040), 0x5410);
}

// Rounds to T; FP8 multiplies with the scale first.
template <class T> __device__ Octet<T> pack(const float (&from)[8], float scale = 1.0f)
{
    Octet<T> result;
    if constexpr (kIsFixed8<T>)
    {
        pack(from, result);
        return result;
    }
    else
    #pragma unroll
    for (int i = 0; i < 8; i += 2)
    {
        if constexpr (sizeof(T) == 4)
        {
            result.words[i] = __float_as_uint(from[i]);
            result.words[i + 1] = __float_as_uint(from[i + 1]);
        }
        else if constexpr (kSame<T, bf16>)
            result.words[i / 2] = pack_bf16(from[i], from[i + 1]);
        else if constexpr (kSame<T, f16>)
            result.words[i / 2] = pack_f16(from[i], from[i + 1]);
        else if (i % 4 == 0)
            result.words[i / 4] = (u32)encode2<T>(from[i] * scale, from[i + 1] * scale)
                | (u32)encode2<T>(from[i + 2] * scale, from[i + 3] * scale) << 16;
    }
    return result;
}

}  // namespace fp8lm
