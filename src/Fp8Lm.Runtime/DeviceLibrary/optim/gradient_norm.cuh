#pragma once
#include <fp8lm/common/common.cuh>
#include <fp8lm/common/pack.cuh>
#include <fp8lm/common/state_scale.cuh>
#include <fp8lm/optim/loss_scale.cuh>
#include <fp8lm/optim/segment.cuh>
#include <fp8lm/reduce/block.cuh>

namespace fp8lm::optim {

// What norms share: every block leaves its sum of squares in scratch; the last one to finish adds them in the order of the blocks and writes
// state.GradientNorm, ClipFactor, SkipStep; with a loss scale the norm is that of gradients without it, the clip factor takes it out of them, and the next one is
// derived. A flag that still stands from the step before becomes Halted. scratch starts zeroed and is left so. Four
// blocks to each of 132 multiprocessors: one wave.
struct NormLaunch : Launch<256, 0, 0, 528, 4>
{
    struct Scratch
    {
        u32 finished;
        double partial[kBlocks];
    };

    static __device__ double squares(float4 g)
    {
        return ((double)g.x * g.x + (double)g.y * g.y) + ((double)g.z * g.z + (double)g.w * g.w);
    }

    static __device__ void finish(double sum, StepState* state, void* scratch, LossScaleState* loss_scale = nullptr, i64 growth_interval = 0)
    {
        Scratch* const shared_by_blocks = static_cast<Scratch*>(scratch);
        sum = block_sum<kThreads>(sum);

        __shared__ bool last;
        if (threadIdx.x == 0)
        {
            shared_by_blocks->partial[blockIdx.x] = sum;
            __threadfence();
            last = atomicAdd(&shared_by_blocks->finished, 1u) == gridDim.x - 1;
        }
        __syncthreads();
        if (!last)
            return;

        __threadfence();
        double total = 0.0;
        for (u32 block = threadIdx.x; block < gridDim.x; block += kThreads)
            total += __ldcg(&shared_by_blocks->partial[block]);    // written by other blocks of this launch
        total = block_sum<kThreads>(total);
        if (threadIdx.x == 0)
        {
            shared_by_blocks->finished = 0;
            if (loss_scale == nullptr)
                write(state, (float)sqrt(total), 1.0f);
            else
                write(state, sqrt(total), *loss_scale, growth_interval);
        }
    }

private:
    static __device__ void write(StepState* state, double scaled_norm, LossScaleState& loss_scale, i64 growth_interval)
    {
        const float scale = loss_scale.Scale, norm = (float)(scaled_norm / scale);
        write(state, norm, 1.0f / scale);
        state->DynamicLossScale = scale;
        if (state->SkipStep != StepState::kHalted)
            loss_scale.update(is_finite(norm), state->SkipStep == 0, growth_interval);
    }

    static __device__ bool is_finite(float norm) { return (__float_as_uint(norm) & 0x7F800000u) != 0x7F800000u; }

    static __device__ void write(StepState* state, float norm, float unscale)
    {
        const bool finite = is_finite(norm);
        const bool sound = finite && (__double_as_longlong(state->LossSum) & 0x7FF0000000000000ll) != 0x7FF0000000000000ll;
        const bool clips = state->MaxGradientNorm > 0.0f && finite;
        state->GradientNorm = norm;
        state->ClipFactor = clips ? min_(1.0f, state->MaxGradientNorm / (norm + 1e-6f)) : 1.0f;
        state->ClipFactor *= unscale;
        state->SkipStep = state->SkipStep != 0 ? StepState::kHalted : sound ? 0u : StepState::kSkipped;
    }
};

// Global L2 norm of grad [count] f32.
struct GradientNorm : NormLaunch
{
    static __device__ void run(
        const float* grad, i64 count, StepState* state, void* scratch, LossScaleState* loss_scale = nullptr, i64 growth_interval = 0)
    {
        const i64 stride = (i64)gridDim.x * kThreads * 4;
        double sum = 0.0;
        i64 i = ((i64)blockIdx.x * kThreads + threadIdx.x) * 4;
        for (; i + (kUnroll - 1) * stride + 4 <= count; i += kUnroll * stride)
        {
            float4 g[kUnroll];
            #pragma unroll
            for (int u = 0; u < kUnroll; ++u)
                g[u] = load4(grad + i + u * stride);
            #pragma unroll
            for (int u = 0; u < kUnroll; ++u)
                sum += squares(g[u]);
        }
        for (; i < count; i += stride)
        {
            if (i + 4 <= count)
                sum += squares(load4(grad + i));
            else
                for (i64 j = i; j < count; ++j)
                    sum += (double)grad[j] * grad[j];
        }
        finish(sum, state, scratch, loss_scale, growth_interval);
    }

private:
    // Loads in flight per thread; one does not fill the memory's latency.
    static constexpr int kUnroll = 4;
};

// Global L2 norm of the gradients of all segments: Gradient for linear weights, f32 for the rest. A Gradient with a scale has its inverse and amax [count]; an
// amax that is not finite makes the norm NaN: a cast to FP8 saturates, so the bytes would not tell.
template <class Gradient> struct SegmentedGradientNorm : NormLaunch
{
    static __device__ void run(
        const void* grad, const Segment* segments, i64 count, i64 tiles, StepState* state, void* scratch, LossScaleState* loss_scale = nullptr,
        i64 growth_interval = 0)
    {
        static_assert(kScaledMaximum<Gradient> == 0.0f, "this gradient has a scale");
        run(grad, segments, count, tiles, nullptr, nullptr, state, scratch, loss_scale, growth_interval);
    }

    static __device__ void run(
        const void* grad, const Segment* segments, i64 count, i64 tiles, const float* inverse, const u32* amax, StepState* state, void* scratch,
        LossScaleState* loss_scale = nullptr, i64 growth_interval = 0)
    {
        double sum = 0.0;
        for_each_stretch(segments, count, tiles, [&](int index, const Segment& segment, i64 begin, int elements) {
            if (!(segment.flags & Segment::kLinear))
                sum += squares_of(at<float>(grad, segment.gradient) + begin, elements);
            else if constexpr (kScaledMaximum<Gradient> > 0.0f)
            {
                const double factor = amax[index] < 0x7F800000u ? inverse[index] : __int_as_float(0x7FC00000);
                sum += factor * factor * squares_of(at<Gradient>(grad, segment.gradient) + begin, elements);
            }
            else
                sum += squares_of(at<Gradient>(grad, segment.gradient) + begin, elements);
        });
        finish(sum, state, scratch, loss_scale, growth_interval);
    }

private:
    // Loads of 16 bytes on their way to a thread.
    static constexpr int kUnroll = 4;

    template <class T> static __device__ __forceinline__ double squares_of(const T* from, int elements)
    {
        constexpr int kWidth = 16 / sizeof(T), kStride = kThreads * kWidth;
        double sum = 0.0;
        int i = threadIdx.x * kWidth;
        for (; i + (kUnroll - 1) * kStride < elements; i += kUnroll * kStride)
        {
            packs::Pack<T, kWidth> packs[kUnroll];
            #pragma unroll
            for (int u = 0; u < kUnroll; ++u)
                packs[u] = packs::fetch<kWidth>(from + i + u * kStride);
            #pragma unroll
            for (int u = 0; u < kUnroll; ++u)
                sum += squares(packs::widen(packs[u]));
        }
        for (; i < elements; i += kStride)
            sum += squares(packs::load<kWidth>(from + i));
        return sum;
    }

    // f32 and bf16 have squares that f32 has not. Those of 16 stored FP8 numbers, or 8 of f16, lie between 2^-48 and 2^36; conversions to f64 would take longer
    // than the memory.
    template <int kWidth> static __device__ __forceinline__ double squares(const packs::Floats<kWidth>& g)
    {
        if constexpr (kScaledMaximum<Gradient> > 0.0f && kWidth > 4)
        {
            float sum = 0.0f;
            #pragma unroll
            for (int i = 0; i < kWidth; ++i)
                sum = fmaf(g[i], g[i], sum);
            return sum;
        }
        else
        {
            double sum = 0.0;
            #pragma unroll
            for (int i = 0; i < kWidth; i += 4)
                sum += NormLaunch::squares(make_float4(g[i], g[i + 1], g[i + 2], g[i + 3]));
            return sum;
        }
    }
};

}  // namespace fp8lm::optim
