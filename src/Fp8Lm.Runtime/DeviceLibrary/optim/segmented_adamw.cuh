#pragma once
#include <fp8lm/common/octet.cuh>
#include <fp8lm/common/state_scale.cuh>
#include <fp8lm/optim/adam_step.cuh>
#include <fp8lm/optim/segment.cuh>
#include <fp8lm/reduce/amax.cuh>

// AdamW over all parameters at once. Moments have one format; masters and gradients of linear weights have theirs, all others are f32. Without scales it is one
// pass, Update. Where anything has a scale it is FP8-LM's optimizer (fact sheet, 3.3) in two: Amax takes the amax of the new moments and weights, Store computes
// them again and stores them with scales that fit. Nothing is read back by the host, and no tensor exists in f32 besides those stored so. Clipping multiplies
// what was dequantised.
namespace fp8lm::optim {

template <class Master, class Gradient, class First, class Second> struct SegmentedAdamW
{
    // master, grad, m, v -> amax [4, count] (rows of master, m, v), by integer maximum. A block walks over adjacent tiles and keeps its amax while
    // they belong to one tensor.
    struct Amax : Launch<256>
    {
        static __device__ void run(
            const void* master, const void* grad, const void* m, const void* v, const Segment* segments, i64 count, i64 tiles, const float* inverse, u32* amax,
            const StepState* state)
        {
            if (state->SkipStep != 0)
                return;
            const i64 first = tiles * blockIdx.x / gridDim.x, end = tiles * (blockIdx.x + 1) / gridDim.x;
            u32 largest[3] = {};
            int current = -1;
            for (i64 tile = first; tile < end; ++tile)
            {
                const int index = find_segment(segments, count, tile);
                const Segment segment = segments[index];
                if (index != current)
                {
                    flush(amax, count, current, largest);
                    current = index;
                }
                const i64 begin = (tile - segment.first_tile) * kSegmentTile + threadIdx.x * 8;
                if (begin >= segment.elements)
                    continue;
                Values x;
                if (segment.flags & Segment::kLinear)
                    x.template load<Master, Gradient>(master, grad, m, v, segment, begin, inverse, index, count);
                else if constexpr (kScaledMaximum<First> > 0.0f || kScaledMaximum<Second> > 0.0f)
                    x.template load<float, float>(master, grad, m, v, segment, begin, inverse, index, count);
                else
                    continue;
                x.update(AdamStep(state, segment.flags & Segment::kDecays));
                #pragma unroll
                for (int i = 0; i < 8; ++i)
                {
                    largest[0] = amax_bits(largest[0], x.w[i]);
                    largest[1] = amax_bits(largest[1], x.m[i]);
                    largest[2] = amax_bits(largest[2], x.v[i]);
                }
            }
            flush(amax, count, current, largest);
        }

    private:
        static __device__ void flush(u32* amax, i64 count, int segment, u32 (&largest)[3])
        {
            __syncwarp();
            #pragma unroll
            for (int i = 0; i < 3; ++i)
            {
                if (segment >= 0)
                    atomic_amax(amax + (kMasterRow + i) * count + segment, largest[i]);
                largest[i] = 0;
            }
        }
    };

    // Assigns master, m, v, with the scales that the amax of this step give. The tables of scales still hold those of the step before.
    struct Store : Launch<256>
    {
        static __device__ void run(
            void* master, const void* grad, void* m, void* v, const Segment* segments, i64 count, i64 tiles, const float* scale, const float* inverse,
            const u32* amax, const StepState* state)
        {
            if (state->SkipStep != 0)
                return;
            for (i64 tile = blockIdx.x; tile < tiles; tile += gridDim.x)
            {
                const int index = find_segment(segments, count, tile);
                const Segment segment = segments[index];
                const i64 begin = (tile - segment.first_tile) * kSegmentTile + threadIdx.x * 8;
                if (begin >= segment.elements)
                    continue;
                if (segment.flags & Segment::kLinear)
                    one<Master, Gradient>(master, grad, m, v, segment, begin, index, count, scale, inverse, amax, state);
                else
                    one<float, float>(master, grad, m, v, segment, begin, index, count, scale, inverse, amax, state);
            }
        }

    private:
        template <class W, class G>
        static __device__ __forceinline__ void one(
            void* master, const void* grad, void* m, void* v, const Segment& segment, i64 begin, int index, i64 count, const float* scale, const float* inverse,
            const u32* amax, const StepState* state)
        {
            Values x;
            x.template load<W, G>(master, grad, m, v, segment, begin, inverse, index, count);
            x.update(AdamStep(state, segment.flags & Segment::kDecays));
            put(at<W>(master, segment.master) + begin, x.w, scale, amax, kMasterRow * count + index);
            put(at<First>(m, segment.first) + begin, x.m, scale, amax, kFirstRow * count + index);
            put(at<Second>(v, segment.second) + begin, x.v, scale, amax, kSecondRow * count + index);
        }

        template <class T> static __device__ __forceinline__ void put(T* to, float (&values)[8], const float* scale, const u32* amax, i64 slot)
        {
            if constexpr (kScaledMaximum<T> > 0.0f)
            {
                const float s = state_scale(amax[slot], kScaledMaximum<T>, scale[slot]);
                #pragma unroll
                for (int i = 0; i < 8; ++i)
                    values[i] = max_(min_(values[i] * s, kScaledMaximum<T>), -kScaledMaximum<T>);
            }
            store_octet<true>(to, pack<T>(values), 8);
        }
    };

    // Assigns master, m, v, none of which has a scale.
    struct Update : Launch<256>
    {
        static __device__ void run(
            void* master, const void* grad, void* m, void* v, const Segment* segments, i64 count, i64 tiles, const StepState* state)
        {
            static_assert(kScaledMaximum<Master> + kScaledMaximum<Gradient> + kScaledMaximum<First> + kScaledMaximum<Second> == 0.0f, "scales take two passes");
            Store::run(master, grad, m, v, segments, count, tiles, nullptr, nullptr, nullptr, state);
        }
    };

private:
    // An octet of a parameter with its gradient and moments, in f32.
    struct Values
    {
        float w[8], g[8], m[8], v[8];

        template <class W, class G>
        __device__ __forceinline__ void load(
            const void* master, const void* grad, const void* first, const void* second, const Segment& segment, i64 begin, const float* inverse, int index, i64 count)
        {
            get(at<W>(master, segment.master) + begin, w, inverse + kMasterRow * count + index);
            get(at<G>(grad, segment.gradient) + begin, g, inverse + kGradientRow * count + index);
            get(at<First>(first, segment.first) + begin, m, inverse + kFirstRow * count + index);
            get(at<Second>(second, segment.second) + begin, v, inverse + kSecondRow * count + index);
        }

        __device__ __forceinline__ void update(const AdamStep& step)
        {
            #pragma unroll
            for (int i = 0; i < 8; ++i)
                step.update(w[i], m[i], v[i], g[i]);
        }

    private:
        template <class T> static __device__ __forceinline__ void get(const T* from, float (&values)[8], const float* inverse)
        {
            unpack(load_octet<true>(from, 8), values);
            if constexpr (kScaledMaximum<T> > 0.0f)
            {
                const float factor = *inverse;
                #pragma unroll
                for (int i = 0; i < 8; ++i)
                    values[i] *= factor;
            }
        }
    };
};

// The scales of what SegmentedAdamW has stored, their reciprocals, and those of the weights' FP8 copies, which the next casts use; clears the amax it used. A
// maximum of 0 stands for a format without scale. In a step that was skipped there is no amax, and every scale stays.
struct StateScales : Launch<256>
{
    static __device__ void run(
        const Segment* segments, i64 count, float* scale, float* inverse, u32* amax, float* weight_scale, float* weight_inverse, i64 master_maximum,
        i64 first_maximum, i64 second_maximum, i64 weight_maximum)
    {
        for (i64 i = (i64)blockIdx.x * kThreads + threadIdx.x; i < count; i += (i64)gridDim.x * kThreads)
        {
            const Segment segment = segments[i];
            const bool linear = (segment.flags & Segment::kLinear) != 0;
            const u32 weight = amax[kMasterRow * count + i];
            commit(scale, inverse, amax, kMasterRow * count + i, linear ? (float)master_maximum : 0.0f);
            commit(scale, inverse, amax, kFirstRow * count + i, (float)first_maximum);
            commit(scale, inverse, amax, kSecondRow * count + i, (float)second_maximum);
            if (segment.weight_slot >= 0)
            {
                const float next = state_scale(weight, (float)weight_maximum, weight_scale[segment.weight_slot]);
                weight_scale[segment.weight_slot] = next;
                weight_inverse[segment.weight_slot] = 1.0f / next;
            }
        }
    }

private:
    static __device__ void commit(float* scale, float* inverse, u32* amax, i64 slot, float maximum)
    {
        if (maximum > 0.0f)
        {
            const float next = state_scale(amax[slot], maximum, scale[slot]);
            scale[slot] = next;
            inverse[slot] = 1.0f / next;
        }
        amax[slot] = 0;
    }
};

// Before the backward pass of a micro-batch: amax [count] of gradients start again, but one that is not finite stays until the optimizer has seen it.
struct GradientAmax : Launch<256>
{
    static __device__ void run(u32* amax, i64 count)
    {
        for (i64 i = (i64)blockIdx.x * kThreads + threadIdx.x; i < count; i += (i64)gridDim.x * kThreads)
            if (amax[i] < 0x7F800000u)
                amax[i] = 0;
    }
};

}  // namespace fp8lm::optim
