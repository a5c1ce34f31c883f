#pragma once
#include <fp8lm/common/common.cuh>

namespace fp8lm::attention {

constexpr int kWarpRows = 16;    // rows of a warp's fragments
constexpr int kBlockRows = 64;   // query (or key) rows of a block: four row groups
constexpr float kLog2E = 1.4426950408889634f;
constexpr float kLn2 = 0.6931471805599453f;

// Everything that is fixed about an attention: kWindow 0 is plain causal, w > 0 lets query i see keys i - w < j <= i.
template <class T, int kSizeOfHead, int kHeads, int kKvHeads, int kSequences, int kTokens, int kLookback> struct Shape
{
    static_assert(kSizeOfHead % 16 == 0 && kSizeOfHead <= 256, "head sizes are multiples of 16 up to 256");
    static_assert(kHeads % kKvHeads == 0, "query heads come in whole groups per key/value head");
    using Element = T;
    static constexpr int kHeadSize = kSizeOfHead;
    static constexpr int kQueryHeads = kHeads;
    static constexpr int kKeyValueHeads = kKvHeads;
    static constexpr int kGroup = kHeads / kKvHeads;
    static constexpr int kBatch = kSequences;
    static constexpr int kSequence = kTokens;
    static constexpr int kWindow = kLookback;

    static __device__ bool visible(int query, int key)
    {
        return key <= query && query < kSequence && (kWindow == 0 || query - key < kWindow);
    }

    // Whether every key of a tile is visible to every query of another, so that nothing needs a mask.
    static __device__ bool all_visible(int first_query, int queries, int first_key, int keys)
    {
        return first_key + keys - 1 <= first_query && first_query + queries <= kSequence
            && (kWindow == 0 || first_query + queries - 1 - first_key < kWindow);
    }

    // First key that a query sees, and one past the last query that sees a key.
    static __device__ int first_key(int query) { return kWindow == 0 || query < kWindow ? 0 : query - kWindow + 1; }
    static __device__ int query_end(int key) { return kWindow == 0 || key + kWindow > kSequence ? kSequence : key + kWindow; }
};

// Whether the kernels on warpgroup multiplies take this shape; the others go through warps' multiplies or, for float, through none.
template <class S> constexpr bool kIsWarpgroupShape = sizeof(typename S::Element) == 2 && (S::kHeadSize == 64 || S::kHeadSize == 128);

// A choice made at compile time, as an argument.
template <bool kSet> struct Flag { static constexpr bool kValue = kSet; };

template <bool kFirst, class A, class B> struct EitherOf { using Type = A; };
template <class A, class B> struct EitherOf<false, A, B> { using Type = B; };
template <bool kFirst, class A, class B> using Either = typename EitherOf<kFirst, A, B>::Type;

__device__ inline float infinity() { return __int_as_float(0x7F800000); }

// 2^x by the special function unit (2 ulp); the probabilities are rounded to 16 bits or summed in FP32 anyway. Minus infinity gives 0.
__device__ inline float exp2_(float x)
{
    float result;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
    return result;
}

// Column sums are kept per 16 token rows; blocks of every sequence must start at such a row.
template <class S, class E> __device__ constexpr void check_epilogue()
{
    static_assert(E::kSums == 0 || S::kSequence % 16 == 0, "column sums in an attention epilogue need a sequence length that is a multiple of 16");
}

}  // namespace fp8lm::attention
