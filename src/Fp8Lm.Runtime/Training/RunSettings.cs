using System;
using System.Collections.Generic;
using System.Globalization;
using Fp8Lm.Collectives;
using Fp8Lm.Execution;

namespace Fp8Lm.Training;

/// <summary>What decides the numbers of a run, as text; stored in checkpoints and compared when a run is resumed.</summary>
internal static class RunSettings
{
    /// <summary>The number of replicas, where there are several.</summary>
    public const string Replicas = "replicas";

    public static SortedDictionary<string, string> Describe(TrainerOptions options, Session session, string data)
    {
        var settings = new SortedDictionary<string, string>(StringComparer.Ordinal) { ["data"] = data };
        Add("accumulation", options.Accumulation);
        Add("beta1", options.Beta1);
        Add("beta2", options.Beta2);
        Add("calibration_passes", options.CalibrationPasses);
        Add("checkpointing", session.Checkpointing ? 1 : 0);
        Add("epsilon", options.Epsilon);
        Add("learning_rate", options.LearningRate);
        Add("learning_rate_floor", options.LearningRateFloor);
        Add("max_gradient_norm", options.MaxGradientNorm);
        Add("micro_batch", session.Dims[DimBinding.MicroBatch]);
        Add("schedule", options.Schedule);
        Add("seed", options.Seed);
        Add("sequence", session.Dims[DimBinding.Sequence]);
        Add("warmup_steps", options.WarmupSteps);
        Add("weight_decay", options.WeightDecay);
        if (options.SpikeGuard == SpikePolicy.Rewind)
        {
            Add("max_rewinds", options.MaxRewinds);
            Add("spike_guard", options.SpikeGuard);
            Add("spike_margin", options.SpikeMargin);
            Add("spike_skip", options.SpikeSkip);
            Add("spike_steps", options.SpikeSteps);
            Add("spike_threshold", options.SpikeThreshold);
            Add("spike_window", options.SpikeWindow);
        }

        if (options.Replicas > 1)
        {
            Add(Replicas, options.Replicas);
            if (ReplicaGradients.StoresFp8(session.Plan.Program))
            {
                GradientReductionOptions reduction = options.Reduction ?? new();
                Add("gradient_scaling", ReductionMode.NameOf(reduction));
                Add("gradient_sum", reduction.Sum == GradientSum.Fp8 ? options.ReductionOrder.ToString() : "F32");
                if (reduction.Scaling == GradientScaling.Automatic)
                {
                    AutomaticScalingOptions mu = reduction.Automatic;
                    Add("mu", FormattableString.Invariant($"{mu.Threshold}/{mu.DoublingSteps}/{mu.Interval}/{mu.Least}/{mu.Most}"));
                }
            }
        }

        if (options.Schedule != ScheduleKind.Constant)
        {
            Add("schedule_steps", options.Horizon);
        }

        if (options.Schedule == ScheduleKind.WarmupStableDecay)
        {
            Add("decay_fraction", options.DecayFraction);
        }

        return settings;

        void Add<T>(string name, T value) => settings.Add(name, string.Create(CultureInfo.InvariantCulture, $"{value}"));
    }

    /// <summary>What a run is resumed with and was not begun with, as "name = old instead of new".</summary>
    public static IEnumerable<string> Differences(IReadOnlyDictionary<string, string> before, IReadOnlyDictionary<string, string> now)
    {
        foreach ((string key, string value) in now)
        {
            if (!before.TryGetValue(key, out string? old) || old != value)
            {
                yield return $"{key} = {old ?? (key == Replicas ? "1" : "(unknown)")} instead of {value}";
            }
        }

        if (before.TryGetValue(Replicas, out string? replicas) && !now.ContainsKey(Replicas))
        {
            yield return $"{Replicas} = {replicas} instead of 1";
        }
    }
}
