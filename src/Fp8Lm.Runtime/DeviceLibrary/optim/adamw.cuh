#pragma once
#include <fp8lm/common/common.cuh>

namespace fp8lm::optim {

// AdamW on a flat run of parameters; master, m, v: [count] f32, assigned. Nothing changes when state.SkipStep is set.
struct AdamW : Launch<256>
{
    static __device__ void run(float* master, const float* grad, float* m, float* v, i64 count, i64 decay, const StepState* state)
    {
        if (state->SkipStep != 0)
            return;
        const StepState s = *state;
        const float weight_decay = decay != 0 ? s.WeightDecay : 0.0f;
        const i64 stride = (i64)gridDim.x * kThreads * 4;
        for (i64 i = ((i64)blockIdx.x * kThreads + threadIdx.x) * 4; i < count; i += stride)
        {
            if (i + 4 <= count)
            {
                float4 w = load4(master + i), first = load4(m + i), second = load4(v + i);
                const float4 g = load4(grad + i);
                update(w.x, first.x, second.x, g.x, weight_decay, s);
                update(w.y, first.y, second.y, g.y, weight_decay, s);
                update(w.z, first.z, second.z, g.z, weight_decay, s);
                update(w.w, first.w, second.w, g.w, weight_decay, s);
                store4(master + i, w.x, w.y, w.z, w.w);
                store4(m + i, first.x, first.y, first.z, first.w);
                store4(v + i, second.x, second.y, second.z, second.w);
            }
            else
                for (i64 j = i; j < count; ++j)
                    update(master[j], m[j], v[j], grad[j], weight_decay, s);
        }
    }

private:
    static __device__ void update(float& w, float& m, float& v, float gradient, float weight_decay, const StepState& s)
    {
        const float g = gradient * s.ClipFactor;
        m = s.Beta1 * m + (1.0f - s.Beta1) * g;
        v = s.Beta2 * v + (1.0f - s.Beta2) * g * g;
        const float step = m / s.BiasCorrection1 / (sqrtf(v / s.BiasCorrection2) + s.Epsilon);
        w -= s.LearningRate * (step + weight_decay * w);
    }
};

}  // namespace fp8lm::optim
