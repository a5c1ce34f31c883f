#pragma once
#include <fp8lm/common/types.cuh>

namespace fp8lm::optim {

// The loss scale of a run; the same layout as Fp8Lm.Execution.LossScaleState.
struct LossScaleState
{
    static constexpr float kLargest = 8.507059e37f;    // 2^126

    float Scale;
    u32 GoodSteps;

    // Behind a step: half, at least 1, when its norm is not finite; twice after growth_interval steps that counted. Bit-identical to LossScaleState.Next.
    __device__ void update(bool finite, bool counts, i64 growth_interval)
    {
        if (!finite)
            Scale = Scale * 0.5f > 1.0f ? Scale * 0.5f : 1.0f;
        else if (!counts)
            return;
        else if (GoodSteps + 1 < growth_interval)
        {
            ++GoodSteps;
            return;
        }
        else
            Scale = Scale * 2.0f < kLargest ? Scale * 2.0f : kLargest;
        GoodSteps = 0;
    }
};

}  // namespace fp8lm::optim
