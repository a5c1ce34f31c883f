#pragma once

// Scalar functions of generated code, within a few units in the last place of FP32. What epilogues of products are full of (sigmoid, tanh) has no
// branches and two special-function instructions: with the library's forms the arithmetic, not memory, sets the time of such an epilogue.
namespace fp8lm {

__device__ inline float exp2_approximate(float x)
{
    float result;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
    return result;
}

__device__ inline float reciprocal_approximate(float x)
{
    float result;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
    return result;
}

__device__ inline float sqrt_approximate(float x)
{
    float result;
    asm("sqrt.approx.f32 %0, %1;" : "=f"(result) : "f"(x));
    return result;
}

// The product's rounding is all that it adds to the instruction's error: 2^-24 of |x|, 5e-6 where the result is about to overflow. The library's form takes four times as long.
__device__ inline float exp_(float x) { return exp2_approximate(x * 1.4426950408889634f); }
__device__ inline float log_(float x) { return logf(x); }
__device__ inline float erf_(float x) { return erff(x); }
__device__ inline float sigmoid_(float x) { return reciprocal_approximate(1.0f + exp2_approximate(x * -1.4426950408889634f)); }
__device__ inline float sqrt_(float x) { return sqrtf(x); }
__device__ inline float rsqrt_(float x) { return 1.0f / sqrtf(x); }
__device__ inline float pow_(float x, float y) { return powf(x, y); }
__device__ inline float abs_(float x) { return fabsf(x); }
__device__ inline float cos_(float x) { return cosf(x); }
__device__ inline float sin_(float x) { return sinf(x); }
__device__ inline float floor_(float x) { return floorf(x); }

__device__ inline float tanh_(float x)
{
    // 1 - 2 / (e^2x + 1) cancels for small x; there a polynomial is exact to 3e-7.
    const float large = copysignf(fmaf(-2.0f, reciprocal_approximate(exp2_approximate(fabsf(x) * 2.8853900817779268f) + 1.0f), 1.0f), x);
    const float square = x * x;
    const float series = fmaf(fmaf(fmaf(fmaf(square, 0.0218694885f, -0.0539682540f), square, 0.133333333f), square, -0.333333333f) * square, x, x);
    return fabsf(x) < 0.35f ? series : large;
}

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
