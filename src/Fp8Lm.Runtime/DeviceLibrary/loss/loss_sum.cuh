#pragma once
#include <fp8lm/common/common.cuh>
#include <fp8lm/reduce/block.cuh>

namespace fp8lm::loss {

// state.LossSum += sum of row_loss; state.WeightSum += sum of row_weight, both in double. One block, so the order is fixed.
struct LossSum : Launch<1024, 0, 0, 1>
{
    static __device__ void run(const float* row_loss, const float* row_weight, i64 count, StepState* state)
    {
        double loss = 0.0, weight = 0.0;
        for (i64 i = threadIdx.x; i < count; i += kThreads)
        {
            loss += row_loss[i];
            weight += row_weight[i];
        }
        loss = block_sum<kThreads>(loss);
        weight = block_sum<kThreads>(weight);
        if (threadIdx.x == 0)
        {
            state->LossSum += loss;
            state->WeightSum += weight;
        }
    }
};

}  // namespace fp8lm::loss
