#pragma once
#include <fp8lm/common/convert.cuh>
#include <fp8lm/common/state_scale.cuh>
#include <fp8lm/reduce/warp.cuh>

// What casts do to a tensor, to FP8 or to what the optimizer stores, counted where they are made. A kernel that casts is compiled twice: as it is, and with FP8LM_NUMERICS for steps whose casts
// are counted. What stands in FP8LM_COUNTED exists in the second form only.
#ifdef FP8LM_NUMERICS
#define FP8LM_COUNTED(...) __VA_ARGS__
#else
#define FP8LM_COUNTED(...)
#endif

namespace fp8lm {

// A sum of non-negative numbers that does not depend on their order: a number is an integer times a power of two, and is added as such to the one of sixteen
// integers that holds its sixteen exponents. The layout of Numerics/ExactSum.cs, which gives the value.
struct ExactSum
{
    u64 bins[16];

    __device__ __forceinline__ void add(float part)
    {
        // Zero, negative numbers and NaN add zero. There are no branches here and below: each would take a barrier register, of which kernels have few.
        const u32 bits = __float_as_uint(part > 0.0f ? fminf(part, 3.402823466e38f) : 0.0f);
        const u32 exponent = max(bits >> 23, 1u), mantissa = (bits & 0x7FFFFFu) | (bits >> 23 ? 0x800000u : 0u);
        atomicAdd(&bins[exponent / 16], (u64)mantissa << exponent % 16);
    }
};

// The largest number of a format that is cast to.
template <class T> constexpr float kLargest = kScaledMaximum<T>;
template <> constexpr float kLargest<bf16> = 3.38953139e38f;

// One slot of a family; integers, so that runs stay equal. The layout of Numerics/CastStatistics.cs.
struct CastStatistics
{
    u64 elements, non_finite, underflow, saturated;
    ExactSum signal, noise;
    u32 amax;
    float scale;
};

// Of one thread, until flush, which comes before a thread has seen 2^16 values: counts share registers in pairs. Sums of squares are those of values before the
// scale, so that a scale far too large does not overflow them. The same counts as Cpu/CastCounter.cs.
template <class T> struct CastCounter
{
    static constexpr u32 kHigh = 1u << 16;

    u32 elements_non_finite = 0, underflow_saturated = 0, amax = 0;    // the first of a pair is the low half
    float signal = 0.0f, noise = 0.0f;

    // A value before the scale, all of a tensor with one scale.
    __device__ __forceinline__ void add(float value, float scale) { count(value, scale, __frcp_rn(scale)); }

    // The same where parts of a tensor have scales of their own.
    __device__ __forceinline__ void add_part(float value, float scale, float inverse) { count(value, scale, inverse); }

    // A value that has become code, in units of the format, and is read back as value - difference.
    __device__ __forceinline__ void add_stored(float value, float code, float difference)
    {
        const bool finite = is_finite(value);
        tally(finite, value, code, finite ? difference : 0.0f);
    }

    // Called by a converged warp; scale is 0 where parts have their own.
    __device__ __forceinline__ void flush(CastStatistics* to, float scale)
    {
        const Totals totals = reduce();
        if (threadIdx.x % kWarpSize == 0 && totals.elements + totals.non_finite > 0)
            publish(totals, to, scale);
        *this = {};
    }

    // Called by all threads of a block.
    template <int kThreads> __device__ __forceinline__ void flush_block(CastStatistics* to, float scale)
    {
        constexpr int kWarps = kThreads / kWarpSize;
        __shared__ Totals parts[kWarps];
        const Totals mine = reduce();
        *this = {};
        __syncthreads();    // what the last call left has been read
        if (threadIdx.x % kWarpSize == 0)
            parts[threadIdx.x / kWarpSize] = mine;
        __syncthreads();
        if (threadIdx.x == 0)
        {
            Totals all = parts[0];
            for (int warp = 1; warp < kWarps; ++warp)
            {
                all.elements += parts[warp].elements;
                all.non_finite += parts[warp].non_finite;
                all.underflow += parts[warp].underflow;
                all.saturated += parts[warp].saturated;
                all.amax = max(all.amax, parts[warp].amax);
                all.signal += parts[warp].signal;
                all.noise += parts[warp].noise;
            }
            publish(all, to, scale);
        }
    }

private:
    struct Totals
    {
        u32 elements, non_finite, underflow, saturated, amax;
        float signal, noise;
    };

    // Every lane gets the totals of its warp.
    __device__ __forceinline__ Totals reduce() const
    {
        return {
            __reduce_add_sync(kAllLanes, elements_non_finite % kHigh), __reduce_add_sync(kAllLanes, elements_non_finite / kHigh),
            __reduce_add_sync(kAllLanes, underflow_saturated % kHigh), __reduce_add_sync(kAllLanes, underflow_saturated / kHigh),
            warp_max(amax), warp_sum(signal), warp_sum(noise)};
    }

    static __device__ __forceinline__ void publish(const Totals& totals, CastStatistics* to, float scale)
    {
        atomicAdd(&to->elements, (u64)totals.elements);
        atomicAdd(&to->non_finite, (u64)totals.non_finite);
        atomicAdd(&to->underflow, (u64)totals.underflow);
        atomicAdd(&to->saturated, (u64)totals.saturated);
        to->signal.add(totals.signal);
        to->noise.add(totals.noise);
        atomicMax(&to->amax, totals.amax);
        to->scale = scale;
    }

    // The same as tally in one piece: in epilogues of products, which have few registers left, the pieces spill twice as much.
    __device__ __forceinline__ void count(float value, float scale, float inverse)
    {
        const u32 magnitude = __float_as_uint(value) & 0x7FFFFFFFu;
        const bool finite = magnitude < 0x7F800000u;
        const float kept = finite ? value : 0.0f, scaled = __fmul_rn(kept, scale), stored = round_to<T>(in_range(scaled)), difference = (scaled - stored) * inverse;
        elements_non_finite += finite ? 1 : kHigh;
        underflow_saturated += (finite && stored == 0.0f && magnitude != 0 ? 1 : 0) + (finite && fabsf(stored) == kLargest<T> ? kHigh : 0);
        amax = finite ? max(amax, magnitude) : amax;
        signal = fmaf(kept, kept, signal);
        noise = fmaf(difference, difference, noise);
    }

    __device__ __forceinline__ void tally(bool finite, float value, float code, float difference)
    {
        const u32 magnitude = __float_as_uint(value) & 0x7FFFFFFFu;
        const float kept = finite ? value : 0.0f;
        elements_non_finite += finite ? 1 : kHigh;
        underflow_saturated += (finite && code == 0.0f && magnitude != 0 ? 1 : 0) + (finite && fabsf(code) >= kLargest<T> ? kHigh : 0);
        amax = finite ? max(amax, magnitude) : amax;
        signal = fmaf(kept, kept, signal);
        noise = fmaf(difference, difference, noise);
    }

    static __device__ __forceinline__ bool is_finite(float value) { return (__float_as_uint(value) & 0x7FFFFFFFu) < 0x7F800000u; }

    // Casts to FP8 saturate; those to f16 do where they are made.
    static __device__ __forceinline__ float in_range(float scaled)
    {
        if constexpr (kSame<T, f16>)
            return fmaxf(fminf(scaled, kLargest<T>), -kLargest<T>);
        else
            return scaled;
    }
};

}  // namespace fp8lm
