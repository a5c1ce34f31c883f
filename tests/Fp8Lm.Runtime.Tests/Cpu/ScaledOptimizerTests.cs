using System;
using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Cpu;
using Fp8Lm.Execution;
using Xunit;

namespace Fp8Lm.Runtime.Tests.Cpu;

/// <summary>FP8-LM's optimizer (fact sheet, section 3.3) on the CPU.</summary>
public unsafe class ScaledOptimizerTests
{
    private static readonly StepState Step = new()
    {
        LearningRate = 1e-3f, Beta1 = 0.9f, Beta2 = 0.95f, Epsilon = 1e-8f, WeightDecay = 0.1f, BiasCorrection1 = 0.271f, BiasCorrection2 = 0.142625f, ClipFactor = 0.5f,
    };

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void With_unquantised_states_it_is_AdamW_to_the_bit(int workers)
    {
        States scaled = new([64, 4096, 10_048]), flat = new([64, 4096, 10_048]);
        scaled.Run<F32State, F32State, F32State, F32State>(Step, workers, 0, 0, 0);
        foreach (int segment in Enumerable.Range(0, 3))
        {
            flat.RunFlat(segment, Step);
            Assert.Equal(flat.Master(segment), scaled.Master(segment));
            Assert.Equal(flat.First(segment), scaled.First(segment));
            Assert.Equal(flat.Second(segment), scaled.Second(segment));
        }
    }

    /// <summary>One pass over the table: linear weights with BF16 gradients, masters and first moments, all others F32.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public void Without_scales_one_pass_rounds_once(int workers)
    {
        States states = new([64, 4096, 10_048]);
        states.Quantise<BF16State, BF16State, BF16State, F32State>();
        States before = states.Copy(), same = states.Copy();
        states.RunUnscaled<BF16State, BF16State, BF16State, F32State>(Step, workers);
        for (int segment = 0; segment < 3; segment++)
        {
            bool linear = segment != 1;
            (double[] w, double[] m, double[] v) = linear
                ? before.Updated<BF16State, BF16State, BF16State, F32State>(segment, Step)
                : before.Updated<F32State, F32State, BF16State, F32State>(segment, Step);
            // Half a unit in the last place: 2^-8 where the significand is 1.
            Close(w, linear ? states.Values<BF16State>(1, segment) : states.Values<F32State>(1, segment), linear ? Math.Pow(2, -8) : 0, 0);
            Close(m, states.Values<BF16State>(2, segment), Math.Pow(2, -8), 0);
            Close(v, states.Values<F32State>(3, segment), 0, 0);
        }

        // The two passes store the same bytes when no format has a scale.
        same.Run<BF16State, BF16State, BF16State, F32State>(Step, workers, 0, 0, 0);
        Assert.Equal(same.Bytes, states.Bytes);
        byte[][] skipped = [.. states.Bytes.Select(b => b.ToArray())];
        states.RunUnscaled<BF16State, BF16State, BF16State, F32State>(Step with { SkipStep = 1 }, workers);
        Assert.Equal(skipped, states.Bytes);
    }

    [Fact]
    public void Quantised_states_are_the_casts_of_a_float64_update()
    {
        States states = new([64, 4096, 10_048]);
        states.Quantise<F16State, E4M3State, E4M3State, F16State>();
        States before = states.Copy();
        states.Run<F16State, E4M3State, E4M3State, F16State>(Step, 2, 65504, 448, 65504);
        for (int segment = 0; segment < 3; segment++)
        {
            bool linear = segment != 1;
            (double[] w, double[] m, double[] v) = linear
                ? before.Updated<F16State, E4M3State, E4M3State, F16State>(segment, Step)
                : before.Updated<F32State, F32State, E4M3State, F16State>(segment, Step);
            // Half a unit in the last place of what was stored, and the float32 arithmetic.
            Close(w, linear ? states.Values<F16State>(1, segment) : states.Values<F32State>(1, segment), linear ? Math.Pow(2, -11) : 0, linear ? Math.Pow(2, -25) / states.ScaleOf(1, segment) : 0);
            Close(m, states.Values<E4M3State>(2, segment), Math.Pow(2, -4), Math.Pow(2, -10) / states.ScaleOf(2, segment));
            Close(v, states.Values<F16State>(3, segment), Math.Pow(2, -11), Math.Pow(2, -25) / states.ScaleOf(3, segment));
            Assert.Equal(Power(m, 448), states.ScaleOf(2, segment));
            Assert.Equal(Power(v, 65504), states.ScaleOf(3, segment));
            Assert.Equal(linear ? Power(w, 65504) : 1f, states.ScaleOf(1, segment));
            Assert.Equal(Power(w, 448), states.WeightScale[segment]);
            Assert.Equal(1f / states.WeightScale[segment], states.WeightInverse[segment]);
        }

        Assert.All(states.Amax, a => Assert.Equal(0u, a));

        static float Power(double[] values, double maximum) => (float)Math.Pow(2, Math.Floor(Math.Log2(maximum / values.Max(Math.Abs))));
    }

    private static void Close(double[] expected, float[] actual, double relative, double least)
    {
        for (int i = 0; i < expected.Length; i++)
        {
            double bound = Math.Max(Math.Abs(expected[i]) * (relative + 1e-6), least) + (1e-6 * Math.Abs(expected[i])) + 1e-9;
            Assert.True(Math.Abs(actual[i] - expected[i]) <= bound, $"element {i}: {actual[i]} for {expected[i]}");
        }
    }

    [Fact]
    public void A_skipped_step_changes_no_byte_and_no_scale()
    {
        States states = new([64, 4096]);
        states.Quantise<F16State, E4M3State, E4M3State, F16State>();
        States before = states.Copy();
        states.Run<F16State, E4M3State, E4M3State, F16State>(Step with { SkipStep = 1 }, 2, 65504, 448, 65504);
        Assert.Equal(before.Bytes, states.Bytes);
        Assert.Equal(before.Scale, states.Scale);
        Assert.Equal(before.WeightScale, states.WeightScale);
    }

    [Fact]
    public void The_norm_counts_dequantised_gradients()
    {
        States states = new([64, 4096, 10_048]);
        states.Quantise<F16State, E4M3State, E4M3State, F16State>();
        double expected = Math.Sqrt(states.Values<E4M3State>(0, 0).Concat(states.Values<F32State>(0, 1)).Concat(states.Values<E4M3State>(0, 2)).Sum(g => (double)g * g));
        StepState state = states.Norm<E4M3State>(new StepState { MaxGradientNorm = 1f });
        Assert.Equal(expected, state.GradientNorm, 1e-6 * expected);
        Assert.Equal(Math.Min(1, 1 / (expected + 1e-6)), state.ClipFactor, 1e-6);
        Assert.Equal(0u, state.SkipStep);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void The_norm_of_BF16_gradients_needs_no_scales(bool poison)
    {
        States states = new([64, 4096, 10_048]);
        states.Quantise<F32State, BF16State, F32State, F32State>();
        if (poison)
        {
            // Infinity in BF16: what an overflow of a product rounds to.
            (states.Bytes[0][4160 * sizeof(float)], states.Bytes[0][(4160 * sizeof(float)) + 1]) = (0x80, 0x7F);
        }

        double expected = Math.Sqrt(states.Values<BF16State>(0, 0).Concat(states.Values<F32State>(0, 1)).Concat(states.Values<BF16State>(0, 2)).Sum(g => (double)g * g));
        StepState state = states.UnscaledNorm<BF16State>(new StepState { MaxGradientNorm = 1f });
        Assert.Equal(poison ? StepState.Skipped : 0u, state.SkipStep);
        if (!poison)
        {
            Assert.Equal(expected, state.GradientNorm, 1e-6 * expected);
            Assert.Equal(Math.Min(1, 1 / (expected + 1e-6)), state.ClipFactor, 1e-6);
        }
    }

    /// <summary>The bytes saturate, so only the amax tells.</summary>
    [Theory]
    [InlineData(float.PositiveInfinity)]
    [InlineData(float.NaN)]
    public void Overflow_is_found_from_the_amax(float amax)
    {
        States states = new([64, 4096, 10_048]);
        states.Quantise<F16State, E4M3State, E4M3State, F16State>();
        states.Amax[2] = BitConverter.SingleToUInt32Bits(amax) & 0x7FFFFFFF;
        StepState state = states.Norm<E4M3State>(default);
        Assert.Equal(StepState.Skipped, state.SkipStep);
        Assert.True(float.IsNaN(state.GradientNorm));
    }

    [Fact]
    public void An_amax_that_is_not_finite_outlives_the_micro_batch()
    {
        uint bad = BitConverter.SingleToUInt32Bits(float.PositiveInfinity);
        uint[] amax = [BitConverter.SingleToUInt32Bits(3f), bad, 0];
        fixed (uint* pointer = amax)
        {
            nint* args = stackalloc nint[] { (nint)pointer, amax.Length };
            CpuKernels.GradientAmax(null!, args, null!);
        }

        Assert.Equal([0u, bad, 0u], amax);
    }

    /// <summary>Arenas of a few segments, all but the one in the middle linear.</summary>
    private sealed class States
    {
        private readonly int[] sizes;
        private readonly StateSegment[] segments;
        private readonly float[][][] values;

        public States(int[] sizes)
        {
            this.sizes = sizes;
            segments = new StateSegment[sizes.Length];
            long offset = 0, tile = 0;
            for (int i = 0; i < sizes.Length; i++)
            {
                segments[i] = new StateSegment
                {
                    Master = offset, Gradient = offset, FirstMoment = offset, SecondMoment = offset, FirstTile = tile, Elements = sizes[i], WeightSlot = i,
                    Traits = (i % 2 == 0 ? StateSegmentTraits.Linear : 0) | (i != 2 ? StateSegmentTraits.Decays : 0),
                };
                offset += sizes[i] * sizeof(float);
                tile += (sizes[i] + StateSegment.TileElements - 1) / StateSegment.TileElements;
            }

            Tiles = tile;
            Bytes = [.. Enumerable.Range(0, 4).Select(_ => new byte[offset])];
            Scale = [.. Enumerable.Repeat(1f, 4 * sizes.Length)];
            Inverse = [.. Scale];
            Amax = new uint[4 * sizes.Length];
            WeightScale = [.. Enumerable.Repeat(1f, sizes.Length)];
            WeightInverse = [.. WeightScale];
            var random = new Random(7);
            float[] Draw(int n, Func<double, double> map) => [.. Enumerable.Range(0, n).Select(_ => (float)map(random.NextDouble()))];
            Func<double, double>[] maps = [x => (x - 0.5) * 0.2, x => x - 0.5, x => (x - 0.5) * 0.1, x => x * 0.01];
            values = [.. maps.Select(map => sizes.Select(n => Draw(n, map)).ToArray())];
            for (int row = 0; row < 4; row++)
            {
                for (int i = 0; i < sizes.Length; i++)
                {
                    Put<F32State>(row, i, 1f);
                }
            }
        }

        public long Tiles { get; }

        public byte[][] Bytes { get; private init; }

        public float[] Scale { get; private init; }

        public float[] Inverse { get; private init; }

        public uint[] Amax { get; }

        public float[] WeightScale { get; private init; }

        public float[] WeightInverse { get; }

        public float[] Master(int segment) => Values<F32State>(1, segment);

        public float[] First(int segment) => Values<F32State>(2, segment);

        public float[] Second(int segment) => Values<F32State>(3, segment);

        public float ScaleOf(int row, int segment) => Scale[(row * sizes.Length) + segment];

        public States Copy() => new(sizes) { Bytes = [.. Bytes.Select(b => b.ToArray())], Scale = [.. Scale], Inverse = [.. Inverse], WeightScale = [.. WeightScale] };

        public void Quantise<TMaster, TGradient, TFirst, TSecond>()
            where TMaster : struct, IStateFormat where TGradient : struct, IStateFormat where TFirst : struct, IStateFormat where TSecond : struct, IStateFormat
        {
            for (int i = 0; i < sizes.Length; i++)
            {
                bool linear = i % 2 == 0;
                if (linear)
                {
                    Cast<TGradient>(0, i);
                    Cast<TMaster>(1, i);
                }

                Cast<TFirst>(2, i);
                Cast<TSecond>(3, i);
            }
        }

        public float[] Values<T>(int row, int segment) where T : struct, IStateFormat
        {
            float[] result = new float[sizes[segment]];
            fixed (byte* from = Bytes[row])
            fixed (float* to = result)
            {
                for (int i = 0; i < result.Length; i += Simd.Lanes)
                {
                    Simd.Store(to + i, T.Load(from + segments[segment].Master + (i * T.Bytes)) * (T.Maximum > 0 ? Inverse[(row * sizes.Length) + segment] : 1f));
                }
            }

            return result;
        }

        public (double[] W, double[] M, double[] V) Updated<TMaster, TGradient, TFirst, TSecond>(int segment, StepState s)
            where TMaster : struct, IStateFormat where TGradient : struct, IStateFormat where TFirst : struct, IStateFormat where TSecond : struct, IStateFormat
        {
            float[] g = Values<TGradient>(0, segment), w = Values<TMaster>(1, segment), m = Values<TFirst>(2, segment), v = Values<TSecond>(3, segment);
            bool decay = (segments[segment].Traits & StateSegmentTraits.Decays) != 0;
            List<(double W, double M, double V)> result = [];
            for (int i = 0; i < g.Length; i++)
            {
                double clipped = (double)g[i] * s.ClipFactor;
                double first = (s.Beta1 * (double)m[i]) + ((1 - (double)s.Beta1) * clipped), second = (s.Beta2 * (double)v[i]) + ((1 - (double)s.Beta2) * clipped * clipped);
                double update = (first / s.BiasCorrection1 / (Math.Sqrt(second / s.BiasCorrection2) + s.Epsilon)) + (decay ? s.WeightDecay * (double)w[i] : 0);
                result.Add((w[i] - (s.LearningRate * update), first, second));
            }

            return ([.. result.Select(r => r.W)], [.. result.Select(r => r.M)], [.. result.Select(r => r.V)]);
        }

        public void Run<TMaster, TGradient, TFirst, TSecond>(StepState state, int workers, nint master, nint first, nint second)
            where TMaster : struct, IStateFormat where TGradient : struct, IStateFormat where TFirst : struct, IStateFormat where TSecond : struct, IStateFormat
        {
            using var pool = new CpuPool(workers);
            fixed (byte* g = Bytes[0], w = Bytes[1], m = Bytes[2], v = Bytes[3])
            fixed (StateSegment* table = segments)
            fixed (float* scale = Scale, inverse = Inverse, weightScale = WeightScale, weightInverse = WeightInverse)
            fixed (uint* amax = Amax)
            {
                nint count = sizes.Length;
                nint* one = stackalloc nint[] { (nint)w, (nint)g, (nint)m, (nint)v, (nint)table, count, (nint)Tiles, (nint)inverse, (nint)amax, (nint)(&state) };
                CpuKernels.ScaledAdamAmax<TMaster, TGradient, TFirst, TSecond>(null!, one, pool);
                nint* two = stackalloc nint[] { (nint)w, (nint)g, (nint)m, (nint)v, (nint)table, count, (nint)Tiles, (nint)scale, (nint)inverse, (nint)amax, (nint)(&state) };
                CpuKernels.ScaledAdamStore<TMaster, TGradient, TFirst, TSecond>(null!, two, pool);
                nint* three = stackalloc nint[] { (nint)table, count, (nint)scale, (nint)inverse, (nint)amax, (nint)weightScale, (nint)weightInverse, master, first, second, 448 };
                CpuKernels.StateScales(null!, three, pool);
            }
        }

        public void RunUnscaled<TMaster, TGradient, TFirst, TSecond>(StepState state, int workers)
            where TMaster : struct, IStateFormat where TGradient : struct, IStateFormat where TFirst : struct, IStateFormat where TSecond : struct, IStateFormat
        {
            using var pool = new CpuPool(workers);
            fixed (byte* g = Bytes[0], w = Bytes[1], m = Bytes[2], v = Bytes[3])
            fixed (StateSegment* table = segments)
            {
                nint* args = stackalloc nint[] { (nint)w, (nint)g, (nint)m, (nint)v, (nint)table, sizes.Length, (nint)Tiles, (nint)(&state) };
                CpuKernels.SegmentedAdamW<TMaster, TGradient, TFirst, TSecond>(null!, args, pool);
            }
        }

        public StepState UnscaledNorm<TGradient>(StepState state) where TGradient : struct, IStateFormat
        {
            using var pool = new CpuPool(2);
            fixed (byte* g = Bytes[0])
            fixed (StateSegment* table = segments)
            fixed (double* scratch = new double[4096])
            {
                nint* args = stackalloc nint[] { (nint)g, (nint)table, sizes.Length, (nint)Tiles, (nint)(&state), (nint)scratch };
                CpuKernels.SegmentedGradientNorm<TGradient>(null!, args, pool);
            }

            return state;
        }

        public void RunFlat(int segment, StepState state)
        {
            using var pool = new CpuPool(1);
            long at = segments[segment].Master;
            fixed (byte* g = Bytes[0], w = Bytes[1], m = Bytes[2], v = Bytes[3])
            {
                nint* args = stackalloc nint[]
                {
                    (nint)(w + at), (nint)(g + at), (nint)(m + at), (nint)(v + at), sizes[segment], (segments[segment].Traits & StateSegmentTraits.Decays) != 0 ? 1 : 0, (nint)(&state),
                };
                CpuKernels.AdamW(null!, args, pool);
            }
        }

        public StepState Norm<TGradient>(StepState state) where TGradient : struct, IStateFormat
        {
            using var pool = new CpuPool(2);
            fixed (byte* g = Bytes[0])
            fixed (StateSegment* table = segments)
            fixed (float* inverse = Inverse)
            fixed (uint* amax = Amax)
            fixed (double* scratch = new double[4096])
            {
                nint* args = stackalloc nint[] { (nint)g, (nint)table, sizes.Length, (nint)Tiles, (nint)inverse, (nint)amax, (nint)(&state), (nint)scratch };
                CpuKernels.ScaledGradientNorm<TGradient>(null!, args, pool);
            }

            return state;
        }

        private void Cast<T>(int row, int segment) where T : struct, IStateFormat
        {
            float scale = T.Maximum > 0 ? Scaling.State(BitConverter.SingleToUInt32Bits(values[row][segment].Max(MathF.Abs)), T.Maximum, 1f) : 1f;
            Scale[(row * sizes.Length) + segment] = scale;
            Inverse[(row * sizes.Length) + segment] = 1f / scale;
            Array.Clear(Bytes[row], (int)segments[segment].Master, sizes[segment] * sizeof(float));
            Put<T>(row, segment, scale);
        }

        private void Put<T>(int row, int segment, float scale) where T : struct, IStateFormat
        {
            fixed (float* from = values[row][segment])
            fixed (byte* to = Bytes[row])
            {
                for (int i = 0; i < sizes[segment]; i += Simd.Lanes)
                {
                    T.Store(to + segments[segment].Master + (i * T.Bytes), Simd.Load(from + i) * scale);
                }
            }
        }
    }
}
