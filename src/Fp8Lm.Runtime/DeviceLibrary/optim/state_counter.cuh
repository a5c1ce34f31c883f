#pragma once
#include <fp8lm/optim/moment_group.cuh>
#include <fp8lm/reduce/cast_counter.cuh>

// What the optimizer's stores do to masters and moments, counted in sampled steps where they are made: in the slot of a segment and a state. Slots are
// [states in fewer than 32 bits, segments], the master's row first. The same counts as Cpu/StateCounter.cs.
namespace fp8lm::optim {

// Whether a state is counted, 1 or 0: those in f32 lose nothing.
template <class T> constexpr int kCountedState = sizeof(T) < sizeof(float);

// One state of a stretch, until flush_block; a stretch has at most kLongestRun tiles.
template <class T> struct StateCounter
{
    // The first count of some values before their scale.
    template <int kWidth> __device__ __forceinline__ void add(const packs::Floats<kWidth>& values, float scale, i64 count)
    {
        if constexpr (kCountedState<T>)
            #pragma unroll
            for (int i = 0; i < kWidth; ++i)
                if (i < count)
                    counter.add(values[i], scale);
    }

    // The same of values in a group; codes are what is rounded to T.
    template <int kWidth> __device__ __forceinline__ void add_group(const packs::Floats<kWidth>& values, const packs::Floats<kWidth>& codes, MomentGroup group, i64 count)
    {
        const packs::Floats<kWidth> stored = packs::widen(packs::narrow<T>(codes));
        packs::Floats<kWidth> back = stored;
        MomentCode<T>::expand(back, group);
        #pragma unroll
        for (int i = 0; i < kWidth; ++i)
            if (i < count)
                counter.add_stored(values[i], stored[i], values[i] - back[i]);
    }

    // Called by all threads of a block; scale is 0 where groups have their own.
    template <int kThreads> __device__ __forceinline__ void flush_block(CastStatistics* to, float scale)
    {
        if constexpr (kCountedState<T>)
            counter.template flush_block<kThreads>(to, scale);
    }

private:
    CastCounter<T> counter;
};

// The states of a segment.
template <class Master, class First, class Second> struct StateCounters
{
    StateCounter<Master> w;
    StateCounter<First> m;
    StateCounter<Second> v;
};

}  // namespace fp8lm::optim
