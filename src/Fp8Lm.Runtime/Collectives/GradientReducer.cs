using System;
using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Cpu;
using Fp8Lm.Execution;
using Fp8Lm.Numerics;

namespace Fp8Lm.Collectives;

/// <summary>How codes of all ranks become one.</summary>
public enum GradientSum
{
    /// <summary>The collective adds FP8 codes and rounds after every addition (the paper's; NCCL's FP8 sum).</summary>
    Fp8,
    /// <summary>
    /// Ranks exchange shards, add N of them in F32, cast the sum once with a scale of its own, and gather. The same bytes on the wire, one rounding, and
    /// no overflow (fact sheet 2.7).
    /// </summary>
    ExchangeF32,
}

/// <summary>How gradients are reduced; the defaults are FP8-LM's.</summary>
public sealed record GradientReductionOptions
{
    /// <summary>Format of the payload.</summary>
    public ElementFormat Format { get; init; } = ElementFormat.E4M3;

    /// <summary>What keeps the sum in range.</summary>
    public GradientScaling Scaling { get; init; } = GradientScaling.Automatic;

    /// <summary>How codes are summed.</summary>
    public GradientSum Sum { get; init; } = GradientSum.Fp8;

    /// <summary>Knobs of automatic scaling.</summary>
    public AutomaticScalingOptions Automatic { get; init; } = new();
}

/// <summary>
/// FP8-LM's gradient reduction (paper, section 2.1; fact sheet 2.3) for the ranks of this process: each gradient is cast with a scale of its own times mu; the
/// ranks agree on the smallest scale, requantise, and sum; the mean lies in the scale. Use: <see cref="Cast(int, int, ReadOnlySpan{float})"/> every gradient of every local rank, then
/// <see cref="Reduce"/>, then read <see cref="Mean"/>.
/// </summary>
public sealed unsafe class GradientReducer
{
    private readonly IGradientTransport transport;
    private readonly GradientReductionOptions options;
    private readonly CpuPool pool;
    private readonly GradientPayload[] payloads;
    private readonly bool[,] cast;
    private readonly Memory<float>[] agreed;
    private readonly Exchange? exchange;
    private double[]? exactSum;

    /// <summary>Creates a reducer.</summary>
    /// <param name="layout">The gradients.</param>
    /// <param name="transport">The group.</param>
    /// <param name="options">How to reduce.</param>
    /// <param name="pool">Workers.</param>
    /// <exception cref="ArgumentException">The layout is for another number of ranks, or an option is out of range.</exception>
    public GradientReducer(GradientLayout layout, IGradientTransport transport, GradientReductionOptions options, CpuPool pool)
    {
        ArgumentNullException.ThrowIfNull(layout);
        ArgumentNullException.ThrowIfNull(transport);
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(pool);
        if (layout.Ranks != transport.Ranks)
        {
            throw new ArgumentException($"The layout is for {layout.Ranks} ranks, the group has {transport.Ranks}; make the layout for the group.", nameof(layout));
        }

        this.transport = transport;
        this.options = options;
        this.pool = pool;
        Layout = layout;
        Factors = new ScalingFactors(layout.Tensors, layout.Ranks, options.Scaling, options.Automatic);
        payloads = [.. Enumerable.Range(0, transport.LocalRanks).Select(_ => new GradientPayload(layout, options.Format, pool))];
        cast = new bool[payloads.Length, layout.Tensors.Count];
        agreed = [.. payloads.Select(_ => new Memory<float>(new float[2 * layout.Tensors.Count]))];
        exchange = options.Sum == GradientSum.ExchangeF32 ? new Exchange(layout, transport, payloads, pool) : null;
    }

    /// <summary>The gradients.</summary>
    public GradientLayout Layout { get; }

    /// <summary>Payloads of the local ranks.</summary>
    public IReadOnlyList<GradientPayload> Payloads => payloads;

    /// <summary>mu of every gradient.</summary>
    public ScalingFactors Factors { get; }

    /// <summary>The result of the last <see cref="Reduce"/>: codes and scales of the mean over all ranks, equal on all of them.</summary>
    public GradientPayload Mean => payloads[0];

    /// <summary>
    /// Whether the mean is compared with one in F64: 8 bytes per element and a pass, so set it in sampled steps, before the first <see cref="Cast(int, int, ReadOnlySpan{float})"/> of a step.
    /// </summary>
    public bool Measure { get; set; }

    /// <summary>Casts a gradient into the payload of a local rank.</summary>
    /// <param name="localRank">Number of the rank within this process.</param>
    /// <param name="tensor">Number of the gradient in the layout.</param>
    /// <param name="gradient">F32, as many as the gradient has elements.</param>
    /// <exception cref="ArgumentException">Wrong length.</exception>
    /// <exception cref="InvalidOperationException">The gradient is in the payload of this step already.</exception>
    public void Cast(int localRank, int tensor, ReadOnlySpan<float> gradient)
    {
        CheckOnce(localRank, tensor);
        payloads[localRank].Cast(tensor, gradient, Factors[tensor]);
        cast[localRank, tensor] = true;
        if (Measure)
        {
            AddExact(tensor, gradient);
        }
    }

    /// <summary>Puts a gradient that is FP8 already into the payload of a local rank; what <see cref="Measure"/> compares with are the numbers that its codes stand for.</summary>
    /// <param name="localRank">Number of the rank within this process.</param>
    /// <param name="tensor">Number of the gradient in the layout.</param>
    /// <param name="gradient">Codes in the payload's format, as many as the gradient has elements.</param>
    /// <param name="codeScale">Their scale, a power of two (<c>real = code / scale</c>).</param>
    /// <param name="amax">Largest magnitude before the cast; NaN or infinite when an element was.</param>
    /// <exception cref="ArgumentException">Wrong length, or a scale that is no positive number.</exception>
    /// <exception cref="InvalidOperationException">The gradient is in the payload of this step already.</exception>
    public void Cast(int localRank, int tensor, ReadOnlySpan<byte> gradient, float codeScale, float amax)
    {
        CheckOnce(localRank, tensor);
        payloads[localRank].Cast(tensor, gradient, codeScale, amax, Factors[tensor]);
        cast[localRank, tensor] = true;
        if (Measure)
        {
            float[] values = new float[gradient.Length];
            StateCodec.Decode(gradient, options.Format, 1f / codeScale, values);
            AddExact(tensor, values);
        }
    }

    /// <summary>Reduces: agrees on scales, requantises, sums, averages, and adapts mu. Publishes the numerics as metrics.</summary>
    /// <returns>Numerics of every gradient.</returns>
    /// <exception cref="InvalidOperationException">A gradient of a local rank was not cast.</exception>
    public IReadOnlyList<ReductionNumerics> Reduce()
    {
        CheckAllCast();
        int tensors = Layout.Tensors.Count;
        Agree();
        ReadOnlySpan<float> shared = agreed[0].Span;
        float[] amax = new float[tensors], scale = new float[tensors];
        for (int t = 0; t < tensors; t++)
        {
            amax[t] = -shared[tensors + t];

            // All ranks zero: the scale that all have kept.
            float least = float.IsFinite(shared[t]) ? shared[t] : payloads[0].BaseScale(t);
            foreach (GradientPayload payload in payloads)
            {
                payload.Requantise(t, least, Factors[t]);
            }

            scale[t] = payloads[0].Scale(t);
        }

        long[] saturated = new long[tensors];
        if (exchange is not null)
        {
            exchange.Run(saturated);
        }
        else
        {
            transport.AllReduceSum(payloads, saturated);
        }

        double[] shares = Shares(saturated, amax);
        for (int t = 0; t < tensors; t++)
        {
            foreach (GradientPayload payload in payloads)
            {
                payload.Average(t);
            }
        }

        ReductionNumerics[] numerics = Describe(amax, scale, saturated, shares);
        Factors.Update(shares);
        Array.Clear(cast);
        exactSum = null;
        return numerics;
    }

    /// <summary>What a checkpoint has to keep.</summary>
    public GradientReductionState Save() => new(
        GradientReductionState.CurrentVersion, Layout.Ranks, Factors.Steps, [.. Layout.Tensors.Select(t => t.Name)], Factors.Mu(),
        [.. Enumerable.Range(0, Layout.Tensors.Count).Select(payloads[0].BaseScale)]);

    /// <summary>Goes on from a checkpoint, which may be of a group of another size.</summary>
    /// <exception cref="ArgumentException">The state is of another model or version, or damaged.</exception>
    public void Restore(GradientReductionState state)
    {
        ArgumentNullException.ThrowIfNull(state);
        Factors.Restore(state);
        foreach (GradientPayload payload in payloads)
        {
            for (int t = 0; t < state.Scale.Length; t++)
            {
                payload.RestoreBaseScale(t, state.Scale[t]);
            }
        }
    }

    /// <summary>
    /// One all-reduce MIN for two things: the smallest base scale, to which a rank whose gradient is zero or not finite has nothing to say, and the largest
    /// amax, negated; NaN counts as infinite, because a MIN may drop it.
    /// </summary>
    private void Agree()
    {
        int tensors = Layout.Tensors.Count;
        for (int rank = 0; rank < payloads.Length; rank++)
        {
            Span<float> vector = agreed[rank].Span;
            for (int t = 0; t < tensors; t++)
            {
                float amax = payloads[rank].Amax(t);
                vector[t] = amax > 0f && float.IsFinite(amax) ? payloads[rank].BaseScale(t) : float.PositiveInfinity;
                vector[tensors + t] = float.IsNaN(amax) ? float.NegativeInfinity : -amax;
            }
        }

        transport.AllReduceMinimum(agreed);
    }

    /// <summary>
    /// Share of saturated elements that mu goes by: the largest of the sum's (what the authors' code looks at) and each rank's payload's (what the paper's
    /// words say). Both were counted while casting and adding.
    /// </summary>
    private double[] Shares(long[] saturated, float[] amax)
    {
        int tensors = Layout.Tensors.Count;
        for (int rank = 0; rank < payloads.Length; rank++)
        {
            Span<float> vector = agreed[rank].Span;
            for (int t = 0; t < tensors; t++)
            {
                vector[t] = -payloads[rank].Counts(t).Saturated;
                vector[tensors + t] = 0;
            }
        }

        transport.AllReduceMinimum(agreed);
        double[] shares = new double[tensors];
        for (int t = 0; t < tensors; t++)
        {
            // A sum that is cast with a scale of its own does not saturate for want of a smaller mu.
            double most = Math.Max(-agreed[0].Span[t], options.Sum == GradientSum.Fp8 ? saturated[t] : 0);
            shares[t] = amax[t] > 0f && float.IsFinite(amax[t]) ? most / Layout.Tensors[t].Elements : double.NaN;
        }

        return shares;
    }

    private ReductionNumerics[] Describe(float[] amax, float[] scale, long[] saturated, double[] shares)
    {
        if (exactSum is not null)
        {
            transport.SumOverProcesses(exactSum);
            for (int i = 0; i < exactSum.Length; i++)
            {
                exactSum[i] /= Layout.Ranks;
            }
        }

        var numerics = new ReductionNumerics[Layout.Tensors.Count];
        for (int t = 0; t < numerics.Length; t++)
        {
            (string name, int elements) = Layout.Tensors[t];
            double underflow = 0;
            foreach (GradientPayload payload in payloads)
            {
                underflow += payload.Counts(t).Underflow;
            }

            long top = transport.Ranks == 1 && options.Sum == GradientSum.Fp8 ? payloads[0].Counts(t).Saturated : saturated[t];
            TensorNumerics? mean = null;
            if (exactSum is not null)
            {
                mean = TensorNumerics.Measure(exactSum.AsSpan(Layout.Offsets[t], elements), Mean.Tensor(t), options.Format, Mean.Scale(t));
            }

            numerics[t] = new ReductionNumerics(
                name, elements, underflow / payloads.Length / elements, (double)top / elements, shares[t], amax[t], Factors[t], scale[t], mean);
            NumericsMetrics.Publish(numerics[t]);
        }

        return numerics;
    }

    private void AddExact(int tensor, ReadOnlySpan<float> gradient)
    {
        exactSum ??= new double[Layout.Bytes];
        Span<double> sum = exactSum.AsSpan(Layout.Offsets[tensor], gradient.Length);
        for (int i = 0; i < gradient.Length; i++)
        {
            sum[i] += gradient[i];
        }
    }

    private void CheckOnce(int localRank, int tensor)
    {
        if (cast[localRank, tensor])
        {
            throw new InvalidOperationException($"Gradient {Layout.Tensors[tensor].Name} of rank {transport.FirstLocalRank + localRank} was cast twice; add micro-batches up first, then cast once per step.");
        }
    }

    private void CheckAllCast()
    {
        for (int rank = 0; rank < payloads.Length; rank++)
        {
            for (int t = 0; t < Layout.Tensors.Count; t++)
            {
                if (!cast[rank, t])
                {
                    throw new InvalidOperationException($"Gradient {Layout.Tensors[t].Name} of rank {transport.FirstLocalRank + rank} is missing; cast every gradient of every local rank before the reduction.");
                }
            }
        }
    }

    /// <summary>The better conditioned sum.</summary>
    private sealed class Exchange
    {
        private readonly GradientLayout layout;
        private readonly IGradientTransport transport;
        private readonly GradientPayload[] payloads;
        private readonly CpuPool pool;
        private readonly float maximum;
        private readonly Memory<byte>[] codes;
        private readonly byte[][] received;
        private readonly Memory<byte>[] receive;
        private readonly float[][] sums;
        private readonly Memory<float>[] amax;

        public Exchange(GradientLayout layout, IGradientTransport transport, GradientPayload[] payloads, CpuPool pool)
        {
            (this.layout, this.transport, this.payloads, this.pool) = (layout, transport, payloads, pool);
            maximum = Fp8Formats.Maximum(payloads[0].Format, nameof(payloads));
            codes = [.. payloads.Select(p => p.Codes)];
            received = [.. payloads.Select(_ => GC.AllocateUninitializedArray<byte>(layout.Bytes))];
            receive = [.. received.Select(r => r.AsMemory())];
            sums = [.. payloads.Select(_ => new float[layout.ShardBytes])];
            amax = [.. payloads.Select(_ => new Memory<float>(new float[2 * layout.Tensors.Count]))];
        }

        public void Run(long[] saturated)
        {
            transport.AllToAll(codes, receive);
            int tensors = layout.Tensors.Count;
            for (int rank = 0; rank < payloads.Length; rank++)
            {
                for (int t = 0; t < tensors; t++)
                {
                    float largest = Part(rank, t) is { } part ? Sum(rank, part) : 0f;
                    amax[rank].Span[t] = float.IsNaN(largest) ? float.NegativeInfinity : -largest;
                }
            }

            transport.AllReduceMinimum(amax);
            for (int rank = 0; rank < payloads.Length; rank++)
            {
                for (int t = 0; t < tensors; t++)
                {
                    float ratio = PowerOfTwoScale.FromAmax(-amax[0].Span[t], maximum, 1f);
                    payloads[rank].Rescale(t, ratio);
                    if (Part(rank, t) is { } part)
                    {
                        saturated[t] += PayloadKernels.Cast(
                            pool, payloads[rank].Format, sums[rank].AsSpan(part.First - First(rank), part.Count), ratio, payloads[rank].Address + part.First).Saturated;
                    }
                }
            }

            transport.AllGather(codes);
        }

        private int First(int rank) => (transport.FirstLocalRank + rank) * layout.ShardBytes;

        private (int First, int Count)? Part(int rank, int tensor) => layout.Within(tensor, First(rank), First(rank) + layout.ShardBytes);

        private float Sum(int rank, (int First, int Count) part)
        {
            int inside = part.First - First(rank);
            fixed (byte* from = received[rank])
            fixed (float* to = sums[rank])
            {
                return BitConverter.UInt32BitsToSingle(PayloadKernels.SumRanks(
                    pool, payloads[rank].Format, from + inside, layout.ShardBytes, layout.Ranks, part.Count, to + inside));
            }
        }
    }
}
