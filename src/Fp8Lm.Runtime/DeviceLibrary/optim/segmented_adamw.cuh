#pragma once
#include <fp8lm/common/pack.cuh>
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
private:
    // Three blocks of a multiprocessor, with kUnroll packs of each tensor on their way to every thread (64 to 128 bytes), keep the memory busy; in the registers
    // of four blocks some formats spill.
    static constexpr int kThreads = 256, kResident = 3, kUnroll = 2;
    static constexpr bool kMomentsScale = kScaledMaximum<First> > 0.0f || kScaledMaximum<Second> > 0.0f;

    struct Arenas
    {
        void* master;
        const void* grad;
        void* m;
        void* v;
        const float* inverse;
        i64 count;
    };

    // A stretch of the tensors of a segment, and what turns their numbers into values.
    template <class W, class G> struct Tensors
    {
        // With it a warp's access to each tensor is one stretch of memory, with at most 16 bytes a thread.
        static constexpr int kWidth = sizeof(W) == 4 || sizeof(G) == 4 || sizeof(First) == 4 || sizeof(Second) == 4 ? 4 : 8;

        struct Packs
        {
            packs::Pack<W, kWidth> w;
            packs::Pack<G, kWidth> g;
            packs::Pack<First, kWidth> m;
            packs::Pack<Second, kWidth> v;
        };

        struct Values
        {
            packs::Floats<kWidth> w, m, v;
        };

        W* w;
        const G* g;
        First* m;
        Second* v;

        __device__ __forceinline__ Tensors(const Arenas& a, const Segment& segment, i64 begin, int index, const StepState* state)
            : w(at<W>(a.master, segment.master) + begin), g(at<G>(a.grad, segment.gradient) + begin), m(at<First>(a.m, segment.first) + begin),
              v(at<Second>(a.v, segment.second) + begin), inverse_w(inverse_of<W>(a, kMasterRow, index)), step(state, segment.flags & Segment::kDecays)
        {
            // Scales are powers of two, so that multiplying the step's factors instead of the numbers rounds the same.
            step.clip *= inverse_of<G>(a, kGradientRow, index);
            step.keep1 *= inverse_of<First>(a, kFirstRow, index);
            step.keep2 *= inverse_of<Second>(a, kSecondRow, index);
        }

        __device__ __forceinline__ Packs fetch(int i) const
        {
            return {packs::fetch<kWidth>(w + i), packs::fetch<kWidth>(g + i), packs::fetch<kWidth>(m + i), packs::fetch<kWidth>(v + i)};
        }

        __device__ __forceinline__ Values updated(const Packs& packs) const
        {
            Values x{packs::widen(packs.w), packs::widen(packs.m), packs::widen(packs.v)};
            const packs::Floats<kWidth> slope = packs::widen(packs.g);
            #pragma unroll
            for (int i = 0; i < kWidth; ++i)
            {
                x.w[i] *= inverse_w;
                step.update(x.w[i], x.m[i], x.v[i], slope[i]);
            }
            return x;
        }

    private:
        float inverse_w;
        AdamStep step;

        template <class T> static __device__ float inverse_of(const Arenas& a, StateRow row, int index)
        {
            if constexpr (kScaledMaximum<T> > 0.0f)
                return a.inverse[row * a.count + index];
            else
                return 1.0f;
        }
    };

    // use(i, packs) for all packs of a stretch; the loads of several are issued before the first is used.
    template <class T, class Use> static __device__ __forceinline__ void sweep(const T& tensors, int elements, Use use)
    {
        constexpr int kStride = kThreads * T::kWidth;
        int i = threadIdx.x * T::kWidth;
        #pragma unroll 1
        for (; i + (kUnroll - 1) * kStride < elements; i += kUnroll * kStride)
        {
            typename T::Packs packs[kUnroll];
            #pragma unroll
            for (int u = 0; u < kUnroll; ++u)
                packs[u] = tensors.fetch(i + u * kStride);
            #pragma unroll
            for (int u = 0; u < kUnroll; ++u)
                use(i + u * kStride, packs[u]);
        }
        #pragma unroll 1
        for (; i < elements; i += kStride)
            use(i, tensors.fetch(i));
    }

public:
    // master, grad, m, v -> amax [4, count] (rows of master, m, v; of a moment if it has a scale), by integer maximum; one atomic per warp and stretch.
    struct Amax : Launch<kThreads, 0, 0, 0, kResident>
    {
        static __device__ void run(
            const void* master, const void* grad, const void* m, const void* v, const Segment* segments, i64 count, i64 tiles, const float* inverse, u32* amax,
            const StepState* state)
        {
            if (state->SkipStep != 0)
                return;
            const Arenas arenas{const_cast<void*>(master), grad, const_cast<void*>(m), const_cast<void*>(v), inverse, count};
            for_each_stretch(segments, count, tiles, [&](int index, const Segment& segment, i64 begin, int elements) {
                if (segment.flags & Segment::kLinear)
                    one(Tensors<Master, Gradient>(arenas, segment, begin, index, state), elements, amax + index, count);
                else if constexpr (kMomentsScale)
                    one(Tensors<float, float>(arenas, segment, begin, index, state), elements, amax + index, count);
            });
        }

    private:
        template <class T> static __device__ __forceinline__ void one(const T& tensors, int elements, u32* amax, i64 count)
        {
            u32 w = 0, m = 0, v = 0;
            sweep(tensors, elements, [&](int, const auto& pack) {
                const auto x = tensors.updated(pack);
                #pragma unroll
                for (int i = 0; i < T::kWidth; ++i)
                {
                    w = amax_bits(w, x.w[i]);
                    if constexpr (kScaledMaximum<First> > 0.0f)
                        m = amax_bits(m, x.m[i]);
                    if constexpr (kScaledMaximum<Second> > 0.0f)
                        v = amax_bits(v, x.v[i]);
                }
            });
            __syncwarp();
            atomic_amax(amax + kMasterRow * count, w);
            atomic_amax(amax + kFirstRow * count, m);
            atomic_amax(amax + kSecondRow * count, v);
        }
    };

    // Assigns master, m, v, with the scales that the amax of this step give. The tables of scales still hold those of the step before.
    struct Store : Launch<kThreads, 0, 0, 0, kResident>
    {
        static __device__ void run(
            void* master, const void* grad, void* m, void* v, const Segment* segments, i64 count, i64 tiles, const float* scale, const float* inverse,
            const u32* amax, const StepState* state)
        {
            if (state->SkipStep != 0)
                return;
            const Arenas arenas{master, grad, m, v, inverse, count};
            for_each_stretch(segments, count, tiles, [&](int index, const Segment& segment, i64 begin, int elements) {
                if (segment.flags & Segment::kLinear)
                    one(Tensors<Master, Gradient>(arenas, segment, begin, index, state), elements, index, count, scale, amax);
                else
                    one(Tensors<float, float>(arenas, segment, begin, index, state), elements, index, count, scale, amax);
            });
        }

    private:
        template <class W, class G>
        static __device__ __forceinline__ void one(
            const Tensors<W, G>& tensors, int elements, int index, i64 count, const float* scale, const u32* amax)
        {
            const float scale_w = fitting<W>(scale, amax, kMasterRow * count + index), scale_m = fitting<First>(scale, amax, kFirstRow * count + index),
                        scale_v = fitting<Second>(scale, amax, kSecondRow * count + index);
            sweep(tensors, elements, [&](int i, const auto& pack) {
                auto x = tensors.updated(pack);
                put(tensors.w + i, x.w, scale_w);
                put(tensors.m + i, x.m, scale_m);
                put(tensors.v + i, x.v, scale_v);
            });
        }

        template <class T> static __device__ float fitting(const float* scale, const u32* amax, i64 slot)
        {
            if constexpr (kScaledMaximum<T> > 0.0f)
                return state_scale(amax[slot], kScaledMaximum<T>, scale[slot]);
            else
                return 1.0f;
        }

        template <class T, int kWidth> static __device__ __forceinline__ void put(T* to, packs::Floats<kWidth>& values, float scale)
        {
            if constexpr (kScaledMaximum<T> > 0.0f)
                #pragma unroll
                for (int i = 0; i < kWidth; ++i)
                    values[i] = max_(min_(values[i] * scale, kScaledMaximum<T>), -kScaledMaximum<T>);
            packs::store<kWidth>(to, values);
        }
    };

    // Assigns master, m, v, none of which has a scale.
    struct Update : Launch<kThreads, 0, 0, 0, kResident>
    {
        static __device__ void run(
            void* master, const void* grad, void* m, void* v, const Segment* segments, i64 count, i64 tiles, const StepState* state)
        {
            static_assert(kScaledMaximum<Master> + kScaledMaximum<Gradient> + kScaledMaximum<First> + kScaledMaximum<Second> == 0.0f, "scales take two passes");
            Store::run(master, grad, m, v, segments, count, tiles, nullptr, nullptr, nullptr, state);
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
