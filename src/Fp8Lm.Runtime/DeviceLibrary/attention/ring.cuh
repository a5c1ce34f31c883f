#pragma once
#include <fp8lm/common/types.cuh>
#include <fp8lm/ptx/cp_async.cuh>
#include <fp8lm/ptx/mbarrier.cuh>

namespace fp8lm::attention {

// Stages of shared memory that producer threads fill by cp.async and consumer warps read by wgmma. Every role has a copy of its own.
template <int kStages, int kBytesOfStage> struct Ring
{
    static constexpr int kStageBytes = kBytesOfStage;
    static constexpr int kBytes = kStages * kStageBytes;
    static constexpr int kBarrierBytes = 2 * kStages * 8;

    u32 memory, barriers;
    int stage = 0;
    u32 parity = 0;

    __device__ Ring(u32 memory, u32 barriers) : memory(memory), barriers(barriers) {}

    // By one thread, before a block-wide barrier. producers counts the threads that publish, and one more where a stage is announced.
    __device__ void init(int producers, int consumer_warps) const
    {
        for (int i = 0; i < kStages; ++i)
        {
            ptx::mbarrier_init(barriers + 16 * i, producers);
            ptx::mbarrier_init(barriers + 16 * i + 8, consumer_warps);
        }
    }

    __device__ u32 data() const { return memory + stage * kStageBytes; }

    __device__ void wait_empty() const { ptx::mbarrier_wait(barriers + 16 * stage + 8, parity ^ 1); }
    __device__ void publish()
    {
        ptx::cp_async_arrive(barriers + 16 * stage);
        advance();
    }

    // What this thread has written itself is there for who has waited; publish says that of its copies only.
    __device__ void announce() const { ptx::mbarrier_arrive(barriers + 16 * stage); }

    // The copies were ordinary writes as far as wgmma is concerned: whoever has seen them arrive calls fence_proxy_async before multiplying.
    __device__ void wait_full() const { ptx::mbarrier_wait(barriers + 16 * stage, parity); }
    // Lane 0 speaks for what all lanes have read.
    __device__ void release()
    {
        __syncwarp();
        if (threadIdx.x % kWarpSize == 0)
            ptx::mbarrier_arrive(barriers + 16 * stage + 8);
        advance();
    }

    // For a stage that was left by advance while multiplies still read it.
    __device__ void release_previous() const
    {
        __syncwarp();
        if (threadIdx.x % kWarpSize == 0)
            ptx::mbarrier_arrive(barriers + 16 * (stage == 0 ? kStages - 1 : stage - 1) + 8);
    }

    __device__ void advance()
    {
        if (++stage == kStages)
        {
            stage = 0;
            parity ^= 1;
        }
    }
};

}  // namespace fp8lm::attention
