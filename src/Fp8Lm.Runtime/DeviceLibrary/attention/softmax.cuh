#pragma once
#include <fp8lm/attention/shape.cuh>
#include <fp8lm/reduce/warp.cuh>

namespace fp8lm::attention {

// Softmax of rows that arrive in pieces. The maximum is in units of log2, so that exponentials are powers of two. s is in the fragment layout:
// element i of a lane's is of row i / 2 % 2 of its two.
struct OnlineSoftmax
{
    float maximum[2] = {-infinity(), -infinity()};
    float sum[2] = {};    // of this lane's columns; the quad is added up once at the end

    // Turns products into probabilities relative to the new maximum; factor is what earlier results are to be multiplied with.
    template <int kElements> __device__ __forceinline__ void update(float (&s)[kElements], float scale, float (&factor)[2])
    {
        #pragma unroll
        for (int half = 0; half < 2; ++half)
        {
            float largest[2] = {s[2 * half], s[2 * half + 1]};
            #pragma unroll
            for (int i = 4 + 2 * half; i < kElements; i += 4)
            {
                largest[0] = fmaxf(largest[0], s[i]);
                largest[1] = fmaxf(largest[1], s[i + 1]);
            }
            float row = fmaxf(largest[0], largest[1]);
            row = fmaxf(row, __shfl_xor_sync(kAllLanes, row, 1));
            row = fmaxf(row, __shfl_xor_sync(kAllLanes, row, 2));
            row = fmaxf(maximum[half], row * scale);
            // A row may have seen no key yet; any finite reference keeps its exponentials at zero.
            const float reference = row == -infinity() ? 0.0f : row;
            factor[half] = exp2_(maximum[half] - reference);
            maximum[half] = row;
            float added[2] = {};
            #pragma unroll
            for (int i = 2 * half; i < kElements; i += 4)
                #pragma unroll
                for (int j = 0; j < 2; ++j)
                {
                    s[i + j] = exp2_(s[i + j] * scale - reference);
                    added[j] += s[i + j];
                }
            sum[half] = sum[half] * factor[half] + (added[0] + added[1]);
        }
    }

    __device__ void finish()
    {
        #pragma unroll
        for (int half = 0; half < 2; ++half)
        {
            sum[half] += __shfl_xor_sync(kAllLanes, sum[half], 1);
            sum[half] += __shfl_xor_sync(kAllLanes, sum[half], 2);
        }
    }
};

}  // namespace fp8lm::attention
