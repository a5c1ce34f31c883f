using System;
using System.Collections.Generic;
using System.Linq;

namespace Fp8Lm.Collectives;

/// <summary>The ways to reduce gradients that have a name: of <c>--gradient-scaling</c>, and in checkpoints.</summary>
/// <param name="Name">The name.</param>
/// <param name="Meaning">What it does, in a few words.</param>
/// <param name="Options">The options that it stands for.</param>
public sealed record ReductionMode(string Name, string Meaning, GradientReductionOptions Options)
{
    /// <summary>
    /// All of them, FP8-LM's first. <c>exchange</c> has the factor 1: a sum in F32 needs no room, so that codes of gradients that are FP8 already travel as they are.
    /// </summary>
    public static IReadOnlyList<ReductionMode> All { get; } =
    [
        new("auto", "mu per tensor", new GradientReductionOptions { Scaling = GradientScaling.Automatic }),
        new("pre", "divide by N, then add in FP8", new GradientReductionOptions { Scaling = GradientScaling.PreScaling }),
        new("post", "add in FP8, then divide", new GradientReductionOptions { Scaling = GradientScaling.PostScaling }),
        new("exchange", "add in F32, round once", new GradientReductionOptions { Scaling = GradientScaling.PostScaling, Sum = GradientSum.ExchangeF32 }),
    ];

    /// <summary>The name of options; those without one are described by their parts.</summary>
    public static string NameOf(GradientReductionOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        return All.FirstOrDefault(m => (m.Options.Scaling, m.Options.Sum) == (options.Scaling, options.Sum))?.Name ?? $"{options.Scaling}/{options.Sum}";
    }
}
