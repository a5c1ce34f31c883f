#pragma once
#include <fp8lm/common/common.cuh>

namespace fp8lm::optim {

// AdamW with decoupled decay on one element, in FP32; the scalars of the step, each read once.
struct AdamStep
{
    float clip, rate, beta1, beta2, epsilon, decay, unbias1, unbias2;

    __device__ AdamStep(const StepState* state, bool decays)
        : clip(state->ClipFactor), rate(state->LearningRate), beta1(state->Beta1), beta2(state->Beta2), epsilon(state->Epsilon),
          decay(decays ? state->WeightDecay : 0.0f), unbias1(1.0f / state->BiasCorrection1), unbias2(1.0f / state->BiasCorrection2)
    {
    }

    __device__ __forceinline__ void update(float& w, float& m, float& v, float gradient) const
    {
        const float g = gradient * clip;
        m = beta1 * m + (1.0f - beta1) * g;
        v = beta2 * v + (1.0f - beta2) * g * g;
        // Within three units in the last place; IEEE division and square root would be half of the instructions, and in few bits a pass is bound by these.
        const float step = m * unbias1 * reciprocal_approximate(sqrt_approximate(v * unbias2) + epsilon);
        w -= rate * (step + decay * w);
    }
};

}  // namespace fp8lm::optim
