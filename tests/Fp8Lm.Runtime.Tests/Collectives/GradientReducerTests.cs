using System;
using System.Collections.Generic;
using System.Diagnostics.Metrics;
using System.Linq;
using System.Threading;
using Fp8Lm.Collectives;
using Fp8Lm.Cpu;
using Fp8Lm.Execution;
using Fp8Lm.Numerics;
using Xunit;

namespace Fp8Lm.Runtime.Tests.Collectives;

public sealed class GradientReducerTests : IDisposable
{
    private readonly CpuPool pool = new(2);

    public void Dispose() => pool.Dispose();

    public static TheoryData<int, ReductionOrder> Groups
    {
        get
        {
            var data = new TheoryData<int, ReductionOrder>();
            foreach (int ranks in new[] { 1, 2, 3, 8, 13, 32 })
            {
                data.Add(ranks, ReductionOrder.Ring);
                data.Add(ranks, ReductionOrder.Tree);
            }

            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Groups))]
    public void The_four_steps_give_what_one_element_at_a_time_gives(int ranks, ReductionOrder order)
    {
        // Two tensors, across tiles and chunks; scales of the ranks differ by up to 2^6.
        int[] sizes = [9001, 333];
        float[][][] gradients = [.. Enumerable.Range(0, ranks).Select(r => sizes.Select((n, t) => Gradients.Normal((r * 10) + t, n, 1e-3 * (1 << (r % 7)))).ToArray())];
        GradientReducer reducer = Reducer(ranks, sizes, new GradientReductionOptions { Scaling = GradientScaling.InverseSquareRoot }, order);
        IReadOnlyList<ReductionNumerics> numerics = Reduce(reducer, gradients);
        for (int t = 0; t < sizes.Length; t++)
        {
            float factor = (float)(1 / Math.Sqrt(ranks));
            float[] scales = [.. gradients.Select(g => PowerOfTwoScale.FromAmax(g[t].Max(Math.Abs), 448f, 1f))];
            float shared = scales.Min();
            byte[][] payloads = [.. gradients.Select((g, r) => g[t].Select(v =>
                E4M3.FromSingle(E4M3.ToSingle(E4M3.FromSingle(v * (scales[r] * factor))) * (shared / scales[r]))).ToArray())];
            byte[] expected = new byte[sizes[t]];
            for (int i = 0; i < expected.Length; i++)
            {
                int chunk = (reducer.Layout.Offsets[t] + i) / reducer.Layout.ShardBytes;
                byte[] column = [.. payloads.Select(p => p[i])];
                expected[i] = order == ReductionOrder.Tree ? Tree(column) : Ring([.. column.Skip(chunk + 1), .. column.Take(chunk + 1)]);
            }

            Assert.All(reducer.Payloads, p => Assert.Equal(expected, p.Tensor(t).ToArray()));
            Assert.All(reducer.Payloads, p => Assert.Equal(shared * factor * ranks, p.Scale(t)));
            Assert.Equal((double)expected.Count(c => (c & 0x7F) == 0x7E) / expected.Length, numerics[t].Overflow);
            Assert.Equal(gradients.Max(g => g[t].Max(Math.Abs)), numerics[t].Amax);
            Assert.Equal(shared * factor, numerics[t].Scale);
        }

        static byte Ring(byte[] column) => column.Aggregate((sum, next) => Fp8Sum.Add(sum, next, ElementFormat.E4M3));
        static byte Tree(byte[] column)
        {
            if (column.Length == 1)
            {
                return column[0];
            }

            int half = 1;
            while (2 * half < column.Length)
            {
                half *= 2;
            }

            return Fp8Sum.Add(Tree(column[..half]), Tree(column[half..]), ElementFormat.E4M3);
        }
    }

    [Fact]
    public void With_the_shared_scale_no_rank_overflows_on_its_own()
    {
        // Check 5: seen between step 2 and step 3.
        var seen = new Spy(new SimulatedReplicas(4, ReductionOrder.Ring, pool));
        var layout = new GradientLayout([new GradientTensor("w", 500)], 4);
        var reducer = new GradientReducer(layout, seen, new GradientReductionOptions { Scaling = GradientScaling.PostScaling }, pool);
        float[][][] gradients = [.. Enumerable.Range(0, 4).Select(r => new[] { Gradients.Normal(r, 500, Math.Pow(10, r - 2)) })];
        Reduce(reducer, gradients);
        Assert.Equal(4, seen.BeforeSum.Count);
        for (int rank = 0; rank < 4; rank++)
        {
            Assert.Equal(seen.BeforeSum[0].Scale, seen.BeforeSum[rank].Scale);
            Assert.True(gradients[rank][0].Max(Math.Abs) * seen.BeforeSum[rank].Scale <= 448f);
        }

        Assert.True(gradients[3][0].Max(Math.Abs) * seen.BeforeSum[3].Scale > 224f, "the rank with the largest gradient sets the scale");
        Assert.Equal(4 * seen.BeforeSum[0].Scale, reducer.Mean.Scale(0));
    }

    [Theory]
    [InlineData(GradientSum.Fp8)]
    [InlineData(GradientSum.ExchangeF32)]
    public void The_mean_does_not_depend_on_mu(GradientSum sum)
    {
        // Values with room at both ends: mu moves exponents only.
        float[][][] gradients = [.. Enumerable.Range(0, 4).Select(r => new[] { Enumerable.Range(0, 512).Select(i => (float)(1 + ((i * (r + 3)) % 29))).ToArray() })];
        float[]? mean = null;
        foreach (double mu in (ReadOnlySpan<double>)[0.0625, 0.125, 0.25])
        {
            GradientReducer reducer = Reducer(4, [512], new GradientReductionOptions { Sum = sum });
            GradientReductionState state = reducer.Save();
            reducer.Restore(state with { Mu = [mu] });
            Assert.Equal((float)mu, Assert.Single(Reduce(reducer, gradients)).Mu);
            float[] read = new float[512];
            reducer.Mean.Read(0, read);
            Assert.Equal(mean ?? read, read);
            mean = read;
        }
    }

    [Fact]
    public void The_exchange_rounds_once_and_never_overflows()
    {
        float[][][] gradients = [.. Enumerable.Range(0, 32).Select(r => new[] { Gradients.Normal(r, 20_000, 1e-4).Select(g => g + 2e-4f).ToArray() })];
        double Snr(GradientReductionOptions options, ReductionOrder order, out ReductionNumerics numerics)
        {
            GradientReducer reducer = Reducer(32, [20_000], options, order);
            reducer.Measure = true;
            numerics = Assert.Single(Reduce(reducer, gradients));
            return numerics.SignalToNoise;
        }

        var post = new GradientReductionOptions { Scaling = GradientScaling.PostScaling };
        double exchange = Snr(post with { Sum = GradientSum.ExchangeF32 }, ReductionOrder.Ring, out ReductionNumerics clean);
        double overflown = Snr(post, ReductionOrder.Ring, out ReductionNumerics dirty);
        double ring = Snr(post with { Scaling = GradientScaling.PreScaling }, ReductionOrder.Ring, out _);
        double tree = Snr(post with { Scaling = GradientScaling.PreScaling }, ReductionOrder.Tree, out _);
        Assert.True(exchange > tree && tree > ring && ring > overflown, $"exchange {exchange:F1} dB, tree {tree:F1} dB, ring {ring:F1} dB, overflown {overflown:F1} dB");
        Assert.True(exchange > 28, $"{exchange:F1} dB");
        Assert.True(dirty.Overflow > 0.5 && clean.Overflow < 1e-3, $"{dirty.Overflow} and {clean.Overflow}");
    }

    [Theory]
    [InlineData(3, ElementFormat.E4M3)]
    [InlineData(8, ElementFormat.E5M2)]
    public void The_exchange_gives_the_cast_of_the_exact_sum(int ranks, ElementFormat format)
    {
        int[] sizes = [700, 31, 5000];
        float[][][] gradients = [.. Enumerable.Range(0, ranks).Select(r => sizes.Select((n, t) => Gradients.Normal((r * 10) + t, n, 0.1)).ToArray())];
        var seen = new Spy(new SimulatedReplicas(ranks, ReductionOrder.Ring, pool));
        GradientLayout layout = Layout(ranks, sizes);
        var options = new GradientReductionOptions { Sum = GradientSum.ExchangeF32, Format = format };
        var reducer = new GradientReducer(layout, seen, options, pool);
        Reduce(reducer, gradients);
        for (int t = 0; t < sizes.Length; t++)
        {
            float Decode(byte c) => format == ElementFormat.E4M3 ? E4M3.ToSingle(c) : E5M2.ToSingle(c);
            byte Encode(float v) => format == ElementFormat.E4M3 ? E4M3.FromSingle(v) : E5M2.FromSingle(v);
            float[] sums = [.. Enumerable.Range(0, sizes[t]).Select(i => seen.BeforeExchange.Aggregate(0f, (s, codes) => s + Decode(codes[layout.Offsets[t] + i])))];
            float ratio = PowerOfTwoScale.FromAmax(sums.Max(Math.Abs), format == ElementFormat.E4M3 ? 448f : 57344f, 1f);
            Assert.All(reducer.Payloads, p => Assert.Equal(sums.Select(s => Encode(s * ratio)), p.Tensor(t).ToArray()));
        }
    }

    [Theory]
    [InlineData(GradientSum.Fp8)]
    [InlineData(GradientSum.ExchangeF32)]
    public void One_rank_per_process_gives_what_all_in_one_process_give(GradientSum sum)
    {
        const int Ranks = 5, Steps = 3;
        int[] sizes = [3001, 70];
        float[][][] Gradients(int step) => [.. Enumerable.Range(0, Ranks).Select(r => sizes.Select((n, t) => Collectives.Gradients.Wild((step * 100) + (r * 10) + t, n)).ToArray())];
        var options = new GradientReductionOptions { Sum = sum };
        GradientReducer together = Reducer(Ranks, sizes, options);
        using var group = new ThreadedRanks(new SimulatedReplicas(Ranks, ReductionOrder.Ring, pool));
        GradientReducer[] apart = [.. Enumerable.Range(0, Ranks).Select(r => new GradientReducer(Layout(Ranks, sizes), group.Rank(r), options, pool) { Measure = true })];
        together.Measure = true;
        for (int step = 0; step < Steps; step++)
        {
            float[][][] gradients = Gradients(step);
            IReadOnlyList<ReductionNumerics> expected = Reduce(together, gradients);
            var seen = new IReadOnlyList<ReductionNumerics>[Ranks];
            Thread[] threads = [.. Enumerable.Range(0, Ranks).Select(r => new Thread(() => seen[r] = Reduce(apart[r], [gradients[r]])))];
            Array.ForEach(threads, t => t.Start());
            Array.ForEach(threads, t => t.Join());
            for (int r = 0; r < Ranks; r++)
            {
                Assert.Equal(together.Mean.Codes.ToArray(), apart[r].Mean.Codes.ToArray());
                Assert.Equal(together.Save().Mu, apart[r].Save().Mu);
                for (int t = 0; t < sizes.Length; t++)
                {
                    Assert.Equal(together.Mean.Scale(t), apart[r].Mean.Scale(t));
                    Assert.Equal(
                        (expected[t].Overflow, expected[t].Saturation, expected[t].Amax, expected[t].Mu), (seen[r][t].Overflow, seen[r][t].Saturation, seen[r][t].Amax, seen[r][t].Mu));
                    Assert.Equal(expected[t].SignalToNoise, seen[r][t].SignalToNoise, 1e-9);
                }
            }

            Assert.Equal(expected[0].Underflow, seen.Average(s => s[0].Underflow), 1e-12);
        }
    }

    [Fact]
    public void Equal_gradients_stall_in_a_ring_and_not_in_a_tree()
    {
        // With three mantissa bits 16 + 1 is a tie that goes back to 16: after sixteen ranks nothing is added any more.
        float[][][] gradients = [.. Enumerable.Repeat(new[] { new[] { 1f, -2f, 0.5f, 4f } }, 128)];
        var options = new GradientReductionOptions { Scaling = GradientScaling.PreScaling };
        float[] mean = new float[4];
        GradientReducer ring = Reducer(128, [4], options), tree = Reducer(128, [4], options, ReductionOrder.Tree);
        Reduce(ring, gradients);
        ring.Mean.Read(0, mean);
        Assert.Equal([0.125f, -0.25f, 0.0625f, 0.5f], mean);
        Reduce(tree, gradients);
        tree.Mean.Read(0, mean);
        Assert.Equal([1f, -2f, 0.5f, 4f], mean);
    }

    [Fact]
    public void A_rank_of_zeros_does_not_hold_the_others_scale_down()
    {
        // Its kept scale is 1, where the others need 2^17 or so: a plain MIN over scales would flush everything.
        GradientReducer reducer = Reducer(3, [64], new GradientReductionOptions { Scaling = GradientScaling.PostScaling });
        float[] gradient = [.. Enumerable.Repeat(0.003f, 64)];
        ReductionNumerics seen = Assert.Single(Reduce(reducer, [[gradient], [new float[64]], [gradient]]));
        Assert.Equal(131072f, seen.Scale);
        Assert.Equal(0, seen.Underflow);
    }

    [Fact]
    public void A_step_of_zeros_keeps_scale_and_mu()
    {
        GradientReducer reducer = Reducer(2, [64], new GradientReductionOptions());
        float[] gradient = Gradients.Normal(1, 64, 1);
        Reduce(reducer, [[gradient], [gradient]]);
        GradientReductionState before = reducer.Save();
        for (int i = 0; i < 50; i++)
        {
            ReductionNumerics seen = Assert.Single(Reduce(reducer, [[new float[64]], [new float[64]]]));
            Assert.Equal(0f, seen.Amax);
            Assert.True(double.IsNaN(seen.Saturation));
        }

        Assert.Equal(before.Mu, reducer.Save().Mu);
        Assert.Equal(before.Scale, reducer.Save().Scale);
        Assert.Equal(51, reducer.Factors.Steps);
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.NegativeInfinity)]
    public void What_is_not_finite_on_one_rank_shows_in_the_amax_and_leaves_mu(float bad)
    {
        GradientReducer reducer = Reducer(3, [64, 64], new GradientReductionOptions());
        float[] fine = Gradients.Normal(1, 64, 1), broken = [.. fine];
        broken[5] = bad;
        double[] mu = reducer.Save().Mu;
        IReadOnlyList<ReductionNumerics> seen = Reduce(reducer, [[fine, fine], [fine, broken], [fine, fine]]);
        Assert.True(float.IsFinite(seen[0].Amax));
        Assert.Equal(float.PositiveInfinity, seen[1].Amax);
        Assert.NotEqual(mu[0], reducer.Save().Mu[0]);
        Assert.Equal(mu[1], reducer.Save().Mu[1]);
    }

    [Fact]
    public void Numerics_are_those_of_an_independent_count()
    {
        float[][][] gradients = [.. Enumerable.Range(0, 8).Select(r => new[] { Gradients.Wild(r, 3000) })];
        GradientReducer reducer = Reducer(8, [3000], new GradientReductionOptions { Scaling = GradientScaling.PreScaling });
        reducer.Measure = true;
        ReductionNumerics seen = Assert.Single(Reduce(reducer, gradients));
        double[] mean = [.. Enumerable.Range(0, 3000).Select(i => gradients.Sum(g => (double)g[0][i]) / 8)];
        TensorNumerics expected = TensorNumerics.Measure(mean, reducer.Mean.Tensor(0), ElementFormat.E4M3, reducer.Mean.Scale(0));
        Assert.Equal(expected.SignalToNoise, seen.SignalToNoise, 1e-9);
        Assert.Equal(expected.Underflow, seen.Mean!.Value.Underflow);
        float[] read = new float[3000];
        reducer.Mean.Read(0, read);
        double noise = read.Select((v, i) => (v - mean[i]) * (v - mean[i])).Sum(), signal = mean.Sum(m => m * m);
        Assert.Equal(10 * Math.Log10(signal / noise), seen.SignalToNoise, 1e-4);
        Assert.Equal(gradients.Sum(g => g[0].Count(v => v != 0 && E4M3.FromSingle(v * seen.Scale) is 0 or 0x80)) / 24000.0, seen.Underflow, 0.01);
        reducer.Measure = false;
        Assert.Null(Assert.Single(Reduce(reducer, gradients)).Mean);
    }

    [Fact]
    public void A_million_elements_over_128_replicas_take_seconds()
    {
        GradientReducer reducer = Reducer(128, [1_000_000], new GradientReductionOptions(), ReductionOrder.Tree);
        float[] gradient = Gradients.Normal(1, 1_000_000, 1e-3);
        long start = System.Diagnostics.Stopwatch.GetTimestamp();
        float[][][] gradients = [.. Enumerable.Repeat<float[][]>([gradient], 128)];
        ReductionNumerics seen = Assert.Single(Reduce(reducer, gradients));
        double seconds = System.Diagnostics.Stopwatch.GetElapsedTime(start).TotalSeconds;
        TestContext.Current.SendDiagnosticMessage($"{seconds:F2} s");
        Assert.InRange(seen.Overflow, 0.3, 0.7); // 128 equal gradients at mu = 1/sqrt(128)

        // 0.5 s on two busy cores; the bound is for machines that are shared with much more.
        Assert.True(seconds < 20, $"{seconds} s");
    }

    [Fact]
    public void Reductions_are_published_as_metrics()
    {
        var values = new Dictionary<string, double>();
        using var listener = new MeterListener();
        listener.InstrumentPublished = (instrument, l) =>
        {
            if (instrument.Meter.Name == NumericsMetrics.MeterName)
            {
                l.EnableMeasurementEvents(instrument);
            }
        };
        void Note<T>(Instrument instrument, T value, ReadOnlySpan<KeyValuePair<string, object?>> tags, object? state) where T : struct
        {
            if (tags is [{ Key: "tensor", Value: "metrics of this test" }, { Key: "role", Value: NumericsMetrics.ReductionRole }])
            {
                values[instrument.Name] = Convert.ToDouble(value, null);
            }
        }

        listener.SetMeasurementEventCallback<double>(Note);
        listener.SetMeasurementEventCallback<long>(Note);
        listener.Start();
        var layout = new GradientLayout([new GradientTensor("metrics of this test", 100)], 2);
        var reducer = new GradientReducer(layout, new SimulatedReplicas(2, ReductionOrder.Ring, pool), new GradientReductionOptions(), pool) { Measure = true };
        ReductionNumerics seen = Assert.Single(Reduce(reducer, [[Gradients.Wild(1, 100)], [Gradients.Wild(2, 100)]]));
        Assert.Equal(
            new SortedDictionary<string, double>
            {
                ["fp8lm.numerics.amax"] = seen.Amax, ["fp8lm.numerics.mu"] = seen.Mu, ["fp8lm.numerics.saturated"] = seen.Overflow, ["fp8lm.numerics.scale"] = seen.Scale,
                ["fp8lm.numerics.samples"] = 1, ["fp8lm.numerics.snr"] = seen.SignalToNoise, ["fp8lm.numerics.underflow"] = seen.Underflow,
            },
            new SortedDictionary<string, double>(values));
    }

    [Fact]
    public void Errors_say_what_to_do()
    {
        Assert.Contains("for 3 ranks, the group has 2", Assert.Throws<ArgumentException>(
            () => new GradientReducer(Layout(3, [4]), new SimulatedReplicas(2, ReductionOrder.Ring, pool), new GradientReductionOptions(), pool)).Message);
        Assert.Contains("1 to 1024 replicas; got 0", Assert.Throws<ArgumentOutOfRangeException>(() => new SimulatedReplicas(0, ReductionOrder.Ring, pool)).Message);
        Assert.Contains("1 to 1024 replicas; got 2000", Assert.Throws<ArgumentOutOfRangeException>(() => new SimulatedReplicas(2000, ReductionOrder.Ring, pool)).Message);
        Assert.Contains("There is no gradient scaling 99", Assert.Throws<ArgumentOutOfRangeException>(
            () => Reducer(2, [4], new GradientReductionOptions { Scaling = (GradientScaling)99 })).Message);
        Assert.Contains("E4M3 or E5M2; got F32", Assert.Throws<ArgumentException>(() => Reducer(2, [4], new GradientReductionOptions { Format = ElementFormat.F32 })).Message);
        GradientReducer reducer = Reducer(2, [4, 5], new GradientReductionOptions());
        reducer.Cast(0, 0, new float[4]);
        Assert.Contains("t0 of rank 0 was cast twice", Assert.Throws<InvalidOperationException>(() => reducer.Cast(0, 0, new float[4])).Message);
        Assert.Contains("t1 of rank 0 is missing", Assert.Throws<InvalidOperationException>(reducer.Reduce).Message);
        Assert.Contains("t1 has 5 elements; got 4", Assert.Throws<ArgumentException>(() => reducer.Cast(1, 1, new float[4])).Message);
        var group = new SimulatedReplicas(2, ReductionOrder.Ring, pool);
        Assert.Contains("has 2 replicas, all in this process; got 1 vectors", Assert.Throws<ArgumentException>(() => group.AllReduceMinimum([new float[1]])).Message);
        Assert.Contains("got 1 buffers", Assert.Throws<ArgumentException>(() => group.AllGather([new byte[2]])).Message);
        Assert.Contains("got 1 send", Assert.Throws<ArgumentException>(() => group.AllToAll([new byte[2]], [new byte[2]])).Message);
        Assert.Contains("got 1 payloads", Assert.Throws<ArgumentException>(() => group.AllReduceSum([reducer.Mean], new long[2])).Message);
    }

    private GradientReducer Reducer(int ranks, int[] sizes, GradientReductionOptions options, ReductionOrder order = ReductionOrder.Ring) =>
        new(Layout(ranks, sizes), new SimulatedReplicas(ranks, order, pool), options, pool);

    private static GradientLayout Layout(int ranks, int[] sizes) => new([.. sizes.Select((n, t) => new GradientTensor($"t{t}", n))], ranks);

    private static IReadOnlyList<ReductionNumerics> Reduce(GradientReducer reducer, float[][][] gradients)
    {
        for (int rank = 0; rank < gradients.Length; rank++)
        {
            for (int t = 0; t < gradients[rank].Length; t++)
            {
                reducer.Cast(rank, t, gradients[rank][t]);
            }
        }

        return reducer.Reduce();
    }

    /// <summary>A transport that remembers what it was given: also shows that a transport knows nothing of scales.</summary>
    private sealed class Spy(IGradientTransport inner) : IGradientTransport
    {
        public List<(float Scale, byte[] Codes)> BeforeSum { get; } = [];

        public List<byte[]> BeforeExchange { get; } = [];

        public int Ranks => inner.Ranks;

        public int FirstLocalRank => inner.FirstLocalRank;

        public int LocalRanks => inner.LocalRanks;

        public void AllReduceMinimum(IReadOnlyList<Memory<float>> vectors) => inner.AllReduceMinimum(vectors);

        public void AllReduceSum(IReadOnlyList<GradientPayload> payloads, Span<long> saturated)
        {
            BeforeSum.AddRange(payloads.Select(p => (p.Scale(0), p.Codes.ToArray())));
            inner.AllReduceSum(payloads, saturated);
        }

        public void AllToAll(IReadOnlyList<Memory<byte>> send, IReadOnlyList<Memory<byte>> receive)
        {
            BeforeExchange.AddRange(send.Select(s => s.ToArray()));
            inner.AllToAll(send, receive);
        }

        public void AllGather(IReadOnlyList<Memory<byte>> buffers) => inner.AllGather(buffers);

        public void SumOverProcesses(Span<double> values) => inner.SumOverProcesses(values);
    }
}
