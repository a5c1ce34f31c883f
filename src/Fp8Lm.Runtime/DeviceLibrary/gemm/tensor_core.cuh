#pragma once
#include <fp8lm/epilogue/fragment.cuh>
#include <fp8lm/gemm/block_scales.cuh>
#include <fp8lm/gemm/split.cuh>
#include <fp8lm/ptx/registers.cuh>
#include <fp8lm/ptx/tma.cuh>
#include <fp8lm/ptx/wgmma.cuh>

// acc[M, N] = A * B^T on tensor cores, handed to an epilogue. Persistent and warp-specialised: one warpgroup feeds a ring of shared-memory
// stages by TMA, the others multiply and apply the epilogue to their registers.
namespace fp8lm::gemm {

template <class O, bool kKMajor, int kRowsOfTile, bool kGroups = false>
__device__ __forceinline__ void load_operand(u32 destination, const TensorMap& map, int row, int k, u32 barrier)
{
    if constexpr (kGroups)
        ptx::tma_load_groups(destination, map, k, row / 32, barrier);
    else if constexpr (kKMajor)
        ptx::tma_load(destination, map, k, row, barrier);
    else
        for (int panel = 0; panel < kRowsOfTile / 64; ++panel)
            ptx::tma_load(destination + panel * O::kGroupBytes, map, row + 64 * panel, k, barrier);
}

// A warp: its first lane feeds the ring, all ask for what the epilogue of the tile will read.
template <class Config, class E>
__device__ __forceinline__ void produce(const TensorMap& a, const TensorMap& b, const ScaleAddresses& scales, Ring<Config> ring, const E& e)
{
    using Tiles = Schedule<Config>;
    const int lane = threadIdx.x % kWarpSize;
    const BlocksOfK blocks = blocks_of_k<Config>();
    #pragma unroll 1
    for (int index = Tiles::first(); index < Tiles::kTiles; index += Tiles::stride())
    {
        const Position tile = Tiles::position(index);
        if constexpr (sizeof(typename E::Inputs) > 1)
        {
            const int columns = min(Config::kColumns, Config::kColumnEnd - tile.col);
            #pragma unroll 1
            for (int row = tile.row + kWarpSize * blocks.rank + lane; row < min(tile.row + Config::kRows, Config::kRowEnd); row += Config::kSplit * kWarpSize)
                e.prefetch(row, tile.col, columns);
        }
        if (lane == 0)
            #pragma unroll 1
            for (int block = blocks.first; block < blocks.first + blocks.count; ++block, ring.advance())
            {
                ptx::mbarrier_wait(ring.empty(), ring.parity ^ 1);    // the first round finds all stages empty
                if constexpr (Config::kBlockScaled)
                {
                    ptx::mbarrier_arrive_expect(ring.full(), Config::kStageBytes + scale_bytes<Config>(tile));
                    load_scales<Config>(ring, scales, tile, block);
                }
                else
                    ptx::mbarrier_arrive_expect(ring.full(), Config::kStageBytes);
                load_operand<typename Config::OperandA, Config::kAIsKMajor, Config::kRows>(
                    ring.tile_a(), a, tile.row, block * Config::kBlockK, ring.full());
                load_operand<typename Config::OperandB, Config::kBIsKMajor, Config::kColumns, Config::kAdjacent>(
                    ring.tile_b(), b, tile.col, block * Config::kBlockK, ring.full());
            }
        __syncwarp();
        if constexpr (Config::kSplit > 1)
            stand_by();
    }
}

// The four multiplies over 128 bytes of K of one stage.
template <class Config, bool kFresh>
__device__ __forceinline__ void multiply_stage(float (&acc)[Config::kAccumulators], u64 a, u64 b)
{
    using ptx::Wgmma;
    using A = typename Config::ElementA;
    using B = typename Config::ElementB;
    constexpr bool kTransposeA = !Config::kAIsKMajor, kTransposeB = !Config::kBIsKMajor;
    Wgmma<A, B, Config::kColumns, !kFresh, kTransposeA, kTransposeB>::run(acc, a, b);
    #pragma unroll
    for (int step = 1; step < 4; ++step)
        Wgmma<A, B, Config::kColumns, true, kTransposeA, kTransposeB>::run(
            acc, a + step * Config::OperandA::kStepK, b + step * Config::OperandB::kStepK);
}

// All of the block's K for this warpgroup's slabs, whose first is first_slab of the tile. In turn: tells the other consumer when it has seen all stages.
// column: the tile's first.
template <class Config>
__device__ __forceinline__ void multiply_tile(
    float (&acc)[Config::kSlabs][Config::kAccumulators], Ring<Config>& ring, int first_slab, u32 next_turn, const ScaleAddresses& scales, int column)
{
    #pragma unroll
    for (int slab = 0; slab < Config::kSlabs; ++slab)
        #pragma unroll
        for (int i = 0; i < Config::kAccumulators; ++i)
            acc[slab][i] = 0.0f;

    // ptxas wants to see a loop: in straight code it takes the zeros for a second writer of the accumulators and serialises the multiplies (C7515).
    int blocks = blocks_of_k<Config>().count;
    __builtin_assume(blocks > 0);
    if constexpr (Config::kBlocksK == 1)
        asm volatile("" : "+r"(blocks));
    u32 previous = 0;
    #pragma unroll 1
    for (int block = 0; block < blocks; ++block, ring.advance())
    {
        [[maybe_unused]] float square = 1.0f;
        if constexpr (Config::kScales == BlockScales::Squares)
            square = scales.square(column, block);    // on its way while the barrier and the multiplies take their time
        ptx::mbarrier_wait(ring.full(), ring.parity);
        if (Config::kInTurn && block == Config::kBlocksK - 1 && threadIdx.x % kWarpSize == 0)
            ptx::mbarrier_arrive(next_turn);
        const u64 a = mma::descriptor(Config::OperandA::kBase, ring.tile_a() + first_slab * Config::OperandA::kGroupBytes);
        const u64 b = mma::descriptor(Config::OperandB::kBase, ring.tile_b());
        constexpr u64 kNextSlab = Config::OperandA::kGroupBytes >> 4;
        if constexpr (Config::kBlockScaled)
        {
            #pragma unroll
            for (int slab = 0; slab < Config::kSlabs; ++slab)
            {
                const u32 rows = ring.scales_a() + 4 * (64 * (first_slab + slab) + threadIdx.x % 128 / kWarpSize * 16 + threadIdx.x % kWarpSize / 4);
                const float low = shared_float(rows), high = shared_float(rows + 32);
                float partial[Config::kAccumulators];
                ptx::wgmma_fence();
                multiply_stage<Config, true>(partial, a + slab * kNextSlab, b);
                ptx::wgmma_commit();
                ptx::wgmma_wait<0>();
                if constexpr (Config::kScales == BlockScales::Squares)
                    promote_squares<Config>(acc[slab], partial, low * square, high * square);
                else
                    promote_rows<Config>(acc[slab], partial, low, high, ring.scales_b());
            }
            __syncwarp();    // all lanes have read their scales
            ring.release(ring.empty());
        }
        else if constexpr (Config::kPromotes)
        {
            #pragma unroll
            for (int slab = 0; slab < Config::kSlabs; ++slab)
            {
                float partial[Config::kAccumulators];
                ptx::wgmma_fence();
                multiply_stage<Config, true>(partial, a + slab * kNextSlab, b);
                ptx::wgmma_commit();
                ptx::wgmma_wait<0>();
                if (slab == Config::kSlabs - 1)
                    ring.release(ring.empty());
                #pragma unroll
                for (int i = 0; i < Config::kAccumulators; ++i)
                    acc[slab][i] += partial[i];
            }
        }
        else
        {
            // One batch stays in flight: the stage before this one is read for good once at most this batch is pending.
            ptx::wgmma_fence();
            #pragma unroll
            for (int slab = 0; slab < Config::kSlabs; ++slab)
                multiply_stage<Config, false>(acc[slab], a + slab * kNextSlab, b);
            ptx::wgmma_commit();
            ptx::wgmma_wait<1>();
            if (block > 0)
                ring.release(previous);
            previous = ring.empty();
        }
    }
    if constexpr (!Config::kPromotes)
    {
        ptx::wgmma_wait<0>();
        ring.release(previous);
    }
}

template <class Config, class E> __device__ __forceinline__ void consume(Ring<Config> ring, int group, const ScaleAddresses& scales, E& e)
{
    using Tiles = Schedule<Config>;
    const int warp = __shfl_sync(kAllLanes, threadIdx.x / kWarpSize % 4, 0);    // uniform, and known to be: bounds of rows do not part its lanes
    const int first_slab = Config::kTogether ? group * Config::kSlabs : 0;
    u32 turn_parity = group == 0 ? 1 : 0;    // the first turn of the first consumer has come
    if (Config::kInTurn && group == 1)
        ring.skip_tile();
    #pragma unroll 1
    for (int index = Tiles::first(group); index < Tiles::kTiles; index += Tiles::stride_of_consumer())
    {
        const Position tile = Tiles::position(index);
        [[maybe_unused]] const epilogue::KeptColumns kept{ring.columns(group, warp)};
        if constexpr (Config::kKeepsColumns)
            kept.fill<Config::kColumns>(e, tile.col, Config::kColumnEnd);
        float acc[Config::kSlabs][Config::kAccumulators];
        if constexpr (Config::kInTurn)
        {
            ptx::mbarrier_wait(ring.turn(group), turn_parity);
            turn_parity ^= 1;
        }
        multiply_tile<Config>(acc, ring, first_slab, ring.turn(group ^ 1), scales, tile.col);
        if constexpr (Config::kInTurn)
            ring.skip_tile();
        constexpr int kTiles = Config::kColumns / 8;
        const int row = tile.row + 64 * first_slab + 16 * warp;
        const auto apply = [&](const auto& turns, const auto& columns) {
            if constexpr (Config::kSplit > 1)
            {
                const SharedTile<Config> shared(acc, ring.shared);
                shared.apply(e, row, tile.col, turns, columns);
                shared.finish();
            }
            else
                epilogue::apply_fragments<kTiles, Config::kSlabs, false, Config::kAdjacent, Config::kReads>(
                    e, [&](int j, int i) { return acc[j / kTiles][4 * (j % kTiles) + i]; }, row, tile.col, Config::kRowEnd, Config::kColumnEnd, turns, columns);
        };
        const auto apply_turned = [&](const auto& turns) {
            if constexpr (Config::kKeepsColumns)
                apply(turns, kept);
            else
                apply(turns, epilogue::DirectColumns{});
        };
        if constexpr (Config::kStagesTurns)
            apply_turned(epilogue::StagedTurns{ring.turned(group), 1 + group, warp});
        else
            apply_turned(epilogue::DirectTurns{});
        FP8LM_COUNTED(__syncwarp(); e.flush();)
    }
    e.finish();
}

// a, b: tensor maps whose boxes match Config; scales are read where Config has some. Grid: any number of blocks.
template <class Config, class E> __device__ __forceinline__ void run(const TensorMap& a, const TensorMap& b, const ScaleAddresses& scales, E& e)
{
    extern __shared__ u8 shared[];
    const Ring<Config> ring{ceil_div(ptx::shared_address(shared), (u32)Config::kAlignmentSlack) * Config::kAlignmentSlack};
    if (threadIdx.x == 0)
    {
        ptx::prefetch_tensor_map(a);
        ptx::prefetch_tensor_map(b);
        ring.init();
    }
    epilogue::begin(e);
    __syncthreads();

    const int group = __shfl_sync(kAllLanes, threadIdx.x / 128, 0);    // uniform, and known to be
    if (group == Config::kConsumers)
    {
        ptx::release_registers<Config::kProducerRegisters>();
        if (threadIdx.x % 128 < kWarpSize)
            produce<Config>(a, b, scales, ring, e);
        else if constexpr (Config::kSplit > 1)
            #pragma unroll 1
            for (int index = Schedule<Config>::first(); index < Schedule<Config>::kTiles; index += Schedule<Config>::stride())
                stand_by();
    }
    else
    {
        ptx::acquire_registers<Config::kConsumerRegisters>();
        consume<Config>(ring, group, scales, e);
    }
}

template <class Config, class E> __device__ __forceinline__ void run(const TensorMap& a, const TensorMap& b, E& e) { run<Config>(a, b, ScaleAddresses{}, e); }

}  // namespace fp8lm::gemm
