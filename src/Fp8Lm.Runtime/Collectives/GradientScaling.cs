using System;
using System.Collections.Generic;

namespace Fp8Lm.Collectives;

/// <summary>How gradients are kept inside FP8's range while N ranks are summed. All of them are factors of the scale, which dequantisation takes out again.</summary>
public enum GradientScaling
{
    /// <summary>Divide by N before the sum: never overflows, underflows for large N (paper, section 2.1).</summary>
    PreScaling,
    /// <summary>Divide by N after the sum: does not underflow more than the cast does, overflows while summing.</summary>
    PostScaling,
    /// <summary>The fixed factor 1/sqrt(N) of released MS-AMP (fact sheet 2.4).</summary>
    InverseSquareRoot,
    /// <summary>Automatic scaling: mu per tensor follows the share of saturated elements (paper, section 2.1; fact sheet 2.3 and 2.6).</summary>
    Automatic,
}

/// <summary>What each <see cref="GradientScaling"/> does.</summary>
/// <param name="Initial">Factor for N ranks at the start.</param>
/// <param name="Adapts">Whether the factor follows the data.</param>
internal sealed record GradientScalingRule(Func<int, double> Initial, bool Adapts)
{
    private static readonly Dictionary<GradientScaling, GradientScalingRule> table = new()
    {
        [GradientScaling.PreScaling] = new(n => 1.0 / n, Adapts: false),
        [GradientScaling.PostScaling] = new(_ => 1.0, Adapts: false),
        [GradientScaling.InverseSquareRoot] = new(n => 1 / Math.Sqrt(n), Adapts: false),
        [GradientScaling.Automatic] = new(n => 1 / Math.Sqrt(n), Adapts: true),
    };

    public static GradientScalingRule Of(GradientScaling scaling) => table.TryGetValue(scaling, out GradientScalingRule? rule)
        ? rule
        : throw new ArgumentOutOfRangeException(nameof(scaling), scaling, $"There is no gradient scaling {scaling}; there are {string.Join(", ", table.Keys)}.");
}
