using System;
using System.Collections.Generic;
using System.Linq;

namespace Fp8Lm.Collectives;

/// <summary>The knobs of automatic scaling; the defaults are the paper's.</summary>
public sealed record AutomaticScalingOptions
{
    /// <summary>Share of saturated elements above which mu is halved: 1e-5 in the paper, 1e-3 in the last version of the authors' pull request.</summary>
    public double Threshold { get; init; } = 1e-5;

    /// <summary>Steps in which mu doubles when nothing saturates.</summary>
    public int DoublingSteps { get; init; } = 1000;

    /// <summary>Steps from one look at the shares to the next.</summary>
    public int Interval { get; init; } = 1;

    /// <summary>
    /// Least mu. The authors have no bound; this one is out of reach for N below 2^18, because N elements times 1/(4 N) cannot saturate a sum.
    /// </summary>
    public double Least { get; init; } = Math.ScaleB(1, -20);

    /// <summary>Largest mu. Keeps a tensor in which fewer than <see cref="Threshold"/> of the elements are not zero from being clipped without end.</summary>
    public double Most { get; init; } = 16;

    /// <summary>Says which value cannot work.</summary>
    /// <exception cref="ArgumentException">A value is out of range.</exception>
    public void Validate()
    {
        Check(Threshold is >= 0 and < 1, nameof(Threshold), Threshold, "a share from 0 up to below 1");
        Check(DoublingSteps >= 1, nameof(DoublingSteps), DoublingSteps, "at least 1 step");
        Check(Interval >= 1, nameof(Interval), Interval, "at least 1 step");
        Check(Least >= Math.ScaleB(1, -30) && Least <= 1, nameof(Least), Least, "from 2^-30 to 1");
        Check(Most is >= 1 and <= 1073741824, nameof(Most), Most, "from 1 to 2^30");
    }

    private static void Check(bool fine, string name, double value, string expected)
    {
        if (!fine)
        {
            throw new ArgumentException(FormattableString.Invariant($"Automatic scaling: {name} is {value}; it must be {expected}."));
        }
    }
}

/// <summary>What a checkpoint keeps of a reduction: everything that the next step depends on.</summary>
/// <param name="Version">1.</param>
/// <param name="Ranks">Ranks of the group that wrote it.</param>
/// <param name="Steps">Steps since the start.</param>
/// <param name="Tensors">Names of the gradients.</param>
/// <param name="Mu">mu (or the fixed factor) per tensor.</param>
/// <param name="Scale">Base scale per tensor, which stays while a gradient is zero.</param>
public sealed record GradientReductionState(int Version, int Ranks, long Steps, string[] Tensors, double[] Mu, float[] Scale)
{
    /// <summary>The version that this code writes.</summary>
    public const int CurrentVersion = 1;
}

/// <summary>The factor of each tensor's scale, and how it follows the share of saturated elements.</summary>
public sealed class ScalingFactors
{
    private readonly IReadOnlyList<GradientTensor> tensors;
    private readonly GradientScalingRule rule;
    private readonly AutomaticScalingOptions options;
    private readonly int ranks;

    /// <summary>Logarithms of mu are multiples of this: far finer than any step of it, and coarse enough that log2(mu) of a saved mu, rounded to it, is the logarithm that was saved.</summary>
    private static readonly double grid = Math.ScaleB(1, -44);

    // Logarithms: a thousand small steps then are one doubling, whatever the order of halvings among them.
    private readonly double[] exponent;
    private readonly float[] factor;

    /// <summary>Creates the factors of a first step.</summary>
    /// <param name="tensors">The tensors.</param>
    /// <param name="ranks">Ranks of the group.</param>
    /// <param name="scaling">Which rule.</param>
    /// <param name="options">Knobs of <see cref="GradientScaling.Automatic"/>; null: the paper's.</param>
    /// <exception cref="ArgumentException">An option is out of range.</exception>
    public ScalingFactors(IReadOnlyList<GradientTensor> tensors, int ranks, GradientScaling scaling, AutomaticScalingOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(tensors);
        rule = GradientScalingRule.Of(scaling);
        this.options = options ?? new AutomaticScalingOptions();
        this.options.Validate();
        this.tensors = tensors;
        this.ranks = ranks;
        Scaling = scaling;
        exponent = new double[tensors.Count];
        factor = new float[tensors.Count];
        for (int i = 0; i < exponent.Length; i++)
        {
            Set(i, Math.Log2(rule.Initial(ranks)));
        }
    }

    /// <summary>The rule.</summary>
    public GradientScaling Scaling { get; }

    /// <summary>Steps so far.</summary>
    public long Steps { get; private set; }

    /// <summary>The factor of a tensor's scale in the coming step.</summary>
    public float this[int tensor] => factor[tensor];

    /// <summary>
    /// Ends a step. With automatic scaling mu of a tensor is halved where the share of saturated elements exceeds the threshold, else multiplied by
    /// 2^(interval / doubling steps).
    /// </summary>
    /// <param name="saturated">Share of saturated elements per tensor, equal on all ranks; NaN where the step says nothing (a zero or non-finite gradient): mu stays.</param>
    /// <exception cref="ArgumentException">Not one share per tensor.</exception>
    public void Update(ReadOnlySpan<double> saturated)
    {
        if (saturated.Length != factor.Length)
        {
            throw new ArgumentException($"There are {factor.Length} gradients; got {saturated.Length} shares.", nameof(saturated));
        }

        Steps++;
        if (!rule.Adapts || Steps % options.Interval != 0)
        {
            return;
        }

        for (int i = 0; i < factor.Length; i++)
        {
            if (!double.IsNaN(saturated[i]))
            {
                Set(i, exponent[i] + (saturated[i] > options.Threshold ? -1 : (double)options.Interval / options.DoublingSteps));
            }
        }
    }

    /// <summary>mu of a first step with that many ranks.</summary>
    internal static double Initial(GradientScaling scaling, int ranks) => GradientScalingRule.Of(scaling).Initial(ranks);

    /// <summary>Whether the factors follow the data.</summary>
    internal bool Adapts => rule.Adapts;

    /// <summary>mu of every tensor; <see cref="Restore"/> finds the very same logarithms in it.</summary>
    internal double[] Mu() => [.. exponent.Select(e => Math.Pow(2, e))];

    /// <summary>Goes on from a checkpoint. mu follows 1/sqrt(N) when the number of ranks has changed.</summary>
    internal void Restore(GradientReductionState state)
    {
        Check(state);
        double rescale = rule.Adapts ? 0.5 * Math.Log2((double)state.Ranks / ranks) : 0;
        for (int i = 0; i < exponent.Length; i++)
        {
            Set(i, rule.Adapts ? Math.Log2(state.Mu[i]) + rescale : Math.Log2(rule.Initial(ranks)));
        }

        Steps = state.Steps;
    }

    private void Check(GradientReductionState state)
    {
        if (state.Version != GradientReductionState.CurrentVersion)
        {
            throw new ArgumentException($"The state of gradient scaling has version {state.Version}; this program reads version {GradientReductionState.CurrentVersion}. Use the program that wrote it.");
        }

        if (state.Tensors.Length != tensors.Count || state.Mu.Length != tensors.Count || state.Scale.Length != tensors.Count)
        {
            throw new ArgumentException(
                $"The state of gradient scaling is of {state.Tensors.Length} tensors ({state.Mu.Length} factors, {state.Scale.Length} scales); this model has {tensors.Count}. Load a checkpoint of the same model.");
        }

        for (int i = 0; i < tensors.Count; i++)
        {
            if (state.Tensors[i] != tensors[i].Name)
            {
                throw new ArgumentException($"Gradient {i} of the saved state is {state.Tensors[i]}; this model has {tensors[i].Name} there. Load a checkpoint of the same model.");
            }

            if (!(state.Mu[i] > 0 && double.IsFinite(state.Mu[i]) && state.Scale[i] > 0 && float.IsFinite(state.Scale[i])))
            {
                throw new ArgumentException(FormattableString.Invariant(
                    $"The saved state has mu {state.Mu[i]} and scale {state.Scale[i]} for {state.Tensors[i]}; both must be positive numbers. The checkpoint is damaged: load another."));
            }
        }

        if (state.Ranks < 1 || state.Steps < 0)
        {
            throw new ArgumentException($"The saved state is of {state.Ranks} ranks and step {state.Steps}; there is at least 1 rank and no step below 0. The checkpoint is damaged: load another.");
        }
    }

    private void Set(int tensor, double value)
    {
        exponent[tensor] = rule.Adapts ? Math.Round(Math.Clamp(value, Math.Log2(options.Least), Math.Log2(options.Most)) / grid) * grid : value;
        factor[tensor] = (float)Math.Pow(2, exponent[tensor]);
    }
}
