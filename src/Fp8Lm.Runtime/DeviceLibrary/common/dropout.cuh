#pragma once
#include <fp8lm/common/random.cuh>
#include <fp8lm/common/step_state.cuh>

namespace fp8lm {

// What an element is multiplied with: 0 or 1 / (1 - rate) while training, else 1. A pure function of seed, micro-step, site, layer and element,
// so that forward, recomputation and backward agree. The same formula stands in Cpu/Dropout.cs.
__device__ inline unsigned dropout_key(const StepState* state, unsigned site, unsigned layer)
{
    unsigned key = state->SeedLow * 0x9E3779B9u ^ state->SeedHigh * 0x85EBCA6Bu;
    key = (key ^ state->MicroStep) * 0xC2B2AE35u;
    return (key ^ (site << 16) ^ layer) * 0x27D4EB2Fu;
}

__device__ inline float dropout_factor(const StepState* state, unsigned site, unsigned layer, unsigned index, float rate)
{
    if (state->Training == 0) return 1.0f;
    return uniform(dropout_key(state, site, layer), index) < rate ? 0.0f : 1.0f / (1.0f - rate);
}

}  // namespace fp8lm
