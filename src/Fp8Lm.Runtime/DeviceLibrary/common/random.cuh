#pragma once
#include <fp8lm/common/types.cuh>

// Counter-based random numbers: a value depends on key and index alone, so forward, recomputation and backward see the same one. The
// integer steps and the exact conversion at the end make it bit-identical to VectorMath.Uniform on the CPU.
namespace fp8lm {

__device__ inline u32 mix(u32 x)
{
    x ^= x >> 16;
    x *= 0x21F0AAADu;
    x ^= x >> 15;
    x *= 0xD35A2D97u;
    return x ^ x >> 15;
}

// Uniform in [0, 1), a multiple of 2^-24.
__device__ inline float uniform(u32 key, u32 index)
{
    const u32 hash = mix(mix(index ^ key) + key * 0x9E3779B9u + 0x85EBCA6Bu);
    return (float)(hash >> 8) * 5.9604644775390625e-8f;
}

}  // namespace fp8lm
