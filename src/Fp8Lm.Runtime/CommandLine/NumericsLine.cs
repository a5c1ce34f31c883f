using System;
using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Numerics;

namespace Fp8Lm.CommandLine;

/// <summary>The worst tensors of a sampled step in one line.</summary>
internal static class NumericsLine
{
    /// <summary>The line; empty when nothing was cast.</summary>
    public static string Of(IReadOnlyList<CastReport> reports)
    {
        if (reports.Count == 0)
        {
            return "";
        }

        CastReport underflow = reports.MaxBy(r => r.Numerics.UnderflowShare)!, saturated = reports.MaxBy(r => r.Numerics.SaturatedShare)!;
        var parts = new List<string>();
        if (reports.Where(r => !double.IsNaN(r.Numerics.SignalToNoise)).MinBy(r => r.Numerics.SignalToNoise) is { } noisy)
        {
            parts.Add(FormattableString.Invariant($"lowest SNR {noisy.Numerics.SignalToNoise:F1} dB ({Name(noisy)})"));
        }

        parts.Add(Share("underflow", underflow, underflow.Numerics.UnderflowShare));
        parts.Add(Share("saturated", saturated, saturated.Numerics.SaturatedShare));
        if (reports.Where(r => r.Numerics.NonFinite > 0).MaxBy(r => r.Numerics.NonFinite) is { } poisoned)
        {
            parts.Add(FormattableString.Invariant($"{poisoned.Numerics.NonFinite} elements that are not finite ({Name(poisoned)})"));
        }

        return FormattableString.Invariant($"step {reports[0].Step}  numerics: {string.Join(", ", parts)}");
    }

    private static string Share(string what, CastReport report, double share) =>
        share > 0 ? FormattableString.Invariant($"{what} up to {100 * share:G3} % ({Name(report)})") : $"no {what}";

    private static string Name(CastReport report) => $"{report.Tensor} {report.Role}";
}
