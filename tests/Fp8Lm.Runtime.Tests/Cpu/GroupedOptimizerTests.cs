using System;
using System.Linq;
using System.Runtime.InteropServices;
using Fp8Lm.Cpu;
using Fp8Lm.Execution;
using Xunit;

namespace Fp8Lm.Runtime.Tests.Cpu;

/// <summary>The optimizer with moments in groups (COAT, arXiv 2410.19313, section 4) on the CPU: segments that end in and between groups, with and without states that have scales.</summary>
public unsafe class GroupedOptimizerTests
{
    private static readonly int[] Sizes = [64, 4160, 10_048, 128];

    private static readonly StepState Step = new()
    {
        LearningRate = 1e-3f, Beta1 = 0.9f, Beta2 = 0.95f, Epsilon = 1e-8f, WeightDecay = 0.1f, BiasCorrection1 = 0.271f, BiasCorrection2 = 0.142625f, ClipFactor = 0.5f,
    };

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void One_pass_updates_in_float32_and_rounds_the_moments_once(int workers)
    {
        States<F32State, BF16State, GroupedState<E4M3State>, GroupedState<E4M3State>> states = new(ElementFormat.E4M3, ElementFormat.E4M3);
        states.CheckStep(() => states.Run(Step, workers));
    }

    [Fact]
    public void One_moment_may_be_in_groups_beside_one_in_F32()
    {
        States<F32State, BF16State, F32State, GroupedState<E5M2State>> states = new(ElementFormat.F32, ElementFormat.E5M2);
        states.CheckStep(() => states.Run(Step, 2));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void A_master_with_a_scale_takes_two_passes(int workers)
    {
        States<F16State, BF16State, GroupedState<E4M3State>, GroupedState<E4M3State>> states = new(ElementFormat.E4M3, ElementFormat.E4M3);
        states.CheckStep(() => states.RunScaled(Step, workers));
        // Only masters have a scale, those of linear weights.
        Assert.Equal([true, false, true, false], states.Amax.Skip(Sizes.Length).Take(Sizes.Length).Select(amax => amax != 0));
    }

    [Fact]
    public void A_skipped_step_changes_nothing()
    {
        States<F32State, BF16State, GroupedState<E4M3State>, GroupedState<E4M3State>> states = new(ElementFormat.E4M3, ElementFormat.E4M3);
        byte[][] before = states.Snapshot();
        states.Run(Step with { SkipStep = 1 }, 2);
        Assert.Equal(before, states.Snapshot());
    }

    /// <summary>Arenas of a few segments, those with an even number linear.</summary>
    private sealed class States<TMaster, TGradient, TFirst, TSecond>
        where TMaster : struct, IStateFormat where TGradient : struct, IStateFormat where TFirst : struct, IStateFormat where TSecond : struct, IStateFormat
    {
        private readonly ElementFormat first, second;
        private readonly StateSegment[] segments = new StateSegment[Sizes.Length];
        private readonly byte[][] arenas = [.. Enumerable.Range(0, 4).Select(_ => new byte[Sizes.Sum() * sizeof(float)])];
        private readonly MomentGroup[] firstGroups, secondGroups;
        private readonly float[] ones = [.. Enumerable.Repeat(1f, 4 * Sizes.Length)];
        private readonly float[][][] values;
        private readonly long tiles;

        public States(ElementFormat first, ElementFormat second)
        {
            (this.first, this.second) = (first, second);
            long offset = 0, groups = 0;
            for (int i = 0; i < Sizes.Length; i++)
            {
                segments[i] = new StateSegment
                {
                    Master = offset, Gradient = offset, FirstMoment = offset, SecondMoment = offset, FirstTile = tiles, Elements = Sizes[i], WeightSlot = -1, FirstGroup = groups,
                    Traits = (i % 2 == 0 ? StateSegmentTraits.Linear : 0) | (i != 2 ? StateSegmentTraits.Decays : 0),
                };
                offset += Sizes[i] * sizeof(float);
                tiles += (Sizes[i] + StateSegment.TileElements - 1) / StateSegment.TileElements;
                groups += MomentGroup.Count(Sizes[i]);
            }

            (firstGroups, secondGroups) = (new MomentGroup[groups], new MomentGroup[groups]);
            var random = new Random(11);
            Func<double>[] draws = [() => (random.NextDouble() - 0.5) * 0.2, () => random.NextDouble() - 0.5, () => (random.NextDouble() - 0.5) * 0.1 * Math.Pow(2, random.Next(-8, 0)), () => 0.01 * Math.Pow(2, random.Next(-20, 0))];
            values = [.. draws.Select(draw => Sizes.Select(n => Enumerable.Range(0, n).Select(_ => (float)draw()).ToArray()).ToArray())];
            for (int i = 0; i < Sizes.Length; i++)
            {
                // A group of zeros, and one with a single number.
                Array.Clear(values[2][i], 0, Math.Min(128, Sizes[i] / 2));
                Array.Clear(values[3][i], 0, Math.Min(128, Sizes[i] / 2));
                Write(0, i, i % 2 == 0 ? ElementFormat.BF16 : ElementFormat.F32, null);
                Write(1, i, Master(i), null);
                Write(2, i, first, firstGroups);
                Write(3, i, second, secondGroups);
            }
        }

        public uint[] Amax { get; } = new uint[4 * Sizes.Length];

        public byte[][] Snapshot() => [.. arenas.Select(a => a.ToArray()), MemoryMarshal.AsBytes<MomentGroup>(firstGroups).ToArray(), MemoryMarshal.AsBytes<MomentGroup>(secondGroups).ToArray()];

        /// <summary>Runs a step and compares every state with a float64 update of what was stored, and the moments with the rounding of their groups.</summary>
        public void CheckStep(Action run)
        {
            float[][][] before = [.. Enumerable.Range(0, 4).Select(row => Enumerable.Range(0, Sizes.Length).Select(i => Read(row, i)).ToArray())];
            run();
            for (int i = 0; i < Sizes.Length; i++)
            {
                double decay = (segments[i].Traits & StateSegmentTraits.Decays) != 0 ? Step.WeightDecay : 0;
                float[] w = Read(1, i), m = Read(2, i), v = Read(3, i);
                double[] firsts = new double[w.Length], seconds = new double[w.Length];
                for (int e = 0; e < w.Length; e++)
                {
                    double gradient = (double)before[0][i][e] * Step.ClipFactor;
                    firsts[e] = (Step.Beta1 * (double)before[2][i][e]) + ((1 - (double)Step.Beta1) * gradient);
                    seconds[e] = (Step.Beta2 * (double)before[3][i][e]) + ((1 - (double)Step.Beta2) * gradient * gradient);
                    double step = firsts[e] / Step.BiasCorrection1 / (Math.Sqrt(seconds[e] / Step.BiasCorrection2) + Step.Epsilon);
                    double expected = before[1][i][e] - (Step.LearningRate * (step + (decay * before[1][i][e])));
                    Assert.Equal(expected, w[e], (Master(i) == ElementFormat.F16 ? Math.Abs(expected) / 2048 : 0) + (2e-6 * Math.Abs(expected)) + 2e-8);
                }

                Close(firsts, m, first);
                Close(seconds, v, second);
            }
        }

        public void Run(StepState state, int workers)
        {
            using var pool = new CpuPool(workers);
            fixed (byte* g = arenas[0], w = arenas[1], m = arenas[2], v = arenas[3])
            fixed (StateSegment* table = segments)
            fixed (MomentGroup* mGroups = firstGroups, vGroups = secondGroups)
            {
                nint* args = stackalloc nint[] { (nint)w, (nint)g, (nint)m, (nint)v, (nint)table, Sizes.Length, (nint)tiles, (nint)mGroups, (nint)vGroups, (nint)(&state) };
                CpuKernels.SegmentedAdamW<TMaster, TGradient, TFirst, TSecond>(null!, args, pool);
            }
        }

        public void RunScaled(StepState state, int workers)
        {
            using var pool = new CpuPool(workers);
            fixed (byte* g = arenas[0], w = arenas[1], m = arenas[2], v = arenas[3])
            fixed (StateSegment* table = segments)
            fixed (MomentGroup* mGroups = firstGroups, vGroups = secondGroups)
            fixed (float* scale = ones)
            fixed (uint* amax = Amax)
            {
                nint* one = stackalloc nint[] { (nint)w, (nint)g, (nint)m, (nint)v, (nint)table, Sizes.Length, (nint)tiles, (nint)mGroups, (nint)vGroups, (nint)scale, (nint)amax, (nint)(&state) };
                CpuKernels.ScaledAdamAmax<TMaster, TGradient, TFirst, TSecond>(null!, one, pool);
                nint* two = stackalloc nint[] { (nint)w, (nint)g, (nint)m, (nint)v, (nint)table, Sizes.Length, (nint)tiles, (nint)mGroups, (nint)vGroups, (nint)scale, (nint)scale, (nint)amax, (nint)(&state) };
                CpuKernels.ScaledAdamStore<TMaster, TGradient, TFirst, TSecond>(null!, two, pool);
            }
        }

        /// <summary>The casts of exact numbers: equal but where float32 arithmetic decides a rounding, and then neighbours.</summary>
        private static void Close(double[] expected, float[] actual, ElementFormat format)
        {
            if (format == ElementFormat.F32)
            {
                Assert.All(expected.Zip(actual), p => Assert.Equal(p.First, p.Second, (1e-6 * Math.Abs(p.First)) + 1e-8));
                return;
            }

            float[] cast = new float[actual.Length];
            byte[] bytes = new byte[actual.Length];
            MomentGroup[] groups = new MomentGroup[MomentGroup.Count(actual.Length)];
            StateCodec.EncodeGroups([.. expected.Select(e => (float)e)], format, groups, bytes);
            StateCodec.DecodeGroups(bytes, format, groups, cast);
            Assert.InRange(cast.Zip(actual).Count(p => Math.Abs(p.First - p.Second) > 1e-4f * Math.Abs(p.First)), 0, actual.Length / 200);
            // Neighbours are a factor of at most 2 apart, where bytes are smallest, to the power of 1 / k.
            Assert.All(cast.Zip(actual).Select((p, e) => (p.First, p.Second, groups[e / MomentGroup.Elements].Root)), p => Assert.InRange(Math.Abs(p.Second), Math.Abs(p.First) / Math.Pow(2.01, p.Root), Math.Abs(p.First) * Math.Pow(2.01, p.Root)));
        }

        private ElementFormat Master(int segment) => segment % 2 == 0 && typeof(TMaster) == typeof(F16State) ? ElementFormat.F16 : ElementFormat.F32;

        private Span<byte> Part(int row, int segment, ElementFormat format) => arenas[row].AsSpan((int)segments[segment].Master, Sizes[segment] * format.Bytes());

        private void Write(int row, int segment, ElementFormat format, MomentGroup[]? groups)
        {
            if (groups is not null && format != ElementFormat.F32)
            {
                StateCodec.EncodeGroups(values[row][segment], format, groups.AsSpan((int)segments[segment].FirstGroup), Part(row, segment, format));
                return;
            }

            StateCodec.Encode(values[row][segment], format, 1f, Part(row, segment, format));
        }

        private float[] Read(int row, int segment)
        {
            float[] result = new float[Sizes[segment]];
            ElementFormat format = row switch { 0 => segment % 2 == 0 ? ElementFormat.BF16 : ElementFormat.F32, 1 => Master(segment), 2 => first, _ => second };
            if (row > 1 && format != ElementFormat.F32)
            {
                StateCodec.DecodeGroups(Part(row, segment, format), format, (row == 2 ? firstGroups : secondGroups).AsSpan((int)segments[segment].FirstGroup), result);
                return result;
            }

            // After two passes the master has the scale of its amax.
            float scale = row == 1 && format == ElementFormat.F16 && Amax[Sizes.Length + segment] != 0 ? Scaling.State(Amax[Sizes.Length + segment], 65504f, 1f) : 1f;
            StateCodec.Decode(Part(row, segment, format), format, 1f / scale, result);
            return result;
        }
    }
}
