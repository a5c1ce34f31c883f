#pragma once
#include <fp8lm/common/common.cuh>

namespace fp8lm::embed {

// grad[tokens[p]] += dY[p] for all positions p. tokens: [count] i32; dY: [count, columns]; grad: [vocab, columns] f32, adds.
// The block of a token's first position adds all rows of that token in order, so every gradient row has one writer and one order.
struct EmbeddingGradient : Launch<256>
{
    template <class T>
    static __device__ void run(const int* tokens, const T* d_y, float* grad, i64 count, i64 vocab, i64 columns)
    {
        __shared__ int matches[kThreads];
        __shared__ int warp_matches[kThreads / kWarpSize];
        for (i64 position = blockIdx.x; position < count; position += gridDim.x)
        {
            const int token = tokens[position];
            if (token < 0 || token >= vocab || occurs_before(tokens, position, token))
                continue;
            float* const row = grad + token * columns;
            for (i64 first = position; first < count; first += kThreads)
            {
                const i64 mine = first + threadIdx.x;
                const int found = collect(mine < count && tokens[mine] == token, matches, warp_matches);
                for (i64 col = threadIdx.x; col < columns && found > 0; col += kThreads)
                {
                    float sum = row[col];
                    #pragma unroll 4
                    for (int i = 0; i < found; ++i)
                        sum += load(d_y + (first + matches[i]) * columns + col);
                    row[col] = sum;
                }
                __syncthreads();
            }
        }
    }

private:
    static __device__ bool occurs_before(const int* tokens, i64 position, int token)
    {
        // A vote every few strides: frequent tokens, whose blocks have nothing to do, are found early.
        constexpr i64 kStride = 8 * kThreads;
        for (i64 first = 0; first < position; first += kStride)
        {
            bool seen = false;
            for (i64 i = first + threadIdx.x; i < first + kStride && i < position; i += kThreads)
                seen |= tokens[i] == token;
            if (__syncthreads_or(seen))
                return true;
        }
        return false;
    }

    // Thread numbers for which match holds, in order, to shared memory; returns how many.
    static __device__ int collect(bool match, int* matches, int* warp_matches)
    {
        const int lane = threadIdx.x % kWarpSize, warp = threadIdx.x / kWarpSize;
        const u32 votes = __ballot_sync(kAllLanes, match);
        if (lane == 0)
            warp_matches[warp] = __popc(votes);
        __syncthreads();
        int before = 0, total = 0;
        for (int i = 0; i < kThreads / kWarpSize; ++i)
        {
            before += i < warp ? warp_matches[i] : 0;
            total += warp_matches[i];
        }
        if (match)
            matches[before + __popc(votes & ((1u << lane) - 1))] = threadIdx.x;
        __syncthreads();
        return total;
    }
};

}  // namespace fp8lm::embed
