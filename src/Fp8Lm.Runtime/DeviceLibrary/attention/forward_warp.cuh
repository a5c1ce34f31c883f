#pragma once
#include <fp8lm/attention/output.cuh>
#include <fp8lm/attention/softmax.cuh>

namespace fp8lm::attention {

// O = softmax(scale * Q K^T + mask) V. Grid: (query blocks, query heads, batch). q, k, v: [tokens, heads, headSize] with a pitch per token.
// lse: [tokens, queryHeads] f32, natural logarithm of the sum of exponentials of the scaled logits.
template <class S> struct WarpForward
{
    using T = typename S::Element;
    static constexpr int kHeadSize = S::kHeadSize;
    static constexpr int kThreads = 128;
    static constexpr int kTileM = kBlockRows, kTileN = 0, kBlocks = 0;
    static constexpr int kKeys = kHeadSize > 128 || kSame<T, float> ? 32 : 64;
    static constexpr int kStages = kSame<T, float> ? 1 : 2;
    using QueryTile = Tile<T, kBlockRows, kHeadSize>;
    using KeyTile = Tile<T, kKeys, kHeadSize>;
    static constexpr int kScratchBytes = Product<T>::scratch_bytes(kKeys);
    static constexpr int kSharedBytes = QueryTile::kBytes + 2 * kStages * KeyTile::kBytes + kThreads / kWarpSize * kScratchBytes;

    template <class E>
    static __device__ __forceinline__ void run(
        const T* q, i64 q_pitch, const T* k, i64 k_pitch, const T* v, i64 v_pitch, float* lse, float scale, E& e)
    {
        check_epilogue<S, E>();
        epilogue::begin(e);
        extern __shared__ __align__(16) u8 shared[];
        const int warp = threadIdx.x / kWarpSize;
        SharedAllocator memory{shared};
        const QueryTile queries{memory.take<T>(QueryTile::kBytes)};
        T* const key_stages = memory.take<T>(kStages * KeyTile::kBytes);
        T* const value_stages = memory.take<T>(kStages * KeyTile::kBytes);
        float* const scratch = memory.take<float>(0) + warp * kScratchBytes / (int)sizeof(float);

        // The blocks with the most keys start first.
        const int first_query = (gridDim.x - 1 - blockIdx.x) * kBlockRows, head = blockIdx.y;
        const i64 sequence_row = (i64)blockIdx.z * S::kSequence;
        q += sequence_row * q_pitch + head * kHeadSize;
        k += sequence_row * k_pitch + head / S::kGroup * kHeadSize;
        v += sequence_row * v_pitch + head / S::kGroup * kHeadSize;
        const int first_key = S::first_key(first_query) / kKeys * kKeys;
        const int key_end = min(first_query + kBlockRows, S::kSequence);
        auto load_keys = [&](int stage, int key) {
            KeyTile{key_stages + stage * KeyTile::kRows * KeyTile::kPitch}.template load<kThreads>(k, k_pitch, key, S::kSequence);
            KeyTile{value_stages + stage * KeyTile::kRows * KeyTile::kPitch}.template load<kThreads>(v, v_pitch, key, S::kSequence);
            ptx::cp_async_commit();
        };

        queries.template load<kThreads>(q, q_pitch, first_query, S::kSequence);
        load_keys(0, first_key);
        float output[kHeadSize / 8][4];
        clear(output);
        OnlineSoftmax softmax;
        int stage = 0;
        #pragma unroll 1
        for (int key = first_key; key < key_end; key += kKeys)
        {
            if (kStages == 2 && key + kKeys < key_end)
            {
                load_keys(stage ^ 1, key + kKeys);
                ptx::cp_async_wait<1>();
            }
            else
                ptx::cp_async_wait<0>();
            __syncthreads();

            float s[kKeys / 8][4];
            clear(s);
            Product<T>::template rows_by_rows<kHeadSize, KeyTile::kPitch>(
                s, queries.row(warp * kWarpRows), key_stages + stage * KeyTile::kRows * KeyTile::kPitch);
            if (!S::all_visible(first_query + warp * kWarpRows, kWarpRows, key, kKeys))
            {
                #pragma unroll
                for (int n = 0; n < kKeys / 8; ++n)
                    #pragma unroll
                    for (int i = 0; i < 4; ++i)
                        if (!S::visible(first_query + warp * kWarpRows + fragment_row(i), key + fragment_col(n, i)))
                            s[n][i] = -infinity();
            }
            float factor[2];
            softmax.update(reinterpret_cast<float(&)[kKeys / 2]>(s), scale * kLog2E, factor);
            #pragma unroll
            for (int n = 0; n < kHeadSize / 8; ++n)
                #pragma unroll
                for (int i = 0; i < 4; ++i)
                    output[n][i] *= factor[i / 2];
            Product<T>::template fragment_by_rows<KeyTile::kPitch>(
                output, s, value_stages + stage * KeyTile::kRows * KeyTile::kPitch, scratch);
            __syncthreads();
            if (kStages == 1 && key + kKeys < key_end)
                load_keys(0, key + kKeys);
            stage ^= kStages - 1;
        }

        softmax.finish();
        #pragma unroll
        for (int half = 0; half < 2; ++half)
        {
            const float inverse = 1.0f / softmax.sum[half];
            #pragma unroll
            for (int n = 0; n < kHeadSize / 8; ++n)
            {
                output[n][2 * half] *= inverse;
                output[n][2 * half + 1] *= inverse;
            }
            const int query = first_query + warp * kWarpRows + fragment_row(2 * half);
            if (threadIdx.x % 4 == 0 && query < S::kSequence)
                lse[(sequence_row + query) * S::kQueryHeads + head] = softmax.maximum[half] * kLn2 + logf(softmax.sum[half]);
        }
        const int token = (int)sequence_row;
        write_output<S>(e, output, token, first_query + warp * kWarpRows, head * kHeadSize);
        __syncwarp();
        e.finish();
    }
};

}  // namespace fp8lm::attention
