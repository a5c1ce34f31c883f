#pragma once
#include <fp8lm/common/pack.cuh>
#include <fp8lm/common/state_scale.cuh>
#include <fp8lm/optim/adam_step.cuh>
#include <fp8lm/optim/moment_group.cuh>
#include <fp8lm/optim/segment.cuh>
#include <fp8lm/optim/state_counter.cuh>
#include <fp8lm/reduce/amax.cuh>

// AdamW over all parameters at once. Moments have one format; masters and gradients of linear weights have theirs, all others are f32. Without scales it is one
// pass, Update. Where anything has a scale it is FP8-LM's optimizer (fact sheet, 3.3) in two: Amax takes the amax of the new moments and weights, Store computes
// them again and stores them with scales that fit. Nothing is read back by the host, and no tensor exists in f32 besides those stored so. Clipping multiplies
// what was dequantised. Moments in groups (Grouped<e4m3>) have no scale of their tensor: a warp has all numbers of a group, so that no pass goes before the one that stores.
namespace fp8lm::optim {

template <class Master, class Gradient, class FirstFormat, class SecondFormat> struct SegmentedAdamW
{
private:
    using First = typename MomentFormat<FirstFormat>::Element;
    using Second = typename MomentFormat<SecondFormat>::Element;
    static constexpr bool kFirstGroups = MomentFormat<FirstFormat>::kGroups, kSecondGroups = MomentFormat<SecondFormat>::kGroups, kGroups = kFirstGroups || kSecondGroups;

    // Three blocks of a multiprocessor, with kUnroll packs of each tensor on their way to every thread (64 to 128 bytes), keep the memory busy; in the registers
    // of four blocks some formats spill.
    static constexpr int kThreads = 256, kResident = 3, kUnroll = 2;

    // What has a scale per tensor.
    template <class T> static constexpr bool kScaled = kScaledMaximum<T> > 0.0f;
    static constexpr bool kFirstScaled = !kFirstGroups && kScaled<First>, kSecondScaled = !kSecondGroups && kScaled<Second>;

    struct Arenas
    {
        void* master;
        const void* grad;
        void* m;
        void* v;
        MomentGroup* m_groups;
        MomentGroup* v_groups;
        const float* inverse;
        i64 count;
    };

    static __device__ MomentGroup* groups(const float* pairs) { return reinterpret_cast<MomentGroup*>(const_cast<float*>(pairs)); }

    // A stretch of the tensors of a segment, and what turns their numbers into values.
    template <class W, class G> struct Tensors
    {
        // With it a warp's access to each tensor is one stretch of memory, with at most 16 bytes a thread, and of moments in groups one group.
        static constexpr int kWidth = sizeof(W) == 4 || sizeof(G) == 4 || sizeof(First) == 4 || sizeof(Second) == 4 || kGroups ? 4 : 8;

        struct Packs
        {
            packs::Pack<W, kWidth> w;
            packs::Pack<G, kWidth> g;
            packs::Pack<First, kWidth> m;
            packs::Pack<Second, kWidth> v;
            MomentGroup m_group, v_group;
        };

        struct Values
        {
            packs::Floats<kWidth> w, m, v;
        };

        W* w;
        const G* g;
        First* m;
        Second* v;
        MomentGroup* m_groups;
        MomentGroup* v_groups;

        __device__ __forceinline__ Tensors(const Arenas& a, const Segment& segment, i64 begin, int index, const StepState* state)
            : w(at<W>(a.master, segment.master) + begin), g(at<G>(a.grad, segment.gradient) + begin), m(at<First>(a.m, segment.first) + begin),
              v(at<Second>(a.v, segment.second) + begin), m_groups(a.m_groups + segment.first_group + begin / kMomentGroup), v_groups(a.v_groups + segment.first_group + begin / kMomentGroup),
              inverse_w(inverse_of<W>(a, kMasterRow, index)), step(state, segment.flags & Segment::kDecays)
        {
            // Scales are powers of two, so that multiplying the step's factors instead of the numbers rounds the same.
            step.clip *= inverse_of<G>(a, kGradientRow, index);
            if constexpr (!kFirstGroups)
                step.keep1 *= inverse_of<First>(a, kFirstRow, index);
            if constexpr (!kSecondGroups)
                step.keep2 *= inverse_of<Second>(a, kSecondRow, index);
        }

        __device__ __forceinline__ Packs fetch(int i) const
        {
            Packs packs{packs::fetch<kWidth>(w + i), packs::fetch<kWidth>(g + i), packs::fetch<kWidth>(m + i), packs::fetch<kWidth>(v + i)};
            if constexpr (kFirstGroups)
                packs.m_group = m_groups[i / kMomentGroup];
            if constexpr (kSecondGroups)
                packs.v_group = v_groups[i / kMomentGroup];
            return packs;
        }

        __device__ __forceinline__ Values updated(const Packs& packs) const
        {
            Values x{packs::widen(packs.w), packs::widen(packs.m), packs::widen(packs.v)};
            const packs::Floats<kWidth> slope = packs::widen(packs.g);
            if constexpr (kFirstGroups)
                MomentCode<First>::expand(x.m, packs.m_group);
            if constexpr (kSecondGroups)
                MomentCode<Second>::expand(x.v, packs.v_group);
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

    // use(i, packs, inside) by whole warps, for what the lanes that share a group exchange: those behind the end of the stretch have its last elements once more, which changes no
    // maximum and no minimum of their group.
    template <class T, class Use> static __device__ __forceinline__ void sweep_warps(const T& tensors, int elements, Use use)
    {
        const int lane = threadIdx.x % kWarpSize * T::kWidth;
        for (int i = threadIdx.x * T::kWidth; i - lane < elements; i += kThreads * T::kWidth)
            use(i, tensors.fetch(min(i, elements - T::kWidth)), i < elements);
    }

public:
    // master, grad, m, v -> amax [4, count] (rows of master, m, v; of a moment if it has a scale), by integer maximum; one atomic per warp and stretch.
    struct Amax : Launch<kThreads, 0, 0, 0, kResident>
    {
        static __device__ void run(
            const void* master, const void* grad, const void* m, const void* v, const Segment* segments, i64 count, i64 tiles, const float* inverse, u32* amax,
            const StepState* state)
        {
            run(master, grad, m, v, segments, count, tiles, nullptr, nullptr, inverse, amax, state);
        }

        // With the groups of moments that have them, F32 [groups, 2].
        static __device__ void run(
            const void* master, const void* grad, const void* m, const void* v, const Segment* segments, i64 count, i64 tiles, const float* m_groups, const float* v_groups,
            const float* inverse, u32* amax, const StepState* state)
        {
            if (state->SkipStep != 0)
                return;
            const Arenas arenas{const_cast<void*>(master), grad, const_cast<void*>(m), const_cast<void*>(v), groups(m_groups), groups(v_groups), inverse, count};
            for_each_stretch(segments, count, tiles, [&](int index, const Segment& segment, i64 begin, int elements) {
                if (segment.flags & Segment::kLinear)
                    one(Tensors<Master, Gradient>(arenas, segment, begin, index, state), elements, amax + index, count);
                else if constexpr (kFirstScaled || kSecondScaled)
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
                    if constexpr (kFirstScaled)
                        m = amax_bits(m, x.m[i]);
                    if constexpr (kSecondScaled)
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
            const u32* amax, const StepState* state FP8LM_COUNTED(, CastStatistics* casts))
        {
            run(master, grad, m, v, segments, count, tiles, nullptr, nullptr, scale, inverse, amax, state FP8LM_COUNTED(, casts));
        }

        // With the groups of moments that have them, F32 [groups, 2]: read and assigned.
        static __device__ void run(
            void* master, const void* grad, void* m, void* v, const Segment* segments, i64 count, i64 tiles, float* m_groups, float* v_groups, const float* scale,
            const float* inverse, const u32* amax, const StepState* state FP8LM_COUNTED(, CastStatistics* casts))
        {
            if (state->SkipStep != 0)
                return;
            const Arenas arenas{master, grad, m, v, groups(m_groups), groups(v_groups), inverse, count};
            for_each_stretch(segments, count, tiles, [&](int index, const Segment& segment, i64 begin, int elements) {
                if (segment.flags & Segment::kLinear)
                    one(Tensors<Master, Gradient>(arenas, segment, begin, index, state), elements, index, count, scale, amax FP8LM_COUNTED(, casts, segment.own(begin)));
                else
                    one(Tensors<float, float>(arenas, segment, begin, index, state), elements, index, count, scale, amax FP8LM_COUNTED(, casts, segment.own(begin)));
            });
        }

    private:
        template <class W, class G>
        static __device__ __forceinline__ void one(
            const Tensors<W, G>& tensors, int elements, int index, i64 count, const float* scale, const u32* amax FP8LM_COUNTED(, CastStatistics* casts, i64 own))
        {
            FP8LM_COUNTED(StateCounters<W, First, Second> counters;)
            const float scale_w = fitting<W, kScaled<W>>(scale, amax, kMasterRow * count + index), scale_m = fitting<First, kFirstScaled>(scale, amax, kFirstRow * count + index),
                        scale_v = fitting<Second, kSecondScaled>(scale, amax, kSecondRow * count + index);
            if constexpr (kGroups)
                sweep_warps(tensors, elements, [&](int i, const auto& pack, bool inside) {
                    auto x = tensors.updated(pack);
                    FP8LM_COUNTED(count_tensors(counters, x, scale_w, scale_m, scale_v, inside ? own - i : 0);)
                    if constexpr (kFirstGroups)
                        put_group<First>(tensors.m_groups + i / kMomentGroup, x.m, pack.m_group, i, inside FP8LM_COUNTED(, counters.m, own));
                    if constexpr (kSecondGroups)
                        put_group<Second>(tensors.v_groups + i / kMomentGroup, x.v, pack.v_group, i, inside FP8LM_COUNTED(, counters.v, own));
                    if (!inside)
                        return;
                    put<kScaled<W>>(tensors.w + i, x.w, scale_w);
                    put<kFirstScaled>(tensors.m + i, x.m, scale_m);
                    put<kSecondScaled>(tensors.v + i, x.v, scale_v);
                });
            else
                sweep(tensors, elements, [&](int i, const auto& pack) {
                    auto x = tensors.updated(pack);
                    FP8LM_COUNTED(count_tensors(counters, x, scale_w, scale_m, scale_v, own - i);)
                    put<kScaled<W>>(tensors.w + i, x.w, scale_w);
                    put<kFirstScaled>(tensors.m + i, x.m, scale_m);
                    put<kSecondScaled>(tensors.v + i, x.v, scale_v);
                });
            FP8LM_COUNTED(flush(counters, casts + index, count, scale_w, scale_m, scale_v);)
        }

        // States that are not in groups; a group is counted where it is made.
        template <class Counters, class Values>
        static __device__ __forceinline__ void count_tensors(Counters& counters, const Values& x, float scale_w, float scale_m, float scale_v, i64 own)
        {
            counters.w.add(x.w, scale_w, own);
            if constexpr (!kFirstGroups)
                counters.m.add(x.m, scale_m, own);
            if constexpr (!kSecondGroups)
                counters.v.add(x.v, scale_v, own);
        }

        template <class Counters>
        static __device__ __forceinline__ void flush(Counters& counters, CastStatistics* casts, i64 count, float scale_w, float scale_m, float scale_v)
        {
            constexpr int kFirstCasts = kCountedState<Master>, kSecondCasts = kFirstCasts + kCountedState<First>;
            counters.w.template flush_block<kThreads>(casts, scale_w);
            counters.m.template flush_block<kThreads>(casts + kFirstCasts * count, kFirstGroups ? 0.0f : scale_m);
            counters.v.template flush_block<kThreads>(casts + kSecondCasts * count, kSecondGroups ? 0.0f : scale_v);
        }

        // What of a group is this lane's, ready to be rounded; the first lane of a group stores what it has in common.
        template <class T, int kWidth>
        static __device__ __forceinline__ void put_group(
            MomentGroup* to, packs::Floats<kWidth>& values, MomentGroup group, int i, bool inside FP8LM_COUNTED(, StateCounter<T>& counter, i64 own))
        {
            FP8LM_COUNTED(const packs::Floats<kWidth> before = values;)
            group = MomentCode<T>::compress(values, group);
            FP8LM_COUNTED(counter.add_group(before, values, group, inside ? own - i : 0);)
            if (inside && i % kMomentGroup == 0)
                *to = group;
        }

        template <class T, bool kHasScale> static __device__ float fitting(const float* scale, const u32* amax, i64 slot)
        {
            if constexpr (kHasScale)
                return state_scale(amax[slot], kScaledMaximum<T>, scale[slot]);
            else
                return 1.0f;
        }

        template <bool kHasScale, class T, int kWidth> static __device__ __forceinline__ void put(T* to, packs::Floats<kWidth>& values, float scale)
        {
            if constexpr (kHasScale)
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
            void* master, const void* grad, void* m, void* v, const Segment* segments, i64 count, i64 tiles, const StepState* state FP8LM_COUNTED(, CastStatistics* casts))
        {
            run(master, grad, m, v, segments, count, tiles, nullptr, nullptr, state FP8LM_COUNTED(, casts));
        }

        // With the groups of moments that have them, F32 [groups, 2]: read and assigned.
        static __device__ void run(
            void* master, const void* grad, void* m, void* v, const Segment* segments, i64 count, i64 tiles, float* m_groups, float* v_groups,
            const StepState* state FP8LM_COUNTED(, CastStatistics* casts))
        {
            static_assert(!kScaled<Master> && !kScaled<Gradient> && !kFirstScaled && !kSecondScaled, "scales take two passes");
            Store::run(master, grad, m, v, segments, count, tiles, m_groups, v_groups, nullptr, nullptr, nullptr, state FP8LM_COUNTED(, casts));
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
