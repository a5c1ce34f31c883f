#pragma once
#include <fp8lm/common/types.cuh>

// Bits of the narrow formats from and to float. Casts to FP8 round to nearest even and saturate; pairs keep the first value in the low half.
namespace fp8lm {

template <class T> __device__ u16 encode2(float low, float high);

template <> __device__ inline u16 encode2<e4m3>(float low, float high)
{
    u16 bits;
    asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(bits) : "f"(high), "f"(low));
    return bits;
}

template <> __device__ inline u16 encode2<e5m2>(float low, float high)
{
    u16 bits;
    asm("cvt.rn.satfinite.e5m2x2.f32 %0, %1, %2;" : "=h"(bits) : "f"(high), "f"(low));
    return bits;
}

__device__ inline float decode(f16 value)
{
    float result;
    asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(value.bits));
    return result;
}

__device__ inline float decode(bf16 value) { return __uint_as_float((u32)value.bits << 16); }

// FP8 widens by way of f16: sm_90 has no direct form, and every FP8 number is an f16 number.
template <class T> __device__ float2 decode2(u16 bits)
{
    u32 halves;
    if constexpr (kSame<T, e4m3>)
        asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(halves) : "h"(bits));
    else
        asm("cvt.rn.f16x2.e5m2x2 %0, %1;" : "=r"(halves) : "h"(bits));
    return make_float2(decode(f16{(u16)halves}), decode(f16{(u16)(halves >> 16)}));
}

__device__ inline float decode(e4m3 value) { return decode2<e4m3>(value.bits).x; }
__device__ inline float decode(e5m2 value) { return decode2<e5m2>(value.bits).x; }
__device__ inline float decode(float value) { return value; }

__device__ inline u32 pack_bf16(float low, float high)
{
    u32 bits;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
    return bits;
}

__device__ inline u32 pack_f16(float low, float high)
{
    u32 bits;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
    return bits;
}

// Two values as neighbouring elements of a 16-bit type.
template <class T> __device__ u32 pack2(float low, float high)
{
    static_assert(kSame<T, bf16> || kSame<T, f16>, "a 16-bit type");
    if constexpr (kSame<T, bf16>)
        return pack_bf16(low, high);
    else
        return pack_f16(low, high);
}

// A byte of a word in the middle of a float's significand is 2^15 more than itself, which the addition takes off again: three instructions an element.
template <int kZero, int kPerUnit> __device__ float decode_fixed8(u32 word, int byte)
{
    const float shifted = __uint_as_float(__byte_perm(word, 0x47000000u, 0x7404 | byte << 4));
    return (shifted - (float)(32768 + kZero)) * (1.0f / kPerUnit);
}

template <int kZero, int kPerUnit> __device__ float decode(fixed8<kZero, kPerUnit> value) { return decode_fixed8<kZero, kPerUnit>(value.bits, 0); }

// The code in the low byte of a float whose last place is 1. One rounding, to nearest even; values are known to be in range, and NaN is 255.
template <int kZero, int kPerUnit> __device__ u32 encode_fixed8(float value) { return __float_as_uint(fmaf(value, (float)kPerUnit, 12582912.0f + kZero)); }

template <int kZero, int kPerUnit> __device__ fixed8<kZero, kPerUnit> encode(float value, fixed8<kZero, kPerUnit>) { return {(u8)encode_fixed8<kZero, kPerUnit>(value)}; }

template <class T> __device__ T encode(float value)
{
    if constexpr (kSame<T, float>)
        return value;
    else if constexpr (kSame<T, bf16>)
        return bf16{(u16)pack_bf16(value, 0.0f)};
    else if constexpr (kSame<T, f16>)
        return f16{(u16)pack_f16(value, 0.0f)};
    else if constexpr (kIsFixed8<T>)
        return encode(value, T{});
    else
        return T{(u8)encode2<T>(value, 0.0f)};
}

// The value after a cast to T and back.
template <class T> __device__ float round_to(float value) { return decode(encode<T>(value)); }

}  // namespace fp8lm
