#pragma once
#include <fp8lm/epilogue/fragment.cuh>
#include <fp8lm/gemm/config.cuh>
#include <fp8lm/gemm/schedule.cuh>
#include <fp8lm/ptx/mbarrier.cuh>
#include <fp8lm/ptx/registers.cuh>
#include <fp8lm/ptx/tma.cuh>
#include <fp8lm/ptx/wgmma.cuh>

// acc[M, N] = A * B^T on tensor cores, handed to an epilogue. Persistent and warp-specialised: one warpgroup feeds a ring of shared-memory
// stages by TMA, the others multiply, 64 rows of the tile each, and apply the epilogue to their registers.
namespace fp8lm::gemm {

// Position in the ring of stages; the parity flips with every round.
template <int kStages> struct Ring
{
    u32 full, empty;    // addresses of the first barrier of each kind
    int stage = 0;
    u32 parity = 0;

    __device__ u32 full_barrier() const { return full + 8 * stage; }
    __device__ u32 empty_barrier() const { return empty + 8 * stage; }
    __device__ u32 previous_empty_barrier() const { return empty + 8 * (stage == 0 ? kStages - 1 : stage - 1); }

    __device__ void advance()
    {
        if (++stage == kStages)
        {
            stage = 0;
            parity ^= 1;
        }
    }
};

template <class O, bool kKMajor, int kRowsOfTile>
__device__ __forceinline__ void load_operand(u32 destination, const TensorMap& map, int row, int k, u32 barrier)
{
    if constexpr (kKMajor)
        ptx::tma_load(destination, map, k, row, barrier);
    else
        for (int group = 0; group < kRowsOfTile / 64; ++group)
            ptx::tma_load(destination + group * O::kGroupBytes, map, row + 64 * group, k, barrier);
}

template <class Config>
__device__ __forceinline__ void produce(const TensorMap& a, const TensorMap& b, Schedule schedule, int k, u32 stages, Ring<Config::kStages> ring)
{
    const int blocks_k = ceil_div(k, Config::kBlockK);
    #pragma unroll 1
    for (int index = blockIdx.x; index < schedule.count(); index += gridDim.x)
    {
        const Tile tile = schedule.tile(index);
        #pragma unroll 1
        for (int block = 0; block < blocks_k; ++block, ring.advance())
        {
            ptx::mbarrier_wait(ring.empty_barrier(), ring.parity ^ 1);    // the first round finds all stages empty
            ptx::mbarrier_arrive_expect(ring.full_barrier(), Config::kStageBytes);
            const u32 to_a = stages + ring.stage * Config::kStageBytes, to_b = to_a + Config::OperandA::kBytes;
            load_operand<typename Config::OperandA, Config::kAIsKMajor, Config::kTileM>(
                to_a, a, tile.m * Config::kTileM, block * Config::kBlockK, ring.full_barrier());
            load_operand<typename Config::OperandB, Config::kBIsKMajor, Config::kTileN>(
                to_b, b, tile.n * Config::kTileN, block * Config::kBlockK, ring.full_barrier());
        }
    }
}

// The four multiplies over 128 bytes of K of one stage.
template <class Config, bool kFresh>
__device__ __forceinline__ void multiply_stage(float (&acc)[Config::kTileN / 2], u64 a, u64 b)
{
    using ptx::Wgmma;
    using A = typename Config::ElementA;
    using B = typename Config::ElementB;
    constexpr bool kTransposeA = !Config::kAIsKMajor, kTransposeB = !Config::kBIsKMajor;
    ptx::wgmma_fence();
    Wgmma<A, B, Config::kTileN, !kFresh, kTransposeA, kTransposeB>::run(acc, a, b);
    #pragma unroll
    for (int step = 1; step < 4; ++step)
        Wgmma<A, B, Config::kTileN, true, kTransposeA, kTransposeB>::run(
            acc, a + step * Config::OperandA::kStepK, b + step * Config::OperandB::kStepK);
    ptx::wgmma_commit();
}

template <class Config, class E>
__device__ __forceinline__ void consume(Schedule schedule, int m, int n, int k, u32 stages, Ring<Config::kStages> ring, int group, E& e)
{
    const int blocks_k = ceil_div(k, Config::kBlockK);
    const int warp = threadIdx.x / kWarpSize % 4;
    const bool elected = threadIdx.x % kWarpSize == 0;
    #pragma unroll 1
    for (int index = blockIdx.x; index < schedule.count(); index += gridDim.x)
    {
        const Tile tile = schedule.tile(index);
        float acc[Config::kTileN / 2];
        #pragma unroll
        for (int i = 0; i < Config::kTileN / 2; ++i)
            acc[i] = 0.0f;

        #pragma unroll 1
        for (int block = 0; block < blocks_k; ++block, ring.advance())
        {
            ptx::mbarrier_wait(ring.full_barrier(), ring.parity);
            const u32 at_a = stages + ring.stage * Config::kStageBytes;
            const u64 a = mma::descriptor(Config::OperandA::kBase, at_a + group * Config::OperandA::kGroupBytes);
            const u64 b = mma::descriptor(Config::OperandB::kBase, at_a + Config::OperandA::kBytes);
            if constexpr (Config::kPromotes)
            {
                float partial[Config::kTileN / 2];
                multiply_stage<Config, true>(partial, a, b);
                ptx::wgmma_wait<0>();
                if (elected)
                    ptx::mbarrier_arrive(ring.empty_barrier());
                #pragma unroll
                for (int i = 0; i < Config::kTileN / 2; ++i)
                    acc[i] += partial[i];
            }
            else
            {
                // One batch stays in flight: the stage before this one is read for good once at most this batch is pending.
                multiply_stage<Config, false>(acc, a, b);
                ptx::wgmma_wait<1>();
                if (block > 0 && elected)
                    ptx::mbarrier_arrive(ring.previous_empty_barrier());
            }
        }
        if constexpr (!Config::kPromotes)
        {
            ptx::wgmma_wait<0>();
            if (elected)
                ptx::mbarrier_arrive(ring.previous_empty_barrier());
        }

        epilogue::apply_fragments<Config::kTileN / 8>(
            e, [&](int j, int i) { return acc[4 * j + i]; }, tile.m * Config::kTileM + group * 64 + warp * 16, tile.n * Config::kTileN, m, n);
    }
    e.finish();
}

// A: [M, K], B: [N, K] (or [K, M], [K, N]) behind tensor maps whose boxes match Config. Grid: any number of blocks.
template <class Config, class E>
__device__ __forceinline__ void run(const TensorMap& a, const TensorMap& b, int m, int n, int k, E& e)
{
    extern __shared__ u8 shared[];
    const u32 stages = ceil_div(ptx::shared_address(shared), (u32)Config::kAlignmentSlack) * Config::kAlignmentSlack;
    const u32 full = stages + Config::kStages * Config::kStageBytes, empty = full + 8 * Config::kStages;
    if (threadIdx.x == 0)
    {
        ptx::prefetch_tensor_map(a);
        ptx::prefetch_tensor_map(b);
        for (int stage = 0; stage < Config::kStages; ++stage)
        {
            ptx::mbarrier_init(full + 8 * stage, 1);
            ptx::mbarrier_init(empty + 8 * stage, 4 * Config::kConsumers);    // one arrival per consumer warp
        }
        ptx::fence_mbarrier_init();
    }
    __syncthreads();

    const Schedule schedule = Schedule::make<Config>(m, n);
    const Ring<Config::kStages> ring{full, empty};
    const int group = __shfl_sync(kAllLanes, threadIdx.x / 128, 0);    // uniform, and known to be
    if (group == Config::kConsumers)
    {
        ptx::release_registers<Config::kProducerRegisters>();
        if (threadIdx.x % 128 == 0)
            produce<Config>(a, b, schedule, k, stages, ring);
    }
    else
    {
        ptx::acquire_registers<Config::kConsumerRegisters>();
        consume<Config>(schedule, m, n, k, stages, ring, group, e);
    }
}

}  // namespace fp8lm::gemm
