#pragma once
#include <fp8lm/reduce/warp.cuh>

// Log-sum-exp of a row in one pass: a running maximum and the sum of exponentials relative to it. Start with (-infinity, 0).
namespace fp8lm::row {

__device__ inline void online_softmax(float& maximum, float& sum, float x)
{
    if (x > maximum)
    {
        sum = sum * expf(maximum - x) + 1.0f;
        maximum = x;
    }
    else if (x != __int_as_float(0xFF800000))    // minus infinity adds nothing, also to nothing; a NaN poisons the sum
        sum += expf(x - maximum);
}

// Merges the lanes of a converged warp; all lanes get the row's maximum and sum.
__device__ inline void merge_softmax(float& maximum, float& sum)
{
    const float largest = warp_max(maximum);
    sum = warp_sum(maximum == largest ? sum : sum * expf(maximum - largest));
    maximum = largest;
}

}  // namespace fp8lm::row
