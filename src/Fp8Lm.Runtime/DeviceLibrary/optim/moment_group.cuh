#pragma once
#include <fp8lm/common/pack.cuh>
#include <fp8lm/common/state_scale.cuh>

// Moments in FP8 with a scale and an exponent for every 128 elements: COAT's dynamic range expansion (arXiv 2410.19313, section 4). A group stores
// |y| = maximum (|x| / amax)^k, rounded to the format, and is read back as |x| = amax (|y| / maximum)^(1 / k), with k such that its smallest number other than zero
// becomes the format's smallest: it fills the range of FP8, whether it has less of it or more. Powers are polynomials of fused multiply-adds and nothing else that
// rounds differently elsewhere, so that Cpu/MomentGroup.cs computes the same bytes.
namespace fp8lm::optim {

// The format of a moment T that is stored so.
template <class T> struct Grouped;

template <class T> struct MomentFormat
{
    using Element = T;
    static constexpr bool kGroups = false;
};

template <class T> struct MomentFormat<Grouped<T>>
{
    using Element = T;
    static constexpr bool kGroups = true;
};

// A warp has a group, four adjacent elements a lane.
constexpr int kMomentGroup = 128, kMomentWidth = kMomentGroup / kWarpSize;

// log2 of a normal positive number within 3e-5; 0 at 1.
__device__ __forceinline__ float log2_polynomial(float x)
{
    // x = 2^n m with m in [sqrt(1/2), sqrt(2)): measured from sqrt(1/2), the exponent field of the bits is n.
    const int distance = __float_as_int(x) - 0x3F3504F3, n = distance >> 23;
    const float f = __fadd_rn(__int_as_float((distance & 0x007FFFFF) + 0x3F3504F3), -1.0f);
    float p = __fmaf_rn(0.25028786f, f, -0.38967523f);
    p = __fmaf_rn(p, f, 0.48573783f);
    p = __fmaf_rn(p, f, -0.72062922f);
    p = __fmaf_rn(p, f, 1.44264042f);
    return __fmaf_rn(p, f, (float)n);
}

// 2^x within 7e-6 of itself for x in [-126, 127]; 1 at 0.
__device__ __forceinline__ float exp2_polynomial(float x)
{
    // Adding 1.5 * 2^23 rounds to the nearest integer and leaves it in the low bits.
    const float shifted = __fadd_rn(x, 12582912.0f), f = __fadd_rn(x, -__fadd_rn(shifted, -12582912.0f));
    float p = __fmaf_rn(0.00965671055f, f, 0.0558382832f);
    p = __fmaf_rn(p, f, 0.2402253f);
    p = __fmaf_rn(p, f, 0.693136752f);
    p = __fmaf_rn(p, f, 1.0f);
    return __int_as_float(__float_as_int(p) + (__float_as_int(shifted) << 23));
}

// What a group has in memory: its largest magnitude, and 1 / k. A group of zeros has amax 0.
struct MomentGroup
{
    float amax, root;
};

template <class T> struct MomentCode
{
    static constexpr float kMaximum = kScaledMaximum<T>;

    // log2 of the smallest number, and the reciprocal of that of the format's range (COAT's R_E4M3 is 448 / 2^-9).
    static constexpr float kLow = kSame<T, e4m3> ? -9.0f : -16.0f, kPerRange = kSame<T, e4m3> ? 0.056156572f : 0.031439271f;

    // 1 / k is in [1/16, 2]: more expansion than 16 is finer than what BF16 stores, and more compression than 1/2 would cost all numbers of a group accuracy for the
    // sake of those 2^-35 as large as its largest. These become the smallest number, not zero: a second moment of zero beside a first that is not would be a step without bound.
    static constexpr float kLeastRoot = 0.0625f, kMostRoot = 2.0f;

    // Numbers below the normal range count as zeros.
    static __device__ __forceinline__ u32 magnitude(float x)
    {
        const u32 bits = __float_as_uint(x) & 0x7FFFFFFFu;
        return bits < 0x00800000u ? 0u : bits;
    }

    // Replaces elements as they stand in memory by values.
    static __device__ __forceinline__ void expand(packs::Floats<kMomentWidth>& values, MomentGroup group)
    {
        const float top = log2_polynomial(kMaximum);
        #pragma unroll
        for (int i = 0; i < kMomentWidth; ++i)
        {
            const float power = __fmul_rn(__fadd_rn(log2_polynomial(fabsf(values[i])), -top), group.root);
            const float value = copysignf(__fmul_rn(group.amax, exp2_polynomial(power)), values[i]);
            values[i] = values[i] == 0.0f ? 0.0f : value;
        }
    }

    // Replaces values by what is rounded to T, and returns their group: called by a converged warp. A group with a number that is not finite stays as it was, and what exceeds
    // its amax becomes that.
    static __device__ __forceinline__ MomentGroup compress(packs::Floats<kMomentWidth>& values, MomentGroup group)
    {
        // Zero is no smallest number: less one it is the largest integer.
        u32 most = 0, least = 0xFFFFFFFFu;
        #pragma unroll
        for (int i = 0; i < kMomentWidth; ++i)
        {
            most = max(most, magnitude(values[i]));
            least = min(least, magnitude(values[i]) - 1u);
        }
        most = __reduce_max_sync(kAllLanes, most);
        least = __reduce_min_sync(kAllLanes, least);
        if (most < 0x7F800000u)
        {
            group.amax = __uint_as_float(most);
            const float range = -log2_polynomial(ratio(least + 1u, __frcp_rn(group.amax)));
            group.root = most == 0 ? 1.0f : fmaxf(fminf(__fmul_rn(range, kPerRange), kMostRoot), kLeastRoot);
        }
        const float inverse = __frcp_rn(group.amax), k = __frcp_rn(group.root), top = log2_polynomial(kMaximum);
        #pragma unroll
        for (int i = 0; i < kMomentWidth; ++i)
        {
            const u32 bits = min(magnitude(values[i]), __float_as_uint(group.amax));
            const float power = fmaxf(__fmaf_rn(k, log2_polynomial(ratio(bits, inverse)), top), kLow);
            const float stored = copysignf(exp2_polynomial(power), values[i]);
            values[i] = bits == 0 ? 0.0f : stored;
        }
        return group;
    }

private:
    // Beside a group's largest number; what is smaller than 2^-64 of it is below all exponents of the format anyway, and subnormal quotients stay out of the logarithm.
    static __device__ __forceinline__ float ratio(u32 bits, float inverse) { return fmaxf(__fmul_rn(__uint_as_float(bits), inverse), 5.42101086e-20f); }
};

}  // namespace fp8lm::optim
