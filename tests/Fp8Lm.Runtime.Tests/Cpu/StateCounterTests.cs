using System;
using System.Collections.Generic;
using System.Linq;
using System.Runtime.InteropServices;
using Fp8Lm.Cpu;
using Fp8Lm.Execution;
using Fp8Lm.Numerics;
using Xunit;

namespace Fp8Lm.Runtime.Tests.Cpu;

/// <summary>What the stores of the optimizer count is what a look at every value and what became of it finds afterwards, and counting changes no byte.</summary>
public sealed unsafe class StateCounterTests
{
    private static readonly StepState Step = new()
    {
        LearningRate = 1e-3f, Beta1 = 0.9f, Beta2 = 0.95f, Epsilon = 1e-8f, WeightDecay = 0.1f, BiasCorrection1 = 0.271f, BiasCorrection2 = 0.142625f, ClipFactor = 0.5f,
    };

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void CountsAreThoseOfEveryElement(int workers)
    {
        // Fp8LmO1, Fp8LmO2 and its ablations; Coat, alone and in Fp8LmO2; what one pass stores in 16 bits; and others that no recipe here has.
        Check<F16State, E4M3State, F32State, F32State>(workers);
        Check<F16State, E4M3State, E4M3State, F16State>(workers);
        Check<BF16State, E4M3State, E4M3State, F16State>(workers);
        Check<E4M3State, E4M3State, E4M3State, F16State>(workers);
        Check<F16State, E4M3State, E4M3State, E4M3State>(workers);
        Check<F32State, BF16State, GroupedState<E4M3State>, GroupedState<E4M3State>>(workers);
        Check<F16State, E4M3State, GroupedState<E4M3State>, GroupedState<E4M3State>>(workers);
        Check<BF16State, BF16State, BF16State, BF16State>(workers);
        Check<F32State, F32State, F32State, GroupedState<E5M2State>>(workers);
        Check<F32State, BF16State, BF16State, E5M2State>(workers);
        Check<F16State, F32State, GroupedState<E4M3State>, F16State>(workers);
    }

    /// <summary>Numbers that can be counted by hand: with both betas zero the first moment is the gradient, and the second its square.</summary>
    [Fact]
    public void KnownNumbersAreCountedByHand()
    {
        // The largest is 1, so E4M3 has the scale 256 and steps of 2^-17 near zero: 2^-18 is the middle, which rounds to even.
        float[] gradient = [1f, -1f, 0f, MathF.ScaleB(1f, -18), MathF.ScaleB(-1f, -20), MathF.ScaleB(1.5f, -18), 0.53125f, MathF.ScaleB(1f, -9)];
        var states = new States<F32State, F32State, E4M3State, BF16State>([gradient.Length]);
        states.Set(0, gradient);
        states.Run(Step with { Beta1 = 0f, Beta2 = 0f, ClipFactor = 1f }, 1, counts: true);

        CastStatistics first = states.Casts[0], second = states.Casts[1];
        Assert.Equal((8UL, 0UL, 2UL, 0UL, 256f), (first.Elements, first.NonFinite, first.Underflow, first.Saturated, first.Scale));
        Assert.Equal((1.0, 2 + Math.Pow(2, -36) + Math.Pow(2, -40) + (2.25 * Math.Pow(2, -36)) + (0.53125 * 0.53125) + Math.Pow(2, -18)), (first.Numerics.Amax, first.Numerics.Signal), (a, b) => a.Item1 == b.Item1 && Math.Abs(a.Item2 - b.Item2) < 1e-6);

        // Lost are two numbers as a whole, 2^-19 of the third (it becomes 2^-17), and half of the last place of 0.53125: 1/32.
        double lost = Math.Pow(2, -36) + Math.Pow(2, -40) + Math.Pow(2, -38) + Math.Pow(2, -10);
        Assert.Equal(lost, first.Numerics.Noise, 1e-6 * lost);

        // Squares of powers of two are exact in BF16, and so are 2.25 and 0.28222656, but for its last three bits: 0.28125 is stored.
        Assert.Equal((8UL, 0UL, 0UL, 0UL, 1f), (second.Elements, second.NonFinite, second.Underflow, second.Saturated, second.Scale));
        Assert.Equal(Math.Pow((0.53125 * 0.53125) - 0.28125, 2), second.Numerics.Noise, 1e-9 * second.Numerics.Noise);
        Assert.Equal((8, 2.0 / 8), (first.Numerics.Elements, first.Numerics.UnderflowShare));
    }

    /// <summary>What just rounds to the largest number counts as saturated; a number that is not finite counts as that alone, and leaves the scale as it was.</summary>
    [Fact]
    public void TheLargestNumberAndWhatIsNotFiniteAreCounted()
    {
        var states = new States<F32State, F32State, E4M3State, F16State>([8]);
        states.Set(0, [448f, 440f, -448f, 1f, 432f, 431f, 2f, 3f]);
        states.Run(Step with { Beta1 = 0f, Beta2 = 0f, ClipFactor = 1f }, 1, counts: true);
        Assert.Equal((8UL, 4UL, 1f), (states.Casts[0].Elements, states.Casts[0].Saturated, states.Casts[0].Scale));

        states = new States<F32State, F32State, E4M3State, F16State>([8]);
        states.Set(0, [1e25f, 1f, 1000f, 0f, 0f, 0f, 0f, 0f]);    // its square is infinite, and that of 1000 more than F16 has with the scale 1
        states.Run(Step with { Beta1 = 0f, Beta2 = 0f, ClipFactor = 1f }, 1, counts: true);
        Assert.Equal((7UL, 1UL, 1UL, 1f, 1e6), (states.Casts[1].Elements, states.Casts[1].NonFinite, states.Casts[1].Saturated, states.Casts[1].Scale, states.Casts[1].Numerics.Amax));
        Assert.Equal(Math.Pow(1e6 - 65504, 2), states.Casts[1].Numerics.Noise, 1e6);
    }

    [Fact]
    public void ASkippedStepCountsNothing()
    {
        var states = new States<F16State, E4M3State, E4M3State, F16State>([61, 4000]);
        states.Run(Step with { SkipStep = 1 }, 2, counts: true);
        Assert.All(MemoryMarshal.AsBytes<CastStatistics>(states.Casts).ToArray(), b => Assert.Equal(0, b));
    }

    private static void Check<TMaster, TGradient, TFirst, TSecond>(int workers)
        where TMaster : struct, IStateFormat where TGradient : struct, IStateFormat where TFirst : struct, IStateFormat where TSecond : struct, IStateFormat
    {
        // Ends within and between tiles, groups and octets.
        var counted = new States<TMaster, TGradient, TFirst, TSecond>([61, 4000, 10_001, 1, 300, 2049]);
        var plain = new States<TMaster, TGradient, TFirst, TSecond>([61, 4000, 10_001, 1, 300, 2049]);
        var exact = counted.Exact();
        exact.Run(Step, workers, counts: false);
        counted.Run(Step, workers, counts: true);
        plain.Run(Step, workers, counts: false);
        Assert.Equal(plain.Bytes, counted.Bytes);
        Assert.All(MemoryMarshal.AsBytes<CastStatistics>(plain.Casts).ToArray(), b => Assert.Equal(0, b));
        int row = 0;
        long underflow = 0;
        foreach ((int arena, int bytes) in ((int, int)[])[(1, TMaster.Bytes), (2, TFirst.Bytes), (3, TSecond.Bytes)])
        {
            if (bytes == sizeof(float))
            {
                continue;
            }

            for (int segment = 0; segment < counted.Count; segment++)
            {
                CastStatistics actual = counted.Casts[(row * counted.Count) + segment];
                string what = FormattableString.Invariant($"{typeof(TMaster).Name} {typeof(TFirst).Name} {typeof(TSecond).Name}, arena {arena}, segment {segment}");
                if (arena == 1 && !States<TMaster, TGradient, TFirst, TSecond>.Linear(segment))
                {
                    Assert.Equal(0UL, actual.Elements + actual.NonFinite);    // F32
                    continue;
                }

                (TensorNumerics expected, float scale) = counted.Measure(arena, segment, exact.Values(arena, segment));
                CastCounterTests.AssertCounts(expected, actual.Numerics, what);
                Assert.Equal(counted.Own(segment), actual.Numerics.Elements + actual.Numerics.NonFinite);
                Assert.Equal(scale, actual.Scale);
                underflow += actual.Numerics.Underflow;
            }

            row++;
        }

        Assert.Equal(row * counted.Count, counted.Casts.Length);
        Assert.True(underflow > 0 || (TFirst.Bytes > 1 && TSecond.Bytes > 1), $"{typeof(TFirst)} {typeof(TSecond)}: no underflow to count");
    }

    /// <summary>Arenas of a few parameters, every second one linear: numbers over many powers of two, one whose square is infinite, some below the normal range, and zeros behind the last.</summary>
    private sealed class States<TMaster, TGradient, TFirst, TSecond>
        where TMaster : struct, IStateFormat where TGradient : struct, IStateFormat where TFirst : struct, IStateFormat where TSecond : struct, IStateFormat
    {
        private const int Arenas = 4;

        private readonly int[] own;
        private readonly StateSegment[] segments;
        private readonly byte[][] arenas;
        private readonly MomentGroup[][] groups = new MomentGroup[Arenas][];
        private readonly float[] scale, inverse;
        private readonly long tiles;

        public States(int[] own)
        {
            this.own = own;
            segments = new StateSegment[own.Length];
            long offset = 0, group = 0;
            for (int i = 0; i < own.Length; i++)
            {
                int stride = (own[i] + MemoryPlan.ParameterAlignment - 1) / MemoryPlan.ParameterAlignment * MemoryPlan.ParameterAlignment;
                segments[i] = new StateSegment
                {
                    Master = offset, Gradient = offset, FirstMoment = offset, SecondMoment = offset, FirstTile = tiles, Elements = stride, WeightSlot = -1, FirstGroup = group,
                    Traits = StateSegment.Pad((Linear(i) ? StateSegmentTraits.Linear : 0) | (i != 2 ? StateSegmentTraits.Decays : 0), stride - own[i]),
                };
                offset += stride * sizeof(float);
                tiles += (stride + StateSegment.TileElements - 1) / StateSegment.TileElements;
                group += MomentGroup.Count(stride);
            }

            arenas = [.. Enumerable.Range(0, Arenas).Select(_ => new byte[offset])];
            groups = [.. Enumerable.Range(0, Arenas).Select(_ => new MomentGroup[group])];
            scale = [.. Enumerable.Repeat(1f, Arenas * own.Length)];
            inverse = [.. scale];
            int states = new[] { TMaster.Bytes, TFirst.Bytes, TSecond.Bytes }.Count(b => b < sizeof(float));
            Casts = new CastStatistics[states * own.Length];
            var random = new Random(5);
            Func<float>[] draws =
            [
                () => (float)(random.NextDouble() - 0.5) * MathF.ScaleB(1f, -random.Next(0, 12)), () => (float)(random.NextDouble() - 0.5),
                () => (float)(random.NextDouble() - 0.5) * MathF.ScaleB(1f, -random.Next(0, 30)), () => (float)random.NextDouble() * MathF.ScaleB(1f, -random.Next(0, 50)),
            ];
            for (int arena = 0; arena < Arenas; arena++)
            {
                for (int i = 0; own.Length > 1 && i < own.Length; i++)
                {
                    float[] values = [.. Enumerable.Range(0, own[i]).Select(_ => draws[arena]())];
                    if (arena == 0 && Format(arena, i) is ElementFormat.F32 or ElementFormat.BF16 && i == 4)
                    {
                        values[7] = 1e25f;
                    }

                    if (arena == 0 && i == 1)
                    {
                        (values[5], values[6]) = (1e-41f, 1e-20f);    // groups store what is below the normal range as zero: the first, and the square of the second
                    }

                    if (arena != 0)
                    {
                        values.AsSpan(0, values.Length / 3).Clear();
                    }

                    Set(arena, i, values);
                }
            }
        }

        public int Count => own.Length;

        public CastStatistics[] Casts { get; }

        public IEnumerable<byte[]> Bytes => [.. arenas, .. groups.Select(g => MemoryMarshal.AsBytes<MomentGroup>(g).ToArray())];

        public static bool Linear(int segment) => segment % 2 == 0;

        public long Own(int segment) => own[segment];

        public void Set(int segment, float[] gradient) => Set(0, segment, gradient);

        /// <summary>The same values, all of them in F32.</summary>
        public States<F32State, F32State, F32State, F32State> Exact()
        {
            var exact = new States<F32State, F32State, F32State, F32State>(own);
            for (int arena = 0; arena < Arenas; arena++)
            {
                for (int i = 0; i < own.Length; i++)
                {
                    exact.Set(arena, i, Values(arena, i));
                }
            }

            return exact;
        }

        public float[] Values(int arena, int segment)
        {
            float[] values = new float[own[segment]];
            Span<byte> bytes = arenas[arena].AsSpan((int)segments[segment].Master);
            if (IsGrouped(arena))
            {
                StateCodec.DecodeGroups(bytes[..values.Length], Format(arena, segment), groups[arena].AsSpan((int)segments[segment].FirstGroup), values);
            }
            else
            {
                StateCodec.Decode(bytes[..(values.Length * Format(arena, segment).Bytes())], Format(arena, segment), inverse[(arena * own.Length) + segment], values);
            }

            return values;
        }

        /// <summary>Compares values with what stands in memory, in float64; gives the scale as well, 0 of groups.</summary>
        public (TensorNumerics Numerics, float Scale) Measure(int arena, int segment, float[] values)
        {
            ElementFormat format = Format(arena, segment);
            double largest = format switch { ElementFormat.BF16 => 3.38953139e38, _ => format.ScaledMaximum() }, amax = values.Max(v => Math.Abs((double)v));
            double fitting = format.ScaledMaximum() == 0 || IsGrouped(arena) ? 1
                : double.IsFinite(amax) && amax > 0 ? Math.Pow(2, Math.Floor(Math.Log2(format.ScaledMaximum() / amax)))
                : scale[(arena * own.Length) + segment];
            float[] codes = new float[values.Length], grouped = IsGrouped(arena) ? Values(arena, segment) : [];
            StateCodec.Decode(arenas[arena].AsSpan((int)segments[segment].Master, codes.Length * format.Bytes()), format, 1f, codes);
            TensorNumerics result = default;
            for (int i = 0; i < values.Length; i++)
            {
                double x = values[i], stored = IsGrouped(arena) ? grouped[i] : codes[i] / fitting;
                result += !double.IsFinite(x)
                    ? new TensorNumerics(0, 1, 0, 0, 0, 0, 0)
                    : new TensorNumerics(1, 0, codes[i] == 0 && x != 0 ? 1 : 0, Math.Abs(codes[i]) >= largest ? 1 : 0, Math.Abs(x), x * x, (x - stored) * (x - stored));
            }

            return (result, IsGrouped(arena) ? 0f : (float)fitting);
        }

        /// <summary>One step, in one pass or two, without the update of scales behind them.</summary>
        public void Run(StepState state, int workers, bool counts)
        {
            bool grouped = TFirst.GroupMaximum > 0f || TSecond.GroupMaximum > 0f, scaled = TMaster.Maximum > 0f || TGradient.Maximum > 0f || TFirst.Maximum > 0f || TSecond.Maximum > 0f;
            uint[] amax = new uint[Arenas * own.Length];
            using var pool = new CpuPool(workers);
            fixed (byte* g = arenas[0], w = arenas[1], m = arenas[2], v = arenas[3])
            fixed (MomentGroup* first = groups[2], second = groups[3])
            fixed (StateSegment* table = segments)
            fixed (float* scales = scale, inverses = inverse)
            fixed (uint* largest = amax)
            fixed (CastStatistics* casts = Casts)
            {
                List<nint> shared = [(nint)w, (nint)g, (nint)m, (nint)v, (nint)table, own.Length, (nint)tiles, .. grouped ? [(nint)first, (nint)second] : Array.Empty<nint>()];
                nint counted = counts ? (nint)casts : 0, step = (nint)(&state);
                fixed (nint* one = shared.Concat([(nint)inverses, (nint)largest, step]).ToArray(), two = shared.Concat([(nint)scales, (nint)inverses, (nint)largest, step, counted]).ToArray())
                fixed (nint* single = shared.Concat([step, counted]).ToArray())
                {
                    if (scaled)
                    {
                        CpuKernels.ScaledAdamAmax<TMaster, TGradient, TFirst, TSecond>(null!, one, pool);
                        CpuKernels.CountedAdamStore<TMaster, TGradient, TFirst, TSecond>(null!, two, pool);
                    }
                    else
                    {
                        CpuKernels.CountedAdamW<TMaster, TGradient, TFirst, TSecond>(null!, single, pool);
                    }
                }
            }
        }

        public void Set(int arena, int segment, float[] values)
        {
            ElementFormat format = Format(arena, segment);
            Span<byte> bytes = arenas[arena].AsSpan((int)segments[segment].Master, values.Length * format.Bytes());
            if (IsGrouped(arena))
            {
                StateCodec.EncodeGroups(values, format, groups[arena].AsSpan((int)segments[segment].FirstGroup), bytes);
                return;
            }

            float amax = values.Max(MathF.Abs);
            int slot = (arena * own.Length) + segment;
            scale[slot] = format.ScaledMaximum() > 0 && amax > 0 && own.Length > 1 ? MathF.ScaleB(1f, (int)MathF.Floor(MathF.Log2(format.ScaledMaximum() / amax))) : 1f;
            inverse[slot] = 1f / scale[slot];
            StateCodec.Encode(values, format, scale[slot], bytes);
        }

        private static bool IsGrouped(int arena) => (arena == 2 ? TFirst.GroupMaximum : arena == 3 ? TSecond.GroupMaximum : 0f) > 0f;

        private static ElementFormat Format(int arena, int segment) => arena switch
        {
            0 => Linear(segment) ? Format<TGradient>() : ElementFormat.F32,
            1 => Linear(segment) ? Format<TMaster>() : ElementFormat.F32,
            2 => Format<TFirst>(),
            _ => Format<TSecond>(),
        };

        private static ElementFormat Format<T>() where T : struct, IStateFormat => (T.Bytes, T.Largest) switch
        {
            (4, _) => ElementFormat.F32,
            (2, 65504f) => ElementFormat.F16,
            (2, _) => ElementFormat.BF16,
            (_, 448f) => ElementFormat.E4M3,
            _ => ElementFormat.E5M2,
        };
    }
}
