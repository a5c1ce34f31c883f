#pragma once
#include <fp8lm/optim/adam_step.cuh>

namespace fp8lm::optim {

// AdamW on a flat run of parameters; master, m, v: [count] f32, assigned. Nothing changes when state.SkipStep is set.
struct AdamW : Launch<256>
{
    static __device__ void run(float* master, const float* grad, float* m, float* v, i64 count, i64 decay, const StepState* state)
    {
        if (state->SkipStep != 0)
            return;
        const AdamStep s(state, decay != 0);
        const i64 stride = (i64)gridDim.x * kThreads * 4;
        for (i64 i = ((i64)blockIdx.x * kThreads + threadIdx.x) * 4; i < count; i += stride)
        {
            if (i + 4 <= count)
            {
                float4 w = load4(master + i), first = load4(m + i), second = load4(v + i);
                const float4 g = load4(grad + i);
                s.update(w.x, first.x, second.x, g.x);
                s.update(w.y, first.y, second.y, g.y);
                s.update(w.z, first.z, second.z, g.z);
                s.update(w.w, first.w, second.w, g.w);
                store4(master + i, w.x, w.y, w.z, w.w);
                store4(m + i, first.x, first.y, first.z, first.w);
                store4(v + i, second.x, second.y, second.z, second.w);
            }
            else
                for (i64 j = i; j < count; ++j)
                    s.update(master[j], m[j], v[j], grad[j]);
        }
    }
};

}  // namespace fp8lm::optim
