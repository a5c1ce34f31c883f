#pragma once
#include <fp8lm/attention/output.cuh>
#include <fp8lm/attention/panel_product.cuh>
#include <fp8lm/attention/ring.cuh>
#include <fp8lm/attention/work_queue.cuh>
#include <fp8lm/ptx/named_barrier.cuh>
#include <fp8lm/ptx/proxy.cuh>
#include <fp8lm/ptx/registers.cuh>

namespace fp8lm::attention {

// dV = sum over the group's heads of P^T dO; dK = scale * sum of dS^T Q, with P = exp(scale * S - lse) and dS = P * (dP - delta), for 16-bit
// heads of 64 and 128, by wgmma. Assigns. Works on transposed products (rows are keys), whose fragments feed the second pair of products from
// registers. A block owns 128 keys of one key/value head, a warpgroup 64 of them, and walks all queries of all query heads of the group: every
// output has one writer. Persistent; one warpgroup copies. The first products of the next queries start before the last ones of these are waited for.
template <class S> struct WarpgroupBackwardKeyValue
{
    using T = typename S::Element;
    static constexpr int kHeadSize = S::kHeadSize;
    static constexpr int kGroups = 2;
    static constexpr int kKeys = 64 * kGroups;
    static constexpr int kQueries = 64;
    static constexpr int kStages = 4;
    static constexpr int kThreads = 128 * (1 + kGroups);
    static constexpr int kTileM = 0, kTileN = 0, kBlocks = 0;
    // 128 * (producer + 2 * consumer) registers are what the block starts with; more would wait for ever.
    static constexpr int kProducerRegisters = 24, kConsumerRegisters = 240;

    // A stage of queries: Q, dO, and their rows' lse and delta.
    using KeyTile = PanelTile<T, kKeys, kHeadSize>;
    using QueryTile = PanelTile<T, kQueries, kHeadSize>;
    static constexpr int kGradientAt = QueryTile::kBytes, kRowsAt = 2 * QueryTile::kBytes;
    static constexpr int kRowBytes = 1024;    // of which the panels after them need the alignment
    static_assert(2 * kQueries == 128, "a thread of the producer copies one lse or one delta of a tile");
    using KeyRing = Ring<1, 2 * KeyTile::kBytes>;
    using QueryRing = Ring<kStages, 2 * QueryTile::kBytes + kRowBytes>;
    using Queue = WorkQueue<S, kKeys, S::kKeyValueHeads>;
    using Item = typename Queue::Item;
    static constexpr int kAlignmentSlack = 1024;
    static constexpr int kTileBytes = KeyRing::kBytes + QueryRing::kBytes;
    static constexpr int kSharedBytes = kAlignmentSlack + kTileBytes + KeyRing::kBarrierBytes + QueryRing::kBarrierBytes + sizeof(Item);

    static constexpr int kProducerBarrier = 1;

    // The queries that see any of a block's keys, the same for every head of the group.
    struct Range
    {
        int key, first_query, query_end;

        __device__ Range(int rank)
            : key(rank * kKeys), first_query(key / kQueries * kQueries), query_end(S::query_end(min(key + kKeys, S::kSequence) - 1))
        {
        }
    };

    template <class EpilogueK, class EpilogueV>
    static __device__ __forceinline__ void run(
        const T* q, i64 q_pitch, const T* k, i64 k_pitch, const T* v, i64 v_pitch, const T* d_o, i64 d_o_pitch, const float* lse,
        const float* delta, float scale, EpilogueK& dk, EpilogueV& dv)
    {
        check_epilogue<S, EpilogueK>();
        check_epilogue<S, EpilogueV>();
        extern __shared__ u8 dynamic[];
        const u32 memory = ceil_div(ptx::shared_address(dynamic), (u32)kAlignmentSlack) * kAlignmentSlack;
        KeyRing keys{memory, memory + kTileBytes};
        QueryRing queries{memory + KeyRing::kBytes, keys.barriers + KeyRing::kBarrierBytes};
        u8* const tiles = dynamic + (memory - ptx::shared_address(dynamic));
        Item* const item = reinterpret_cast<Item*>(tiles + kTileBytes + KeyRing::kBarrierBytes + QueryRing::kBarrierBytes);
        if (threadIdx.x == 0)
        {
            keys.init(129, 4 * kGroups);
            queries.init(128, 4 * kGroups);
            ptx::fence_mbarrier_init();
        }
        epilogue::begin(dk, dv);
        __syncthreads();
        const int group = __shfl_sync(kAllLanes, threadIdx.x / 128, 0);    // uniform, and known to be
        if (group == kGroups)
        {
            ptx::release_registers<kProducerRegisters>();
            produce(q, q_pitch, k, k_pitch, v, v_pitch, d_o, d_o_pitch, lse, delta, keys, queries, item);
        }
        else
        {
            ptx::acquire_registers<kConsumerRegisters>();
            consume(scale, keys, queries, tiles + KeyRing::kBytes + kRowsAt, item, group, dk, dv);
        }
    }

    static __device__ __forceinline__ void produce(
        const T* q, i64 q_pitch, const T* k, i64 k_pitch, const T* v, i64 v_pitch, const T* d_o, i64 d_o_pitch, const float* lse,
        const float* delta, KeyRing keys, QueryRing queries, Item* item)
    {
        const int thread = threadIdx.x % 128;
        const bool claims = thread == 0;
        #pragma unroll 1
        while (true)
        {
            const int claimed = claims ? Queue::template claim<1>() : 0;    // while the consumers are still busy with what is in flight
            keys.wait_empty();
            if (claims)
            {
                *item = Queue::at(claimed);
                keys.announce();
            }
            ptx::barrier_sync<128>(kProducerBarrier);
            const Item at = *item;
            if (at.rank == Queue::kNothing)
            {
                keys.publish();
                return;
            }
            const Range range{at.rank};
            const i64 sequence_row = (i64)at.batch * S::kSequence;
            KeyTile::template load<128>(keys.data(), k + sequence_row * k_pitch + at.head * kHeadSize, k_pitch, range.key, S::kSequence);
            KeyTile::template load<128>(keys.data() + KeyTile::kBytes, v + sequence_row * v_pitch + at.head * kHeadSize, v_pitch, range.key, S::kSequence);
            keys.publish();
            #pragma unroll 1
            for (int member = 0; member < S::kGroup; ++member)
            {
                const int head = at.head * S::kGroup + member;
                const T* const from_q = q + sequence_row * q_pitch + head * kHeadSize;
                const T* const from_d_o = d_o + sequence_row * d_o_pitch + head * kHeadSize;
                #pragma unroll 1
                for (int query = range.first_query; query < range.query_end; query += kQueries)
                {
                    queries.wait_empty();
                    QueryTile::template load<128>(queries.data(), from_q, q_pitch, query, S::kSequence);
                    QueryTile::template load<128>(queries.data() + kGradientAt, from_d_o, d_o_pitch, query, S::kSequence);
                    // The first half of the threads has the log-sum-exps, the second the deltas.
                    const int row = query + thread % kQueries;
                    const float* const rows = thread < kQueries ? lse : delta;
                    const bool inside = row < S::kSequence;
                    ptx::cp_async4(
                        queries.data() + kRowsAt + thread * (int)sizeof(float), rows + (inside ? (sequence_row + row) * S::kQueryHeads + head : 0),
                        inside);
                    queries.publish();
                }
            }
        }
    }

    template <class EpilogueK, class EpilogueV>
    static __device__ __forceinline__ void consume(
        float scale, KeyRing keys, QueryRing queries, const u8* rows, const Item* item, int group, EpilogueK& dk, EpilogueV& dv)
    {
        const int warp_row = group * 64 + __shfl_sync(kAllLanes, threadIdx.x / kWarpSize % 4, 0) * kWarpRows;    // uniform, and known to be
        #pragma unroll 1
        while (true)
        {
            keys.wait_full();
            const Item at = *item;
            if (at.rank == Queue::kNothing)
                break;
            const Range range{at.rank};
            const u64 key_rows = KeyTile::by_head(keys.data(), group * 64), value_rows = KeyTile::by_head(keys.data() + KeyTile::kBytes, group * 64);
            float acc_k[kHeadSize / 2], acc_v[kHeadSize / 2], p[kQueries / 2], ds[kQueries / 2];
            u32 p_half[kQueries / 4], ds_half[kQueries / 4];
            clear(acc_k);
            clear(acc_v);

            // Queries before all of a warpgroup's keys are not for it.
            const int first_query = range.first_query + (range.key + group * 64 - range.first_query) / kQueries * kQueries;
            #pragma unroll 1
            for (int member = 0; member < S::kGroup; ++member)
            {
                #pragma unroll 1
                for (int skipped = range.first_query; skipped < first_query; skipped += kQueries)
                {
                    queries.wait_full();
                    queries.advance();
                    queries.release_previous();
                }
                #pragma unroll 1
                for (int query = first_query; query < range.query_end; query += kQueries)
                {
                    queries.wait_full();
                    ptx::fence_proxy_async();
                    const u32 tile = queries.data();
                    start_by_head<KeyTile, QueryTile, kHeadSize>(p, key_rows, QueryTile::by_head(tile));
                    ptx::wgmma_wait<1>();    // for the step before; dP goes where its dS was
                    if (query > first_query)
                        queries.release_previous();
                    start_by_head<KeyTile, QueryTile, kHeadSize>(ds, value_rows, QueryTile::by_head(tile + kGradientAt));
                    ptx::wgmma_wait<1>();
                    hold(p);
                    const float* const row_lse = reinterpret_cast<const float*>(rows + queries.stage * QueryRing::kStageBytes) + fragment_col(0, 0);
                    const float* const row_delta = row_lse + kQueries;
                    #pragma unroll
                    for (int i = 0; i < kQueries / 2; i += 4)
                    {
                        const float2 reference = *reinterpret_cast<const float2*>(row_lse + 2 * i);
                        #pragma unroll
                        for (int j = 0; j < 4; ++j)
                            p[i + j] = exp2_(p[i + j] * (scale * kLog2E) - (j % 2 ? reference.y : reference.x) * kLog2E);
                    }
                    if (!S::all_visible(query, kQueries, range.key + group * 64, 64))
                        mask(p, query, range.key + warp_row);
                    pack<T>(p_half, p);
                    start_by_rows<QueryTile, kHeadSize>(acc_v, p_half, QueryTile::by_rows(tile + kGradientAt));
                    ptx::wgmma_wait<1>();
                    hold(ds);
                    #pragma unroll
                    for (int i = 0; i < kQueries / 2; i += 4)
                    {
                        const float2 less = *reinterpret_cast<const float2*>(row_delta + 2 * i);
                        #pragma unroll
                        for (int j = 0; j < 4; ++j)
                            ds[i + j] = p[i + j] * (ds[i + j] - (j % 2 ? less.y : less.x));
                    }
                    pack<T>(ds_half, ds);
                    start_by_rows<QueryTile, kHeadSize>(acc_k, ds_half, QueryTile::by_rows(tile));
                    queries.advance();
                }
                if (member + 1 == S::kGroup)
                    keys.release();
                ptx::wgmma_wait<0>();
                hold(acc_k);
                hold(acc_v);
                if (first_query < range.query_end)
                    queries.release_previous();
            }

            #pragma unroll
            for (int i = 0; i < kHeadSize / 2; ++i)
                acc_k[i] *= scale;
            const int token = at.batch * S::kSequence, row = range.key + warp_row, col = at.head * kHeadSize;
            write_output<S>(dk, acc_k, token, row, col);
            FP8LM_COUNTED(__syncwarp(); dk.flush();)
            write_output<S>(dv, acc_v, token, row, col);
            FP8LM_COUNTED(__syncwarp(); dv.flush();)
        }
        __syncwarp();
        dk.finish();
        dv.finish();
    }

    static __device__ __forceinline__ void mask(float (&p)[kQueries / 2], int first_query, int first_key)
    {
        #pragma unroll
        for (int half = 0; half < 2; ++half)
        {
            // Column of the key's own query, relative to this lane's.
            const int own = first_key + fragment_row(2 * half) - first_query - fragment_col(0, 0);
            #pragma unroll
            for (int i = 2 * half; i < kQueries / 2; i += 4)
                #pragma unroll
                for (int j = 0; j < 2; ++j)
                {
                    const int column = i / 4 * 8 + j;
                    if (column < own || (S::kWindow > 0 && column >= own + S::kWindow))
                        p[i + j] = 0.0f;
                }
        }
    }
};

}  // namespace fp8lm::attention
