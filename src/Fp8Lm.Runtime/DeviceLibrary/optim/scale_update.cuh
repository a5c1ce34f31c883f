#pragma once
#include <fp8lm/common/common.cuh>
#include <fp8lm/common/state_scale.cuh>

namespace fp8lm::optim {

// Puts a number in front of a slot's history, whose oldest leaves it; gives the largest of those that stay.
__device__ inline float roll_history(float* history, float newer, i64 slots, i64 length)
{
    float largest = newer;
    for (i64 age = 0; age < length; ++age)
    {
        const float older = history[age * slots];
        history[age * slots] = newer;
        largest = newer > largest ? newer : largest;
        newer = older;
    }
    return largest;
}

// Rolls amax histories and derives the next scales; a thread per slot. history: [history_length, slots] f32, row 0 the newest.
// The scale is maximum / largest amax of the history / 2^margin; it stays as it was when that amax is zero or this step's is not finite,
// and what is not finite enters the history as zero. A halted step leaves scales and histories as they are. Bit-identical to CpuKernels.ScaleUpdate.
struct ScaleUpdate : Launch<256>
{
    static __device__ void run(
        float* scale, float* scale_inverse, u32* amax, float* history, const float* maximum, i64 slots, i64 history_length, i64 power_of_two,
        i64 margin, const StepState* state)
    {
        const bool halted = state->SkipStep == StepState::kHalted;
        for (i64 slot = (i64)blockIdx.x * kThreads + threadIdx.x; slot < slots; slot += (i64)gridDim.x * kThreads)
        {
            const u32 bits = amax[slot];
            const bool finite = bits < 0x7F800000u;
            amax[slot] = 0;
            if (halted)
                continue;
            const float largest = roll_history(history + slot, finite ? __uint_as_float(bits) : 0.0f, slots, history_length);
            if (finite && largest > 0.0f)
            {
                const float next = next_scale(maximum[slot], largest, power_of_two != 0, (int)margin);
                scale[slot] = next;
                scale_inverse[slot] = 1.0f / next;
            }
        }
    }

private:
    static __device__ float next_scale(float maximum, float amax, bool power_of_two, int margin)
    {
        const float ratio = ldexpf(maximum / amax, -margin);
        const float finite = ratio > 3.4028235e38f ? 3.4028235e38f : ratio;
        return power_of_two ? __uint_as_float(__float_as_uint(finite) & 0xFF800000u) : finite;
    }
};

// Scales of weight gradients in FP8 for the next step: half of what the largest amax of the last steps allows, since the next may be larger. history: [length, count] f32,
// row 0 the newest; what is not finite enters it as zero, and where it is all zero a gradient keeps its scale. A halted step leaves histories as they are. The amax stay until
// gradients are cleared. Bit-identical to CpuKernels.GradientScales.
struct GradientScales : Launch<256>
{
    static __device__ void run(float* scale, float* inverse, const u32* amax, float* history, i64 count, i64 length, i64 maximum, const StepState* state)
    {
        const bool halted = state->SkipStep == StepState::kHalted;
        for (i64 slot = (i64)blockIdx.x * kThreads + threadIdx.x; slot < count; slot += (i64)gridDim.x * kThreads)
        {
            const u32 bits = amax[slot];
            float largest = 0.0f;
            if (halted)
                for (i64 age = 0; age < length; ++age)
                    largest = max_(largest, history[age * count + slot]);
            else
                largest = roll_history(history + slot, bits < 0x7F800000u ? __uint_as_float(bits) : 0.0f, count, length);
            const float next = state_scale(__float_as_uint(largest), 0.5f * (float)maximum, scale[slot]);
            scale[slot] = next;
            inverse[slot] = 1.0f / next;
        }
    }
};

}  // namespace fp8lm::optim
