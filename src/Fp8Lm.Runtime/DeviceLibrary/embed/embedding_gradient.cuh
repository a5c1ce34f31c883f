#pragma once
#include <fp8lm/common/common.cuh>

namespace fp8lm::embed {

// grad[tokens[p]] += dY[p] for all positions p. tokens: [count] i32; dY: [count, columns]; grad: [vocab, columns] f32, adds.
// A block owns 32 positions (and, where there are more blocks than that takes, some of the columns); of a token's positions the first one's block adds all of its rows, in order, so every gradient row has one
// writer and one order. Later positions are found window by window: threads mark what may matter, warps walk the marks.
struct EmbeddingGradient : Launch<256>
{
    static constexpr int kOwn = 32;          // positions of a block
    static constexpr int kWindow = 32768;    // positions that are marked at a time
    static constexpr int kFilterBits = 2048;
    static constexpr int kWarps = kThreads / kWarpSize;
    static constexpr int kBatch = 16;        // rows that a warp asks for before it adds the first

    template <class T>
    static __device__ void run(const int* tokens, const T* d_y, float* grad, i64 count, i64 vocab, i64 columns)
    {
        __shared__ Block block;
        // Blocks that positions do not need share the columns, which matters where few tokens have all positions: their first blocks have all work.
        const i64 owners = ceil_div(count, (i64)kOwn), widest = ceil_div(columns, (i64)(4 * kWarpSize));
        const i64 parts = max((i64)1, min((i64)gridDim.x / owners, widest)), width = ceil_div(widest, parts) * (4 * kWarpSize);
        for (i64 item = blockIdx.x; item < owners * parts; item += gridDim.x)
        {
            const i64 first = item % owners * kOwn, begin = item / owners * width, end = min(begin + width, columns);
            __syncthreads();
            block.start(tokens, first, count, vocab);
            if (!block.drop_known(tokens, first))
                continue;
            for (i64 window = first; window < count; window += kWindow)
            {
                block.mark(tokens, window, count);
                const int words = (int)ceil_div(min(count - window, (i64)kWindow), (i64)32);
                for (int own = threadIdx.x / kWarpSize; own < kOwn; own += kWarps)
                    if (block.alive >> own & 1)
                        add_rows(block, own, words, tokens, d_y, grad, window, columns, begin, end);
                __syncthreads();
            }
        }
    }

private:
    struct Block
    {
        int own[kOwn];
        u32 alive;                          // bit per own position whose token occurs nowhere before it
        u32 filter[kFilterBits / 32];       // tokens that may be ours
        u32 marks[kWindow / 32];            // positions of the window that hold a token of ours
        int list[kWarps][kWarpSize];

        __device__ void start(const int* tokens, i64 first, i64 count, i64 vocab)
        {
            for (int i = threadIdx.x; i < kFilterBits / 32; i += kThreads)
                filter[i] = 0;
            __syncthreads();
            if (threadIdx.x < kOwn)
            {
                const int lane = threadIdx.x;
                const int token = first + lane < count ? tokens[first + lane] : -1;
                const bool valid = token >= 0 && token < vocab;
                const u32 same = __match_any_sync(kAllLanes, token);
                const u32 mine = __ballot_sync(kAllLanes, valid && (same & ((1u << lane) - 1)) == 0);
                own[lane] = token;
                if (valid)
                    atomicOr(&filter[token % kFilterBits / 32], 1u << token % 32);
                if (lane == 0)
                    alive = mine;
            }
            __syncthreads();
        }

        __device__ bool may_be_own(int token) const { return token >= 0 && filter[token % kFilterBits / 32] >> token % 32 & 1; }

        // Bits of the own positions, still alive, that hold the token.
        __device__ u32 owners(int token) const
        {
            u32 bits = 0;
            if (may_be_own(token))
                for (int i = 0; i < kOwn; ++i)
                    bits |= (u32)(own[i] == token) << i;
            return bits & alive;
        }

        // Removes own tokens that occur before the block's positions; whether any is left, the same for all threads.
        __device__ bool drop_known(const int* tokens, i64 first)
        {
            // A look every few strides: frequent tokens, whose blocks have nothing to do, are found early.
            constexpr i64 kStride = 8 * kThreads;
            for (i64 start = 0; start < first; start += kStride)
            {
                u32 known = 0;
                #pragma unroll
                for (int i = 0; i < 8; ++i)
                    if (const i64 at = start + i * kThreads + threadIdx.x; at < first)
                        known |= owners(tokens[at]);
                __syncthreads();
                if (known != 0)
                    atomicAnd(&alive, ~known);
                __syncthreads();
                if (alive == 0)
                    return false;
            }
            return alive != 0;
        }

        __device__ void mark(const int* tokens, i64 window, i64 count)
        {
            for (int at = threadIdx.x; at < kWindow; at += kThreads)
            {
                if (window + at / kWarpSize * kWarpSize >= count)
                    break;    // the whole warp
                const bool ours = window + at < count && owners(tokens[window + at]) != 0;
                const u32 votes = __ballot_sync(kAllLanes, ours);
                if (threadIdx.x % kWarpSize == 0)
                    marks[at / 32] = votes;
            }
            __syncthreads();
        }
    };

    // A warp adds columns begin .. end - 1 of the rows of one own token in a window.
    template <class T>
    static __device__ __forceinline__ void add_rows(Block& block, int own, int words, const int* tokens, const T* d_y, float* grad, i64 window, i64 columns, i64 begin, i64 end)
    {
        const int lane = threadIdx.x % kWarpSize, token = block.own[own];
        int* const list = block.list[threadIdx.x / kWarpSize];
        float* const row = grad + token * columns;
        int listed = 0;
        for (int group = 0; group < words; group += kWarpSize)
            for (u32 marked = __ballot_sync(kAllLanes, group + lane < words && block.marks[group + lane] != 0); marked != 0; marked &= marked - 1)
            {
                const int word = group + __ffs(marked) - 1, at = 32 * word + lane;
                const u32 votes = __ballot_sync(kAllLanes, (block.marks[word] >> lane & 1) && tokens[window + at] == token);
                const int before = __popc(votes & ((1u << lane) - 1)), found = __popc(votes);
                if (listed + found > kWarpSize)
                {
                    flush(list, listed, d_y + window * columns, row, columns, begin, end);
                    listed = 0;
                }
                if (votes >> lane & 1)
                    list[listed + before] = at;
                listed += found;
            }
        flush(list, listed, d_y + window * columns, row, columns, begin, end);
    }

    template <class T> static __device__ __forceinline__ void flush(const int* list, int listed, const T* d_y, float* row, i64 columns, i64 begin, i64 end)
    {
        __syncwarp();
        const int lane = threadIdx.x % kWarpSize;
        if (columns % 4 == 0)
            for (i64 column = begin + lane * 4; column < end && listed > 0; column += kWarpSize * 4)
            {
                float4 sum = load4(row + column);
                const auto add = [&](const float4& part) { sum = make_float4(sum.x + part.x, sum.y + part.y, sum.z + part.z, sum.w + part.w); };
                // Where few tokens have all positions, few warps have all work, and each waits for memory: it asks for many rows at once.
                int i = 0;
                for (; i + kBatch <= listed; i += kBatch)
                {
                    float4 parts[kBatch];
                    #pragma unroll
                    for (int j = 0; j < kBatch; ++j)
                        parts[j] = load4(d_y + list[i + j] * columns + column);
                    #pragma unroll
                    for (int j = 0; j < kBatch; ++j)
                        add(parts[j]);
                }
                #pragma unroll 4
                for (; i < listed; ++i)
                    add(load4(d_y + list[i] * columns + column));
                store4(row + column, sum.x, sum.y, sum.z, sum.w);
            }
        else
            for (i64 column = begin + lane; column < end && listed > 0; column += kWarpSize)
            {
                float sum = row[column];
                for (int i = 0; i < listed; ++i)
                    sum += load(d_y + list[i] * columns + column);
                row[column] = sum;
            }
        __syncwarp();
    }
};

}  // namespace fp8lm::embed
