using System.Collections.Generic;
using System.Diagnostics.Metrics;

namespace Fp8Lm.Collectives;

/// <summary>
/// Numerics of reductions as .NET metrics: <c>dotnet-counters monitor --counters Fp8Lm</c> shows them while a program runs. Each has the tag <c>tensor</c>.
/// </summary>
public static class ReductionMetrics
{
    /// <summary>Name of the meter.</summary>
    public const string MeterName = "Fp8Lm";

    private static readonly Meter meter = new(MeterName, typeof(ReductionMetrics).Assembly.GetName().Version?.ToString(3));
    private static readonly Counter<long> reductions = meter.CreateCounter<long>("fp8lm.gradient.reductions", "{reduction}", "Reductions of a gradient.");
    private static readonly Gauge<double> underflow = meter.CreateGauge<double>("fp8lm.gradient.underflow", "1", "Share of elements that became zero before the sum.");
    private static readonly Gauge<double> overflow = meter.CreateGauge<double>("fp8lm.gradient.overflow", "1", "Share of elements of the sum at FP8's largest magnitude.");
    private static readonly Gauge<double> snr = meter.CreateGauge<double>("fp8lm.gradient.snr", "dB", "Signal-to-noise ratio of the mean against F64; in measured steps only.");
    private static readonly Gauge<double> amax = meter.CreateGauge<double>("fp8lm.gradient.amax", null, "Largest magnitude of the gradients of all ranks.");
    private static readonly Gauge<double> mu = meter.CreateGauge<double>("fp8lm.gradient.mu", "1", "Factor of the gradient's scale.");

    /// <summary>Publishes one record; costs next to nothing while nobody listens.</summary>
    public static void Publish(ReductionNumerics numerics)
    {
        var tag = new KeyValuePair<string, object?>("tensor", numerics.Tensor);
        reductions.Add(1, tag);
        underflow.Record(numerics.Underflow, tag);
        overflow.Record(numerics.Overflow, tag);
        amax.Record(numerics.Amax, tag);
        mu.Record(numerics.Mu, tag);
        if (numerics.Mean is not null)
        {
            snr.Record(numerics.SignalToNoise, tag);
        }
    }
}
