#pragma once
#include <fp8lm/attention/output.cuh>

namespace fp8lm::attention {

// dV = sum over the group's heads of P^T dO; dK = scale * sum of dS^T Q, with P = exp(scale * S - lse) and dS = P * (dP - delta).
// Works on transposed products (rows are keys), whose fragments feed the second pair of products as they are. A block owns 64 keys of one
// key/value head and walks all queries of all query heads of the group: every output has one writer. Grid: (key blocks, kv heads, batch).
template <class S> struct WarpBackwardKeyValue
{
    using T = typename S::Element;
    static constexpr int kHeadSize = S::kHeadSize;
    // Two accumulators of the full head would not fit in registers beyond 128: then two warps share 16 keys and take half a head each.
    static constexpr int kParts = kHeadSize > 128 ? 2 : 1;
    static constexpr int kPartSize = kHeadSize / kParts;
    static_assert(kPartSize % 16 == 0, "heads beyond 128 come in multiples of 32");
    static constexpr int kThreads = 128 * kParts;
    static constexpr int kTileM = kBlockRows, kTileN = 0, kBlocks = 0;
    static constexpr int kQueries = kHeadSize > 128 ? 16 : kHeadSize > 64 || kSame<T, float> ? 32 : 64;
    static constexpr int kStages = kSame<T, float> ? 1 : 2;
    using KeyTile = Tile<T, kBlockRows, kHeadSize>;
    using QueryTile = Tile<T, kQueries, kHeadSize>;
    static constexpr int kRowBytes = 2 * kQueries * (int)sizeof(float);    // lse and delta of a tile
    static constexpr int kScratchBytes = Product<T>::scratch_bytes(kQueries);
    static constexpr int kSharedBytes =
        2 * KeyTile::kBytes + kStages * (2 * QueryTile::kBytes + kRowBytes) + kThreads / kWarpSize * kScratchBytes;

    template <class EpilogueK, class EpilogueV>
    static __device__ __forceinline__ void run(
        const T* q, i64 q_pitch, const T* k, i64 k_pitch, const T* v, i64 v_pitch, const T* d_o, i64 d_o_pitch, const float* lse,
        const float* delta, float scale, EpilogueK& dk, EpilogueV& dv)
    {
        check_epilogue<S, EpilogueK>();
        check_epilogue<S, EpilogueV>();
        epilogue::begin(dk, dv);
        extern __shared__ __align__(16) u8 shared[];
        const int warp = threadIdx.x / kWarpSize, group = warp % 4, part = warp / 4 * kPartSize;
        SharedAllocator memory{shared};
        const KeyTile keys{memory.take<T>(KeyTile::kBytes)}, values{memory.take<T>(KeyTile::kBytes)};
        T* const query_stages = memory.take<T>(kStages * QueryTile::kBytes);
        T* const gradient_stages = memory.take<T>(kStages * QueryTile::kBytes);
        float* const row_stages = memory.take<float>(kStages * kRowBytes);
        float* const scratch = memory.take<float>(0) + warp * kScratchBytes / (int)sizeof(float);

        const int first_key = blockIdx.x * kBlockRows, kv_head = blockIdx.y;
        const i64 sequence_row = (i64)blockIdx.z * S::kSequence;
        q += sequence_row * q_pitch;
        d_o += sequence_row * d_o_pitch;
        lse += sequence_row * S::kQueryHeads;
        delta += sequence_row * S::kQueryHeads;
        const int first_query = first_key / kQueries * kQueries;
        const int query_end = S::query_end(min(first_key + kBlockRows, S::kSequence) - 1);
        const int tiles = ceil_div(query_end - first_query, kQueries), count = tiles * S::kGroup;
        auto load_queries = [&](int stage, int index) {
            const int head = kv_head * S::kGroup + index / tiles, query = first_query + index % tiles * kQueries;
            QueryTile{query_stages + stage * QueryTile::kRows * QueryTile::kPitch}.template load<kThreads>(
                q + head * kHeadSize, q_pitch, query, S::kSequence);
            QueryTile{gradient_stages + stage * QueryTile::kRows * QueryTile::kPitch}.template load<kThreads>(
                d_o + head * kHeadSize, d_o_pitch, query, S::kSequence);
            float* rows = row_stages + stage * 2 * kQueries;
            if (threadIdx.x < kQueries)
            {
                const bool inside = query + (int)threadIdx.x < S::kSequence;
                const i64 at = (i64)(query + threadIdx.x) * S::kQueryHeads + head;
                rows[threadIdx.x] = inside ? lse[at] * kLog2E : 0.0f;
                rows[kQueries + threadIdx.x] = inside ? delta[at] : 0.0f;
            }
            ptx::cp_async_commit();
        };

        keys.template load<kThreads>(k + sequence_row * k_pitch + kv_head * kHeadSize, k_pitch, first_key, S::kSequence);
        values.template load<kThreads>(v + sequence_row * v_pitch + kv_head * kHeadSize, v_pitch, first_key, S::kSequence);
        load_queries(0, 0);
        float acc_k[kPartSize / 8][4], acc_v[kPartSize / 8][4];
        clear(acc_k);
        clear(acc_v);
        int stage = 0;
        #pragma unroll 1
        for (int index = 0; index < count; ++index)
        {
            if (kStages == 2 && index + 1 < count)
            {
                load_queries(stage ^ 1, index + 1);
                ptx::cp_async_wait<1>();
            }
            else
                ptx::cp_async_wait<0>();
            __syncthreads();

            const T* query_tile = query_stages + stage * QueryTile::kRows * QueryTile::kPitch;
            const T* gradient_tile = gradient_stages + stage * QueryTile::kRows * QueryTile::kPitch;
            const float* rows = row_stages + stage * 2 * kQueries;
            const int query = first_query + index % tiles * kQueries;

            float p[kQueries / 8][4];
            clear(p);
            Product<T>::template rows_by_rows<kHeadSize, KeyTile::kPitch>(p, keys.row(group * kWarpRows), query_tile);
            #pragma unroll
            for (int n = 0; n < kQueries / 8; ++n)
                #pragma unroll
                for (int i = 0; i < 4; ++i)
                    p[n][i] = exp2_(p[n][i] * (scale * kLog2E) - rows[fragment_col(n, i)]);
            if (!S::all_visible(query, kQueries, first_key + group * kWarpRows, kWarpRows))
            {
                #pragma unroll
                for (int n = 0; n < kQueries / 8; ++n)
                    #pragma unroll
                    for (int i = 0; i < 4; ++i)
                        if (!S::visible(query + fragment_col(n, i), first_key + group * kWarpRows + fragment_row(i)))
                            p[n][i] = 0.0f;
            }
            Product<T>::template fragment_by_rows<QueryTile::kPitch>(acc_v, p, gradient_tile + part, scratch);

            float ds[kQueries / 8][4];
            clear(ds);
            Product<T>::template rows_by_rows<kHeadSize, KeyTile::kPitch>(ds, values.row(group * kWarpRows), gradient_tile);
            #pragma unroll
            for (int n = 0; n < kQueries / 8; ++n)
                #pragma unroll
                for (int i = 0; i < 4; ++i)
                    ds[n][i] = p[n][i] * (ds[n][i] - rows[kQueries + fragment_col(n, i)]);
            Product<T>::template fragment_by_rows<QueryTile::kPitch>(acc_k, ds, query_tile + part, scratch);
            __syncthreads();
            if (kStages == 1 && index + 1 < count)
                load_queries(0, index + 1);
            stage ^= kStages - 1;
        }

        #pragma unroll
        for (int n = 0; n < kPartSize / 8; ++n)
            #pragma unroll
            for (int i = 0; i < 4; ++i)
                acc_k[n][i] *= scale;
        const int token = (int)sequence_row, row = first_key + group * kWarpRows, col = kv_head * kHeadSize + part;
        write_output<S>(dk, acc_k, token, row, col);
        write_output<S>(dv, acc_v, token, row, col);
        __syncwarp();
        dk.finish();
        dv.finish();
    }
};

}  // namespace fp8lm::attention
