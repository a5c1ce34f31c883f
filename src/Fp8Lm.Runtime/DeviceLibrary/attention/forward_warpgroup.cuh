#pragma once
#include <fp8lm/attention/output.cuh>
#include <fp8lm/attention/panel_product.cuh>
#include <fp8lm/attention/ring.cuh>
#include <fp8lm/attention/softmax.cuh>
#include <fp8lm/attention/work_queue.cuh>
#include <fp8lm/ptx/named_barrier.cuh>
#include <fp8lm/ptx/proxy.cuh>
#include <fp8lm/ptx/registers.cuh>

namespace fp8lm::attention {

// O = softmax(scale * Q K^T + mask) V for 16-bit heads of 64 and 128, by wgmma. q, k, v: [tokens, heads, headSize] with a pitch per token;
// lse: [tokens, queryHeads] f32, natural logarithm of the sum of exponentials of the scaled logits. Assigns.
// Persistent and warp-specialised: one warpgroup copies, the others have 64 queries each of the block's. Keys go from the diagonal down, so
// every row meets a visible key first. Inside a warpgroup the softmax of a block of keys runs while the values of the block before are
// multiplied; between warpgroups named barriers pass the tensor cores around, so that one's softmax runs under another's products.
template <class S> struct WarpgroupForward
{
    using T = typename S::Element;
    static constexpr int kHeadSize = S::kHeadSize;
    static constexpr int kStreams = kHeadSize == 64 ? 2 : 1;
    static constexpr int kGroups = 2;    // consumer warpgroups of a stream
    static constexpr int kQueries = 64 * kGroups;
    static constexpr int kKeys = kStreams == 2 ? 64 : 128;
    static constexpr int kStages = kHeadSize == 64 ? 4 : 2;
    static constexpr int kProducers = 128 / kStreams;
    static constexpr int kThreads = 128 * (1 + kStreams * kGroups);
    static constexpr int kTileM = 0, kTileN = 0, kBlocks = 0;
    // 128 * (producer + consumers * each) registers are what the block starts with; more would wait for ever.
    static constexpr int kProducerRegisters = kStreams == 2 ? 32 : 40, kConsumerRegisters = kStreams == 2 ? 112 : 232;
    static constexpr bool kTurns = kStreams == 1;

    using QueryTile = PanelTile<T, kQueries, kHeadSize>;
    using KeyTile = PanelTile<T, kKeys, kHeadSize>;
    using QueryRing = Ring<2, QueryTile::kBytes>;
    using KeyRing = Ring<kStages, KeyTile::kBytes>;
    using Queue = WorkQueue<S, kQueries, S::kQueryHeads>;
    using Item = typename Queue::Item;
    static constexpr int kAlignmentSlack = 1024;    // the swizzle pattern repeats every 1024 bytes of address
    static constexpr int kTileBytes = QueryRing::kBytes + 2 * KeyRing::kBytes;
    static constexpr int kStateBytes = QueryRing::kBarrierBytes + 2 * KeyRing::kBarrierBytes + 2 * sizeof(Item);
    static constexpr int kSharedBytes = kAlignmentSlack + kStreams * (kTileBytes + kStateBytes);

    static constexpr int kProducerBarrier = 1, kTurnBarrier = 3;

    // Where a block of queries begins, and its keys: from end down to first, in blocks of kKeys.
    struct Range
    {
        int query, first_key, last_key;

        __device__ Range(int rank)
            : query((Queue::kRanks - 1 - rank) * kQueries), first_key(S::first_key(query) / kKeys * kKeys),
              last_key(key_of(query + kQueries))
        {
        }

        // The first block that the queries of a warpgroup see; those above are not for it.
        __device__ int own_key(int group) const { return key_of(query + (group + 1) * 64); }

        static __device__ int key_of(int query_end) { return (min(query_end, S::kSequence) - 1) / kKeys * kKeys; }
    };

    template <class E>
    static __device__ __forceinline__ void run(
        const T* q, i64 q_pitch, const T* k, i64 k_pitch, const T* v, i64 v_pitch, float* lse, float scale, E& e)
    {
        check_epilogue<S, E>();
        extern __shared__ u8 dynamic[];
        const int group = __shfl_sync(kAllLanes, threadIdx.x / 128, 0);    // uniform, and known to be
        const bool produces = group == kStreams * kGroups;
        const int stream = kStreams == 1 ? 0 : produces ? __shfl_sync(kAllLanes, threadIdx.x % 128 / kProducers, 0) : group / kGroups;
        const u32 tiles = ceil_div(ptx::shared_address(dynamic), (u32)kAlignmentSlack) * kAlignmentSlack;
        const u32 memory = tiles + stream * kTileBytes, barriers = tiles + kStreams * kTileBytes + stream * kStateBytes;
        QueryRing queries{memory, barriers};
        KeyRing keys{memory + QueryRing::kBytes, barriers + QueryRing::kBarrierBytes};
        KeyRing values{keys.memory + KeyRing::kBytes, keys.barriers + KeyRing::kBarrierBytes};
        Item* const items = reinterpret_cast<Item*>(dynamic + (values.barriers + KeyRing::kBarrierBytes - ptx::shared_address(dynamic)));
        if (produces && threadIdx.x % kProducers == 0)
        {
            queries.init(kProducers + 1, 4 * kGroups);
            keys.init(kProducers, 4 * kGroups);
            values.init(kProducers, 4 * kGroups);
            ptx::fence_mbarrier_init();
        }
        epilogue::begin(e);
        __syncthreads();
        if (produces)
        {
            ptx::release_registers<kProducerRegisters>();
            produce(q, q_pitch, k, k_pitch, v, v_pitch, queries, keys, values, items, kProducerBarrier + stream);
        }
        else
        {
            ptx::acquire_registers<kConsumerRegisters>();
            consume(lse, scale * kLog2E, queries, keys, values, items, group % kGroups, e);
        }
    }

    static __device__ __forceinline__ void produce(
        const T* q, i64 q_pitch, const T* k, i64 k_pitch, const T* v, i64 v_pitch, QueryRing queries, KeyRing keys, KeyRing values, Item* items,
        int barrier)
    {
        const bool claims = threadIdx.x % kProducers == 0;
        #pragma unroll 1
        while (true)
        {
            const int claimed = claims ? Queue::template claim<kStreams>() : 0;    // while the consumers are still busy with what is in flight
            queries.wait_empty();
            if (claims)
            {
                items[queries.stage] = Queue::at(claimed);
                queries.announce();
            }
            ptx::barrier_sync<kProducers>(barrier);
            const Item at = items[queries.stage];
            if (at.rank == Queue::kNothing)
            {
                queries.publish();
                return;
            }
            const Range range{at.rank};
            const i64 sequence_row = (i64)at.batch * S::kSequence;
            const int kv_head = at.head / S::kGroup;
            const T* const from_k = k + sequence_row * k_pitch + kv_head * kHeadSize;
            const T* const from_v = v + sequence_row * v_pitch + kv_head * kHeadSize;
            QueryTile::template load<kProducers>(queries.data(), q + sequence_row * q_pitch + at.head * kHeadSize, q_pitch, range.query, S::kSequence);
            queries.publish();
            #pragma unroll 1
            for (int key = range.last_key; key >= range.first_key; key -= kKeys)
            {
                keys.wait_empty();
                KeyTile::template load<kProducers>(keys.data(), from_k, k_pitch, key, S::kSequence);
                keys.publish();
                values.wait_empty();
                KeyTile::template load<kProducers>(values.data(), from_v, v_pitch, key, S::kSequence);
                values.publish();
            }
        }
    }

    template <class E>
    static __device__ __forceinline__ void consume(
        float* lse, float scale, QueryRing queries, KeyRing keys, KeyRing values, const Item* items, int group, E& e)
    {
        const int warp_row = group * 64 + __shfl_sync(kAllLanes, threadIdx.x / kWarpSize % 4, 0) * kWarpRows;    // uniform, and known to be
        float s[kKeys / 2], output[kHeadSize / 2], factor[2];
        u32 p[kKeys / 4];
        // The first products of an item start before the one before is finished. Without a next item they are of whatever is there.
        const auto begin = [&](const Item& at) {
            if (at.rank != Queue::kNothing)
            {
                const Range range{at.rank};
                #pragma unroll 1
                for (int key = range.last_key; key > range.own_key(group); key -= kKeys)
                {
                    keys.wait_full();
                    keys.release();
                }
                keys.wait_full();
            }
            ptx::fence_proxy_async();
            start_by_head<QueryTile, KeyTile, kHeadSize>(s, QueryTile::by_head(queries.data(), group * 64), KeyTile::by_head(keys.data()));
        };
        if (kTurns && group > 0)
            ptx::barrier_arrive<256>(kTurnBarrier);    // the first turn is group 0's
        queries.wait_full();
        Item at = items[queries.stage];
        begin(at);
        ptx::wgmma_wait<0>();
        #pragma unroll 1
        while (at.rank != Queue::kNothing)
        {
            const Range range{at.rank};
            const u64 query_rows = QueryTile::by_head(queries.data(), group * 64);
            OnlineSoftmax softmax;
            clear(output);
            int key = range.own_key(group);
            #pragma unroll 1
            for (int skipped = range.last_key; skipped > key; skipped -= kKeys)
            {
                values.wait_full();
                values.release();
            }
            hold(s);
            keys.release();
            mask(s, range.query + warp_row, key);
            softmax.update(s, scale, factor);
            pack<T>(p, s);

            auto step = [&](auto masked) {
                keys.wait_full();
                values.wait_full();
                ptx::fence_proxy_async();
                if constexpr (kTurns)
                    ptx::barrier_sync<256>(kTurnBarrier + group);
                start_by_head<QueryTile, KeyTile, kHeadSize>(s, query_rows, KeyTile::by_head(keys.data()));
                start_by_rows<KeyTile, kHeadSize>(output, p, KeyTile::by_rows(values.data()));
                if constexpr (kTurns)
                    ptx::barrier_arrive<256>(kTurnBarrier + (group ^ 1));
                ptx::wgmma_wait<1>();
                hold(s);
                keys.release();
                if constexpr (decltype(masked)::kValue)
                    mask(s, range.query + warp_row, key);
                softmax.update(s, scale, factor);
                hold_until(softmax.sum[0] + softmax.sum[1]);
                ptx::wgmma_wait<0>();
                hold(output);
                values.release();
                pack<T>(p, s);
                #pragma unroll
                for (int i = 0; i < kHeadSize / 2; ++i)
                    output[i] *= factor[i / 2 % 2];
            };
            // Below the diagonal nothing is masked until keys fall out of the window of the block's last query.
            key -= kKeys;
            const int window_key = S::kWindow == 0 ? range.first_key : max(range.first_key, range.query + kQueries - S::kWindow);
            #pragma unroll 1
            for (; key >= window_key; key -= kKeys)
                step(Flag<false>{});
            if constexpr (S::kWindow > 0)
            {
                #pragma unroll 1
                for (; key >= range.first_key; key -= kKeys)
                    step(Flag<true>{});
            }
            queries.release();
            values.wait_full();
            ptx::fence_proxy_async();
            start_by_rows<KeyTile, kHeadSize>(output, p, KeyTile::by_rows(values.data()));
            softmax.finish();
            queries.wait_full();
            const Item next = items[queries.stage];
            begin(next);
            ptx::wgmma_wait<1>();
            hold(output);
            values.release();

            const int token = at.batch * S::kSequence, row = range.query + warp_row;
            #pragma unroll
            for (int half = 0; half < 2; ++half)
            {
                const float inverse = 1.0f / softmax.sum[half];
                #pragma unroll
                for (int i = 2 * half; i < kHeadSize / 2; i += 4)
                {
                    output[i] *= inverse;
                    output[i + 1] *= inverse;
                }
                const int query = row + fragment_row(2 * half);
                if (threadIdx.x % 4 == 0 && query < S::kSequence)
                    lse[(i64)(token + query) * S::kQueryHeads + at.head] = softmax.maximum[half] * kLn2 + logf(softmax.sum[half]);
            }
            write_output<S>(e, output, token, row, at.head * kHeadSize);
            FP8LM_COUNTED(__syncwarp(); e.flush();)
            ptx::wgmma_wait<0>();
            at = next;
        }
        __syncwarp();
        e.finish();
    }

    // Queries past the end of the sequence are not masked; they are not stored.
    static __device__ __forceinline__ void mask(float (&s)[kKeys / 2], int first_query, int first_key)
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
                        s[i + j] = -infinity();
                }
        }
    }
};

}  // namespace fp8lm::attention
