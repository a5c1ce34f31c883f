#pragma once

// Scalar functions of generated code, in the accurate forms: FP8 bytes are to equal the CPU's, and row kernels wait for memory anyway.
namespace fp8lm {

__device__ inline float exp_(float x) { return expf(x); }
__device__ inline float log_(float x) { return logf(x); }
__device__ inline float tanh_(float x) { return tanhf(x); }
__device__ inline float erf_(float x) { return erff(x); }
__device__ inline float sigmoid_(float x) { return 1.0f / (1.0f + expf(-x)); }
__device__ inline float sqrt_(float x) { return sqrtf(x); }
__device__ inline float rsqrt_(float x) { return 1.0f / sqrtf(x); }
__device__ inline float pow_(float x, float y) { return powf(x, y); }
__device__ inline float abs_(float x) { return fabsf(x); }
__device__ inline float cos_(float x) { return cosf(x); }
__device__ inline float sin_(float x) { return sinf(x); }
__device__ inline float floor_(float x) { return floorf(x); }

// IEEE 754-2019 minimum and maximum, as in .NET: a NaN stays a NaN (fminf and fmaxf drop it).
__device__ inline float min_(float a, float b)
{
    float result;
    asm("min.NaN.f32 %0, %1, %2;" : "=f"(result) : "f"(a), "f"(b));
    return result;
}

__device__ inline float max_(float a, float b)
{
    float result;
    asm("max.NaN.f32 %0, %1, %2;" : "=f"(result) : "f"(a), "f"(b));
    return result;
}

}  // namespace fp8lm
