#pragma once
#include <fp8lm/attention/output.cuh>
#include <fp8lm/attention/panel_product.cuh>
#include <fp8lm/attention/ring.cuh>
#include <fp8lm/attention/work_queue.cuh>
#include <fp8lm/ptx/named_barrier.cuh>
#include <fp8lm/ptx/proxy.cuh>
#include <fp8lm/ptx/registers.cuh>

namespace fp8lm::attention {

// dQ = scale * dS K with P = exp(scale * S - lse) and dS = P * (dP - delta), for 16-bit heads of 64 and 128, by wgmma. Assigns. A block owns 128
// queries of one head, a warpgroup 64 of them; computing S and dP a second time costs two products and spares the sum over key blocks in
// memory. Persistent; one warpgroup copies. The first products of the next keys start before the last one of these is waited for.
template <class S> struct WarpgroupBackwardQuery
{
    using T = typename S::Element;
    static constexpr int kHeadSize = S::kHeadSize;
    static constexpr int kGroups = 2;
    static constexpr int kQueries = 64 * kGroups;
    static constexpr int kKeys = 128;
    static constexpr int kStages = kHeadSize == 64 ? 4 : 2;
    static constexpr int kThreads = 128 * (1 + kGroups);
    static constexpr int kTileM = 0, kTileN = 0, kBlocks = 0;
    // 128 * (producer + 2 * consumer) registers are what the block starts with; more would wait for ever.
    static constexpr int kProducerRegisters = 24, kConsumerRegisters = 240;

    using QueryTile = PanelTile<T, kQueries, kHeadSize>;
    using KeyTile = PanelTile<T, kKeys, kHeadSize>;
    using QueryRing = Ring<1, 2 * QueryTile::kBytes>;    // Q and dO
    using KeyRing = Ring<kStages, KeyTile::kBytes>;
    using Queue = WorkQueue<S, kQueries, S::kQueryHeads>;
    using Item = typename Queue::Item;
    static constexpr int kAlignmentSlack = 1024;
    static constexpr int kTileBytes = QueryRing::kBytes + 2 * KeyRing::kBytes;
    // Two items: what the consumers work on and what the producers have claimed.
    static constexpr int kSharedBytes = kAlignmentSlack + kTileBytes + QueryRing::kBarrierBytes + 2 * KeyRing::kBarrierBytes + 2 * sizeof(Item);

    static constexpr int kProducerBarrier = 1;

    // Where a block of queries begins, and its keys: from last_key down to first_key, in blocks of kKeys.
    struct Range
    {
        int query, first_key, last_key;

        __device__ Range(int rank)
            : query((Queue::kRanks - 1 - rank) * kQueries), first_key(S::first_key(query) / kKeys * kKeys),
              last_key((min(query + kQueries, S::kSequence) - 1) / kKeys * kKeys)
        {
        }
    };

    template <class E>
    static __device__ __forceinline__ void run(
        const T* q, i64 q_pitch, const T* k, i64 k_pitch, const T* v, i64 v_pitch, const T* d_o, i64 d_o_pitch, const float* lse,
        const float* delta, float scale, E& dq)
    {
        check_epilogue<S, E>();
        extern __shared__ u8 dynamic[];
        const u32 memory = ceil_div(ptx::shared_address(dynamic), (u32)kAlignmentSlack) * kAlignmentSlack;
        QueryRing queries{memory, memory + kTileBytes};
        KeyRing keys{memory + QueryRing::kBytes, queries.barriers + QueryRing::kBarrierBytes};
        KeyRing values{keys.memory + KeyRing::kBytes, keys.barriers + KeyRing::kBarrierBytes};
        Item* const items = reinterpret_cast<Item*>(dynamic + (values.barriers + KeyRing::kBarrierBytes - ptx::shared_address(dynamic)));
        if (threadIdx.x == 0)
        {
            queries.init(129, 4 * kGroups);
            keys.init(128, 4 * kGroups);
            values.init(128, 4 * kGroups);
            ptx::fence_mbarrier_init();
        }
        epilogue::begin(dq);
        __syncthreads();
        const int group = __shfl_sync(kAllLanes, threadIdx.x / 128, 0);    // uniform, and known to be
        if (group == kGroups)
        {
            ptx::release_registers<kProducerRegisters>();
            produce(q, q_pitch, k, k_pitch, v, v_pitch, d_o, d_o_pitch, queries, keys, values, items);
        }
        else
        {
            ptx::acquire_registers<kConsumerRegisters>();
            consume(lse, delta, scale, queries, keys, values, items, group, dq);
        }
    }

    static __device__ __forceinline__ void produce(
        const T* q, i64 q_pitch, const T* k, i64 k_pitch, const T* v, i64 v_pitch, const T* d_o, i64 d_o_pitch, QueryRing queries,
        KeyRing keys, KeyRing values, Item* items)
    {
        const bool claims = threadIdx.x % 128 == 0;
        #pragma unroll 1
        while (true)
        {
            ptx::barrier_sync<128>(kProducerBarrier);    // all have read the item before
            if (claims)
                items[1] = Queue::at(Queue::template claim<1>());
            ptx::barrier_sync<128>(kProducerBarrier);
            const Item at = items[1];
            const Range range{at.rank};
            const i64 sequence_row = (i64)at.batch * S::kSequence;
            const int kv_head = at.head / S::kGroup;
            const T* const from_k = k + sequence_row * k_pitch + kv_head * kHeadSize;
            const T* const from_v = v + sequence_row * v_pitch + kv_head * kHeadSize;
            const auto load_keys = [&](int key) {
                keys.wait_empty();
                KeyTile::template load<128>(keys.data(), from_k, k_pitch, key, S::kSequence);
                keys.publish();
                values.wait_empty();
                KeyTile::template load<128>(values.data(), from_v, v_pitch, key, S::kSequence);
                values.publish();
            };
            // Keys come early, while the consumers are still busy with the queries before.
            if (at.rank != Queue::kNothing)
                load_keys(range.last_key);
            queries.wait_empty();
            if (claims)
            {
                items[0] = at;
                queries.announce();
            }
            if (at.rank == Queue::kNothing)
            {
                queries.publish();
                return;
            }
            QueryTile::template load<128>(queries.data(), q + sequence_row * q_pitch + at.head * kHeadSize, q_pitch, range.query, S::kSequence);
            QueryTile::template load<128>(
                queries.data() + QueryTile::kBytes, d_o + sequence_row * d_o_pitch + at.head * kHeadSize, d_o_pitch, range.query, S::kSequence);
            queries.publish();
            #pragma unroll 1
            for (int key = range.last_key - kKeys; key >= range.first_key; key -= kKeys)
                load_keys(key);
        }
    }

    template <class E>
    static __device__ __forceinline__ void consume(
        const float* lse, const float* delta, float scale, QueryRing queries, KeyRing keys, KeyRing values, const Item* items, int group, E& dq)
    {
        const int warp_row = group * 64 + __shfl_sync(kAllLanes, threadIdx.x / kWarpSize % 4, 0) * kWarpRows;    // uniform, and known to be
        #pragma unroll 1
        while (true)
        {
            queries.wait_full();
            const Item at = items[0];
            if (at.rank == Queue::kNothing)
                break;
            const Range range{at.rank};
            const int token = at.batch * S::kSequence;
            float row_lse[2], row_delta[2];
            #pragma unroll
            for (int half = 0; half < 2; ++half)
            {
                const int query = range.query + warp_row + fragment_row(2 * half);
                const i64 row = (i64)(token + query) * S::kQueryHeads + at.head;
                row_lse[half] = query < S::kSequence ? lse[row] * kLog2E : 0.0f;
                row_delta[half] = query < S::kSequence ? delta[row] : 0.0f;
            }
            const u64 query_rows = QueryTile::by_head(queries.data(), group * 64);
            const u64 gradient_rows = QueryTile::by_head(queries.data() + QueryTile::kBytes, group * 64);
            float acc[kHeadSize / 2], p[kKeys / 2], ds[kKeys / 2];
            u32 ds_half[kKeys / 4];
            clear(acc);

            #pragma unroll 1
            for (int key = range.last_key; key >= range.first_key; key -= kKeys)
            {
                keys.wait_full();
                values.wait_full();
                ptx::fence_proxy_async();
                start_by_head<QueryTile, KeyTile, kHeadSize>(p, query_rows, KeyTile::by_head(keys.data()));
                ptx::wgmma_wait<1>();    // for the step before; dP goes where its dS was
                if (key < range.last_key)
                    keys.release_previous();
                start_by_head<QueryTile, KeyTile, kHeadSize>(ds, gradient_rows, KeyTile::by_head(values.data()));
                ptx::wgmma_wait<1>();
                hold(p);
                #pragma unroll
                for (int i = 0; i < kKeys / 2; ++i)
                    p[i] = exp2_(p[i] * (scale * kLog2E) - row_lse[i / 2 % 2]);
                hold_until(p);
                ptx::wgmma_wait<0>();
                hold(ds);
                values.release();
                if (key == range.first_key)
                    queries.release();
                #pragma unroll
                for (int i = 0; i < kKeys / 2; ++i)
                    ds[i] = p[i] * (ds[i] - row_delta[i / 2 % 2]);
                if (!S::all_visible(range.query + group * 64, 64, key, kKeys))
                    mask(ds, range.query + warp_row, key);
                pack<T>(ds_half, ds);
                start_by_rows<KeyTile, kHeadSize>(acc, ds_half, KeyTile::by_rows(keys.data()));
                keys.advance();
            }
            ptx::wgmma_wait<0>();
            hold(acc);
            keys.release_previous();

            #pragma unroll
            for (int i = 0; i < kHeadSize / 2; ++i)
                acc[i] *= scale;
            write_output<S>(dq, acc, token, range.query + warp_row, at.head * kHeadSize);
            FP8LM_COUNTED(__syncwarp(); dq.flush();)
        }
        __syncwarp();
        dq.finish();
    }

    static __device__ __forceinline__ void mask(float (&ds)[kKeys / 2], int first_query, int first_key)
    {
        #pragma unroll
        for (int half = 0; half < 2; ++half)
        {
            // Column of the query's own key, relative to this lane's.
            const int own = first_query + fragment_row(2 * half) - first_key - fragment_col(0, 0);
            #pragma unroll
            for (int i = 2 * half; i < kKeys / 2; i += 4)
                #pragma unroll
                for (int j = 0; j < 2; ++j)
                {
                    const int column = i / 4 * 8 + j;
                    if (column > own || (S::kWindow > 0 && column <= own - S::kWindow))
                        ds[i + j] = 0.0f;
                }
        }
    }
};

}  // namespace fp8lm::attention
