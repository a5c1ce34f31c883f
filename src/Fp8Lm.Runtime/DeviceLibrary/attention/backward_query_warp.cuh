#pragma once
#include <fp8lm/attention/output.cuh>

namespace fp8lm::attention {

// dQ = scale * dS K with P = exp(scale * S - lse) and dS = P * (dP - delta). A block owns 64 queries of one head; computing S and dP a
// second time costs two products and spares the sum over key blocks in memory. Grid: (query blocks, query heads, batch).
template <class S> struct WarpBackwardQuery
{
    using T = typename S::Element;
    static constexpr int kHeadSize = S::kHeadSize;
    static constexpr int kThreads = 128;
    static constexpr int kTileM = kBlockRows, kTileN = 0, kBlocks = 0;
    static constexpr int kKeys = kHeadSize > 128 ? 16 : kHeadSize > 64 || kSame<T, float> ? 32 : 64;
    static constexpr int kStages = kSame<T, float> ? 1 : 2;
    using QueryTile = Tile<T, kBlockRows, kHeadSize>;
    using KeyTile = Tile<T, kKeys, kHeadSize>;
    static constexpr int kScratchBytes = Product<T>::scratch_bytes(kKeys);
    static constexpr int kSharedBytes = 2 * QueryTile::kBytes + 2 * kStages * KeyTile::kBytes + kThreads / kWarpSize * kScratchBytes;

    template <class E>
    static __device__ __forceinline__ void run(
        const T* q, i64 q_pitch, const T* k, i64 k_pitch, const T* v, i64 v_pitch, const T* d_o, i64 d_o_pitch, const float* lse,
        const float* delta, float scale, E& dq)
    {
        check_epilogue<S, E>();
        epilogue::begin(dq);
        extern __shared__ __align__(16) u8 shared[];
        const int warp = threadIdx.x / kWarpSize;
        SharedAllocator memory{shared};
        const QueryTile queries{memory.take<T>(QueryTile::kBytes)}, gradients{memory.take<T>(QueryTile::kBytes)};
        T* const key_stages = memory.take<T>(kStages * KeyTile::kBytes);
        T* const value_stages = memory.take<T>(kStages * KeyTile::kBytes);
        float* const scratch = memory.take<float>(0) + warp * kScratchBytes / (int)sizeof(float);

        const int first_query = (gridDim.x - 1 - blockIdx.x) * kBlockRows, head = blockIdx.y;
        const i64 sequence_row = (i64)blockIdx.z * S::kSequence;
        k += sequence_row * k_pitch + head / S::kGroup * kHeadSize;
        v += sequence_row * v_pitch + head / S::kGroup * kHeadSize;
        const int first_key = S::first_key(first_query) / kKeys * kKeys;
        const int key_end = min(first_query + kBlockRows, S::kSequence);
        auto load_keys = [&](int stage, int key) {
            KeyTile{key_stages + stage * KeyTile::kRows * KeyTile::kPitch}.template load<kThreads>(k, k_pitch, key, S::kSequence);
            KeyTile{value_stages + stage * KeyTile::kRows * KeyTile::kPitch}.template load<kThreads>(v, v_pitch, key, S::kSequence);
            ptx::cp_async_commit();
        };

        queries.template load<kThreads>(q + sequence_row * q_pitch + head * kHeadSize, q_pitch, first_query, S::kSequence);
        gradients.template load<kThreads>(d_o + sequence_row * d_o_pitch + head * kHeadSize, d_o_pitch, first_query, S::kSequence);
        load_keys(0, first_key);
        float row_lse[2], row_delta[2];
        #pragma unroll
        for (int half = 0; half < 2; ++half)
        {
            const int query = first_query + warp * kWarpRows + fragment_row(2 * half);
            const i64 at = (sequence_row + query) * S::kQueryHeads + head;
            row_lse[half] = query < S::kSequence ? lse[at] * kLog2E : 0.0f;
            row_delta[half] = query < S::kSequence ? delta[at] : 0.0f;
        }

        float acc[kHeadSize / 8][4];
        clear(acc);
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

            const T* key_tile = key_stages + stage * KeyTile::kRows * KeyTile::kPitch;
            const T* value_tile = value_stages + stage * KeyTile::kRows * KeyTile::kPitch;
            float p[kKeys / 8][4], ds[kKeys / 8][4];
            clear(p);
            clear(ds);
            Product<T>::template rows_by_rows<kHeadSize, KeyTile::kPitch>(p, queries.row(warp * kWarpRows), key_tile);
            Product<T>::template rows_by_rows<kHeadSize, KeyTile::kPitch>(ds, gradients.row(warp * kWarpRows), value_tile);
            #pragma unroll
            for (int n = 0; n < kKeys / 8; ++n)
                #pragma unroll
                for (int i = 0; i < 4; ++i)
                    ds[n][i] = exp2_(p[n][i] * (scale * kLog2E) - row_lse[i / 2]) * (ds[n][i] - row_delta[i / 2]);
            if (!S::all_visible(first_query + warp * kWarpRows, kWarpRows, key, kKeys))
            {
                #pragma unroll
                for (int n = 0; n < kKeys / 8; ++n)
                    #pragma unroll
                    for (int i = 0; i < 4; ++i)
                        if (!S::visible(first_query + warp * kWarpRows + fragment_row(i), key + fragment_col(n, i)))
                            ds[n][i] = 0.0f;
            }
            Product<T>::template fragment_by_rows<KeyTile::kPitch>(acc, ds, key_tile, scratch);
            __syncthreads();
            if (kStages == 1 && key + kKeys < key_end)
                load_keys(0, key + kKeys);
            stage ^= kStages - 1;
        }

        #pragma unroll
        for (int n = 0; n < kHeadSize / 8; ++n)
            #pragma unroll
            for (int i = 0; i < 4; ++i)
                acc[n][i] *= scale;
        const int token = (int)sequence_row;
        write_output<S>(dq, acc, token, first_query + warp * kWarpRows, head * kHeadSize);
        __syncwarp();
        dq.finish();
    }
};

}  // namespace fp8lm::attention
