#pragma once
#include <fp8lm/common/common.cuh>

namespace fp8lm::optim {

// AdamW with decoupled decay on one element, in FP32; the scalars of the step, each read once.
struct AdamStep
{
    float clip, rate, keep1, keep2, rest1, rest2, epsilon, decay, unbias1, unbias2;

    __device__ AdamStep(const StepState* state, bool decays)
        : clip(state->ClipFactor), rate(state->LearningRate), keep1(state->Beta1), keep2(state->Beta2), rest1(1.0f - state->Beta1), rest2(1.0f - state->Beta2),
          epsilon(state->Epsilon), decay(decays ? state->WeightDecay : 0.0f), unbias1(1.0f / state->BiasCorrection1), unbias2(1.0f / state->BiasCorrection2)
    {
    }

    __device__ __forceinline__ void update(float& w, float& m, float& v, float gradient) const
    {
        const float g = gradient * clip;
        m = keep1 * m + rest1 * g;
        v = keep2 * v + rest2 * g * g;
        // Within three units in the last place; IEEE division and square root would be half of the instructions, and in few bits a pass is bound by these.
        const float step = m * unbias1 * reciprocal_approximate(sqrt_approximate(v * unbias2) + epsilon);
        w -= rate * (step + decay * w);
    }
};

}  // namespace fp8lm::optim
