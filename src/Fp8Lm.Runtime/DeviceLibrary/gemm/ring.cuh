#pragma once
#include <fp8lm/gemm/config.cuh>
#include <fp8lm/ptx/mbarrier.cuh>

namespace fp8lm::gemm {

// Position in the ring of shared-memory stages through which the producer feeds the consumers; the parity flips with every round. A stage has a
// barrier that says it is full and one that says it is empty.
template <class Config> struct Ring
{
    static constexpr int kStages = Config::kStages;

    u32 shared;    // address of the first stage; the barriers follow the last
    int stage = 0;
    u32 parity = 0;

    __device__ u32 full() const { return shared + kStages * (Config::kStageBytes + Config::kScaleBytes) + 8 * stage; }
    __device__ u32 empty() const { return full() + 8 * kStages; }
    __device__ u32 tile_a() const { return shared + stage * Config::kStageBytes; }
    __device__ u32 tile_b() const { return tile_a() + Config::OperandA::kBytes; }
    __device__ u32 scales_a() const { return shared + kStages * Config::kStageBytes + stage * Config::kScaleBytes; }
    __device__ u32 scales_b() const { return scales_a() + 4 * Config::kRows; }

    // Completes when the other consumer has found all stages of its tile full. The parity of a stage tells rounds apart only to one who has seen
    // all rounds before, so a consumer that takes whole tiles waits for its turn.
    __device__ u32 turn(int group) const { return shared + kStages * (Config::kStageBytes + Config::kScaleBytes + 16) + 8 * group; }

    // What a consumer's epilogue has: a buffer for its transposed copy, and one of each warp for what columns share.
    __device__ u32 turned(int group) const
    {
        return shared + kStages * (Config::kStageBytes + Config::kScaleBytes) + Config::kBarrierBytes + group * Config::kEpilogueBytes;
    }
    __device__ u32 columns(int group, int warp) const { return turned(group) + Config::kTurnedBytes + warp * Config::kColumnBytes; }

    // A thread, once.
    __device__ void init() const
    {
        for (int i = 0; i < kStages; ++i)
        {
            ptx::mbarrier_init(full() + 8 * i, 1);
            ptx::mbarrier_init(empty() + 8 * i, 4 * (Config::kTogether ? Config::kConsumers : 1));    // one arrival per warp that reads
        }
        for (int group = 0; group < Config::kConsumers; ++group)
            ptx::mbarrier_init(turn(group), 4);
        ptx::fence_mbarrier_init();
    }

    // A warp gives a stage back that it has read.
    __device__ static void release(u32 empty_barrier)
    {
        if (threadIdx.x % kWarpSize == 0)
            ptx::mbarrier_arrive(empty_barrier);
    }

    __device__ void advance()
    {
        if (++stage == kStages)
        {
            stage = 0;
            parity ^= 1;
        }
    }

    // Over the stages of a whole tile.
    __device__ void skip_tile()
    {
        constexpr int kRounds = Config::kBlocksK / kStages, kRest = Config::kBlocksK % kStages;
        stage += kRest;
        if (stage >= kStages)
        {
            stage -= kStages;
            parity ^= 1;
        }
        parity ^= kRounds & 1;
    }
};

}  // namespace fp8lm::gemm
