#pragma once
#include <fp8lm/common/common.cuh>

namespace fp8lm::optim {

// A step whose recorded amax [slots] is not finite is skipped, as one whose gradient norm is not finite: a cast to FP8 saturates, so that the bytes, and all
// that follows from them, may look sound. Runs after the norm has written state.SkipStep. clears: amax are zeroed here, where no scale update does.
struct AmaxCheck : Launch<256>
{
    static __device__ void run(u32* amax, i64 slots, i64 clears, StepState* state)
    {
        for (i64 slot = (i64)blockIdx.x * kThreads + threadIdx.x; slot < slots; slot += (i64)gridDim.x * kThreads)
        {
            // All threads that write, write the same.
            if (amax[slot] >= 0x7F800000u && state->SkipStep == 0)
                state->SkipStep = StepState::kSkipped;
            if (clears != 0)
                amax[slot] = 0;
        }
    }
};

}  // namespace fp8lm::optim
