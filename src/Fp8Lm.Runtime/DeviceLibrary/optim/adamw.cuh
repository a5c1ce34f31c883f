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
        const Step s{
            state->ClipFactor, state->LearningRate, state->Beta1, state->Beta2, state->Epsilon, decay != 0 ? state->WeightDecay : 0.0f,
            1.0f / state->BiasCorrection1, 1.0f / state->BiasCorrection2};
        const i64 stride = (i64)gridDim.x * kThreads * 4;
        for (i64 i = ((i64)blockIdx.x * kThreads + threadIdx.x) * 4; i < count; i += stride)
        {
            if (i + 4 <= count)
            {
                float4 w = load4(master + i), first = load4(m + i), second = load4(v + i);
                const float4 g = load4(grad + i);
                update(w.x, first.x, second.x, g.x, s);
                update(w.y, first.y, second.y, g.y, s);
                update(w.z, first.z, second.z, g.z, s);
                update(w.w, first.w, second.w, g.w, s);
                store4(master + i, w.x, w.y, w.z, w.w);
                store4(m + i, first.x, first.y, first.z, first.w);
                store4(v + i, second.x, second.y, second.z, second.w);
            }
            else
                for (i64 j = i; j < count; ++j)
                    update(master[j], m[j], v[j], grad[j], s);
        }
    }

private:
    // The scalars of the step, each read once.
    struct Step { float clip, rate, beta1, beta2, epsilon, decay, unbias1, unbias2; };

    static __device__ __forceinline__ void update(float& w, float& m, float& v, float gradient, const Step& s)
    {
        const float g = gradient * s.clip;
        m = s.beta1 * m + (1.0f - s.beta1) * g;
        v = s.beta2 * v + (1.0f - s.beta2) * g * g;
        const float step = m * s.unbias1 / (sqrtf(v * s.unbias2) + s.epsilon);
        w -= s.rate * (step + s.decay * w);
    }
};

}  // namespace fp8lm::optim
