using System.Collections.Generic;
using System.Diagnostics;
using System.Diagnostics.Metrics;
using Fp8Lm.Collectives;

namespace Fp8Lm.Numerics;

/// <summary>
/// What FP8 does to tensors as .NET metrics, of casts in sampled training steps and of gradient reductions: <c>dotnet-counters monitor --counters Fp8Lm.Numerics</c>
/// shows them while a program runs. All have the tags <c>tensor</c> and <c>role</c>, those of casts also <c>format</c> and, in repeated modules, <c>layer</c>.
/// Units and ranges are in <c>docs/numerics.md</c>.
/// </summary>
public static class NumericsMetrics
{
    /// <summary>Name of the meter.</summary>
    public const string MeterName = "Fp8Lm.Numerics";

    /// <summary>The role of gradients in a reduction.</summary>
    public const string ReductionRole = "reduction";

    private static readonly Meter meter = new(MeterName, typeof(NumericsMetrics).Assembly.GetName().Version?.ToString(3));
    private static readonly Counter<long> samples = meter.CreateCounter<long>("fp8lm.numerics.samples", "{sample}", "Measurements of a tensor.");
    private static readonly Gauge<double> underflow = meter.CreateGauge<double>("fp8lm.numerics.underflow", "1", "Share of elements that were not zero and became zero.");
    private static readonly Gauge<double> saturated = meter.CreateGauge<double>("fp8lm.numerics.saturated", "1", "Share of elements at the largest magnitude of the format.");
    private static readonly Gauge<long> nonFinite = meter.CreateGauge<long>("fp8lm.numerics.non_finite", "{element}", "Elements that are NaN or infinite.");
    private static readonly Gauge<double> snr = meter.CreateGauge<double>("fp8lm.numerics.snr", "dB", "Signal-to-noise ratio against the value before the cast; of a reduction, of the mean against F64.");
    private static readonly Gauge<double> amax = meter.CreateGauge<double>("fp8lm.numerics.amax", null, "Largest finite magnitude; of a reduction, over all ranks.");
    private static readonly Gauge<double> scale = meter.CreateGauge<double>("fp8lm.numerics.scale", "1", "What values are multiplied with before the cast.");
    private static readonly Gauge<double> mu = meter.CreateGauge<double>("fp8lm.numerics.mu", "1", "Factor of the scale in automatic scaling; of reductions only.");

    /// <summary>Publishes the numerics of a cast; costs next to nothing while nobody listens.</summary>
    public static void Publish(CastReport report)
    {
        var tags = new TagList { { "tensor", report.Name }, { "role", report.Role }, { "format", report.Format.ToString() } };
        if (report.Layer >= 0)
        {
            tags.Add("layer", report.Layer);
        }

        samples.Add(1, tags);
        underflow.Record(report.Numerics.UnderflowShare, tags);
        saturated.Record(report.Numerics.SaturatedShare, tags);
        nonFinite.Record(report.Numerics.NonFinite, tags);
        amax.Record(report.Numerics.Amax, tags);
        RecordNumber(snr, report.Numerics.SignalToNoise, tags);
        RecordNumber(scale, report.Scale, tags);
    }

    /// <summary>Publishes the numerics of a gradient's reduction.</summary>
    public static void Publish(ReductionNumerics reduction)
    {
        var tags = new TagList { { "tensor", reduction.Tensor }, { "role", ReductionRole } };
        samples.Add(1, tags);
        underflow.Record(reduction.Underflow, tags);
        saturated.Record(reduction.Overflow, tags);
        amax.Record(reduction.Amax, tags);
        RecordNumber(snr, reduction.SignalToNoise, tags);
        RecordNumber(scale, reduction.Scale, tags);
        mu.Record(reduction.Mu, tags);
    }

    /// <summary>What is not known is not recorded.</summary>
    private static void RecordNumber(Gauge<double> gauge, double value, in TagList tags)
    {
        if (!double.IsNaN(value))
        {
            gauge.Record(value, tags);
        }
    }
}
