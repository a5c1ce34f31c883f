using System;
using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Collectives;

namespace Fp8Lm.CommandLine;

/// <summary>The worst gradients of a measured reduction, and the range of mu, in one line.</summary>
internal static class ReductionLine
{
    /// <summary>The line.</summary>
    /// <param name="step">The step.</param>
    /// <param name="numerics">At least one record.</param>
    public static string Of(long step, IReadOnlyList<ReductionNumerics> numerics)
    {
        var parts = new List<string>();
        if (numerics.Where(n => !double.IsNaN(n.SignalToNoise)).MinBy(n => n.SignalToNoise) is { } noisy)
        {
            parts.Add(FormattableString.Invariant($"lowest SNR {noisy.SignalToNoise:F1} dB ({noisy.Tensor})"));
        }

        parts.Add(Share("underflow", numerics, n => n.Underflow));
        parts.Add(Share("overflow", numerics, n => n.Overflow));
        parts.Add(FormattableString.Invariant($"mu {numerics.Min(n => n.Mu):G3} to {numerics.Max(n => n.Mu):G3}"));
        if (numerics.FirstOrDefault(n => !float.IsFinite(n.Amax)) is { } poisoned)
        {
            parts.Add($"not finite: {poisoned.Tensor}");
        }

        return FormattableString.Invariant($"step {step}  reduction: {string.Join(", ", parts)}");
    }

    private static string Share(string what, IReadOnlyList<ReductionNumerics> numerics, Func<ReductionNumerics, double> of)
    {
        ReductionNumerics most = numerics.MaxBy(of)!;
        return of(most) > 0 ? FormattableString.Invariant($"{what} up to {100 * of(most):G3} % ({most.Tensor})") : $"no {what}";
    }
}
