using System;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Fp8Lm.Execution;
using Fp8Lm.Numerics;

namespace Fp8Lm.Cpu;

public static unsafe partial class CpuKernels
{
    /// <summary>Computes new weights and moments and stores them, a tile at a time; in sampled steps it counts what that does to them.</summary>
    private readonly struct StorePass<TMode, TMaster, TGradient, TFirst, TSecond>(StateArenas arenas, float* scale, uint* amax, StepState state, CastStatistics* casts) : ITileKernel
        where TMode : struct, ICastMode where TMaster : struct, IStateFormat where TGradient : struct, IStateFormat where TFirst : struct, IStateFormat where TSecond : struct, IStateFormat
    {
        public void Run(int tile, int worker)
        {
            long index = arenas.Find(tile, out StateSegment segment, out long begin, out long end);
            if ((segment.Traits & StateSegmentTraits.Linear) != 0)
            {
                Run(new StateReader<TMaster, TGradient, TFirst, TSecond>(arenas, segment, index, state), segment, index, begin, end);
            }
            else
            {
                Run(new StateReader<F32State, F32State, TFirst, TSecond>(arenas, segment, index, state), segment, index, begin, end);
            }
        }

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        private void Run<TWeight, TSlope>(in StateReader<TWeight, TSlope, TFirst, TSecond> reader, in StateSegment segment, long index, long begin, long end)
            where TWeight : struct, IStateFormat where TSlope : struct, IStateFormat
        {
            byte* master = arenas.Master(segment), first = arenas.First(segment), second = arenas.Second(segment);
            Vector256<float> masterScale = Scale<TWeight>(MasterRow, index), firstScale = Scale<TFirst>(FirstRow, index), secondScale = Scale<TSecond>(SecondRow, index);
            StateCounter<TWeight> masters = default;
            StateCounter<TFirst> firsts = default;
            StateCounter<TSecond> seconds = default;
            long own = segment.Elements - segment.Padding;
            if (TFirst.GroupMaximum > 0f || TSecond.GroupMaximum > 0f)
            {
                float* firstValues = stackalloc float[MomentGroup.Elements], secondValues = stackalloc float[MomentGroup.Elements];
                for (long group = begin; group < end; group += MomentGroup.Elements)
                {
                    int n = (int)Math.Min(MomentGroup.Elements, end - group);
                    for (int i = 0; i < n; i += Lanes)
                    {
                        reader.Update(group + i, out Vector256<float> w, out Vector256<float> m, out Vector256<float> v);
                        Put(master + ((group + i) * TWeight.Bytes), w, masterScale, ref masters, own - group - i);
                        Simd.Store(firstValues + i, m);
                        Simd.Store(secondValues + i, v);
                    }

                    PutGroup(first, arenas.FirstGroups + segment.FirstGroup, group, firstValues, n, firstScale, ref firsts, own - group);
                    PutGroup(second, arenas.SecondGroups + segment.FirstGroup, group, secondValues, n, secondScale, ref seconds, own - group);
                }
            }
            else
            {
                for (long i = begin; i < end; i += Lanes)
                {
                    reader.Update(i, out Vector256<float> w, out Vector256<float> m, out Vector256<float> v);
                    Put(master + (i * TWeight.Bytes), w, masterScale, ref masters, own - i);
                    Put(first + (i * TFirst.Bytes), m, firstScale, ref firsts, own - i);
                    Put(second + (i * TSecond.Bytes), v, secondScale, ref seconds, own - i);
                }
            }

            if (TMode.Counts)
            {
                // Rows are those of the states that are counted; a master is, or its row stays empty.
                CastStatistics* slot = casts + index;
                masters.Flush(slot, masterScale);
                firsts.Flush(slot += StateCounter<TMaster>.Rows * arenas.Count, firstScale);
                seconds.Flush(slot + (StateCounter<TFirst>.Rows * arenas.Count), secondScale);
            }
        }

        /// <summary>Stores a moment of up to 128 elements, in a group or with the scale of its tensor.</summary>
        private static void PutGroup<T>(byte* to, MomentGroup* groups, long begin, float* values, int n, Vector256<float> scale, ref StateCounter<T> counter, long own) where T : struct, IStateFormat
        {
            if (T.GroupMaximum > 0f)
            {
                ref MomentGroup group = ref groups[begin / MomentGroup.Elements];
                group.Compress<T>(values, n, to + begin);
                if (TMode.Counts)
                {
                    counter.AddGroup(to + begin, values, group, Math.Min(own, n));
                }

                return;
            }

            for (int i = 0; i < n; i += Lanes)
            {
                Put(to + ((begin + i) * T.Bytes), Simd.Load(values + i), scale, ref counter, own - i);
            }
        }

        private Vector256<float> Scale<T>(int row, long index) where T : struct, IStateFormat
        {
            long slot = (row * arenas.Count) + index;
            return Vector256.Create(T.Maximum > 0f ? Scaling.State(amax[slot], T.Maximum, scale[slot]) : 1f);
        }

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        private static void Put<T>(byte* to, Vector256<float> value, Vector256<float> scale, ref StateCounter<T> counter, long own) where T : struct, IStateFormat
        {
            Vector256<float> scaled = value;
            if (T.Maximum > 0f)
            {
                scaled = VectorMath.Max(VectorMath.Min(value * scale, Vector256.Create(T.Maximum)), Vector256.Create(-T.Maximum));
            }

            T.Store(to, scaled);
            if (TMode.Counts)
            {
                counter.Add(to, value, scale, own);
            }
        }
    }
}
