using System;
using System.Collections.Generic;
using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using System.Linq;
using System.Numerics;
using Fp8Lm.Collectives;
using Fp8Lm.Execution;
using Fp8Lm.Training;

namespace Fp8Lm.CommandLine;

/// <summary>The options of all commands, with defaults and the values that are allowed.</summary>
internal sealed class AppOptions
{
    private readonly TrainerOptions training;

    public AppOptions(ModelDefinition definition, AppDefaults defaults)
    {
        training = defaults.Training;
        string sizes = string.Join(", ", definition.Sizes.Select(s => s.Name));
        Recipe = Text("--recipe", $"Precision recipe: {string.Join(", ", definition.Recipes)}.", defaults.Recipe ?? definition.Recipes[0]);
        Size = Text("--size", $"Size of the model: {sizes}.", defaults.Size ?? definition.Sizes[0].Name);
        SizeArgument = new Argument<string?>("size") { Description = $"Size of the model: {sizes}.", Arity = ArgumentArity.ZeroOrOne };
        Device = Text("--device", "Where to run: cpu, cuda, or auto (cuda if there is one).", "auto");
        MicroBatch = Number("--micro-batch", "Sequences per pass.", defaults.MicroBatch, 1, 1 << 20);
        Sequence = Number("--sequence", "Tokens per sequence.", defaults.Sequence, 1, 1 << 24);
        Checkpointing = Switch("--checkpointing", "Recompute repeated blocks in the backward pass to save memory.", defaults.Checkpointing);
        Seed = Number("--seed", "Seed of weights, data order, dropout and sampling.", training.Seed, 0UL, ulong.MaxValue);
        Prompt = Text("--prompt", "Text to continue.", defaults.Prompt);
        Length = Number("--length", "Tokens to generate; 0: none.", defaults.SampleLength, 0, 1 << 24);
        Temperature = Number("--temperature", "Sampling temperature; 0 takes the most likely token.", 0.8f, 0f, 100f);
        TopK = Number("--top-k", "Sample from this many of the most likely tokens; 0: all.", 40, 0, int.MaxValue);
        Steps = Number("--steps", "Optimizer steps at which training ends.", training.Steps, 0L, long.MaxValue);
        ScheduleSteps = Number(
            "--schedule-steps", "Step at which the learning rate reaches its floor; the default is --steps, but not less than the default of --steps.", 0L, 0L, long.MaxValue);
        Accumulate = Number("--accumulate", "Micro-batches per optimizer step (and replica).", training.Accumulation, 1, 1 << 20);
        Replicas = Number("--replicas", "Data-parallel replicas to simulate, each with --accumulate micro-batches of its own data a step; 1: none.", training.Replicas, 1, TrainerOptions.MostReplicas);
        GradientScaling = new("--gradient-scaling")
        {
            Description = $"How FP8 gradients of replicas are reduced: {string.Join(", ", ReductionMode.All.Select(m => $"{m.Name} ({m.Meaning})"))}; default: auto. Others are averaged in F32.",
        };
        ReductionEvery = Number("--reduction-every", "Steps between those whose reduction over replicas is measured against F64 and printed; 0: never.", training.ReductionInterval, 0L, long.MaxValue);
        LearningRate = Number("--lr", "Largest learning rate.", training.LearningRate, 0f, 1000f);
        Warmup = Number("--warmup", "Steps of linear warm-up.", training.WarmupSteps, 0L, long.MaxValue);
        Schedule = Text("--schedule", "After the warm-up: cosine, wsd (constant, then linear decay) or constant.", ScheduleName(training.Schedule));
        WeightDecay = Number("--weight-decay", "Weight decay of matrices.", training.WeightDecay, 0f, 1000f);
        Clip = Number("--clip", "Largest gradient norm; 0: no clipping.", training.MaxGradientNorm, 0f, float.MaxValue);
        EvaluateEvery = Number("--eval-every", "Steps between evaluations on held-out data; 0: at the end only.", training.EvaluationInterval, 0L, long.MaxValue);
        EvaluationBatches = Number("--eval-batches", "Micro-batches of held-out data in an evaluation, at most.", training.EvaluationBatches, 1, int.MaxValue);
        SaveEvery = Number("--save-every", "Steps between checkpoints; 0: at the end only.", training.CheckpointInterval, 0L, long.MaxValue);
        Numerics = Number(
            "--numerics", "Steps between those whose casts, and stores of masters and moments in few bits, are counted into numerics.csv and numerics.svg (underflow, saturation, noise by tensor and layer); 0: never.",
            training.NumericsInterval, 0L, long.MaxValue);
        Keep = Number("--keep", "Checkpoints to keep.", training.KeepCheckpoints, 1, 1 << 20);
        NonFinite = Text(
            "--non-finite", "When a loss, a gradient or an FP8 amax is not finite: stop or skip the step.", training.NonFinite == NonFinitePolicy.Skip ? "skip" : "stop");
        NonFinite.Aliases.Add("--on-nonfinite");
        MaxSkipped = Number("--max-skipped", "Skipped steps in a row at which training stops.", training.MaxSkippedSteps, 1, 1 << 30);
        SpikeGuard = Text(
            "--spike-guard", "When the loss spikes: off, report (a message), stop, or rewind (back to the last good checkpoint, leaving out the batches since).",
            training.SpikeGuard.ToString().ToLowerInvariant());
        MaxRewinds = Number("--max-rewinds", "Rewinds after which the next spike stops training.", training.MaxRewinds, 1, 1 << 20);
    }

    public Option<string> Recipe { get; }

    public Option<string> Size { get; }

    public Argument<string?> SizeArgument { get; }

    public Option<string> Device { get; }

    public Option<int> MicroBatch { get; }

    public Option<int> Sequence { get; }

    public Option<bool> Checkpointing { get; }

    public Option<ulong> Seed { get; }

    public Option<string> Prompt { get; }

    public Option<int> Length { get; }

    public Option<float> Temperature { get; }

    public Option<int> TopK { get; }

    public Option<long> Steps { get; }

    public Option<long> ScheduleSteps { get; }

    public Option<int> Accumulate { get; }

    public Option<int> Replicas { get; }

    public Option<string?> GradientScaling { get; }

    public Option<long> ReductionEvery { get; }

    public Option<float> LearningRate { get; }

    public Option<long> Warmup { get; }

    public Option<string> Schedule { get; }

    public Option<float> WeightDecay { get; }

    public Option<float> Clip { get; }

    public Option<long> EvaluateEvery { get; }

    public Option<int> EvaluationBatches { get; }

    public Option<long> SaveEvery { get; }

    public Option<long> Numerics { get; }

    public Option<int> Keep { get; }

    public Option<string> NonFinite { get; }

    public Option<int> MaxSkipped { get; }

    public Option<string> SpikeGuard { get; }

    public Option<int> MaxRewinds { get; }

    public Option<string[]> Data { get; } = new("--data")
    {
        Description = "Text files or folders; without it the API documentation of the installed .NET SDK.", AllowMultipleArgumentsPerToken = true, DefaultValueFactory = _ => [],
    };

    public Option<bool> Resume { get; } = new("--resume") { Description = "Go on from the newest checkpoint of the run (of --out, or of the last run of this size and recipe)." };

    public Option<string?> Out { get; } = new("--out") { Description = "Folder of the run, for checkpoints and the loss curve; kernels: folder for the files." };

    public Option<string?> Summary { get; } = new("--summary") { Description = "Write a summary of the run to this file, as a JSON object." };

    public Option<string?> From { get; } = new("--from") { Description = "A checkpoint or the folder of a run; default: the last run of this model." };

    public Option<bool> Json { get; } = new("--json") { Description = "Print JSON instead of a table." };

    public IReadOnlyList<Option> Train =>
    [
        Recipe, Size, Device, Steps, Resume, Seed, Data, Out, Summary, MicroBatch, Sequence, Accumulate, Replicas, GradientScaling, ReductionEvery, LearningRate, Warmup, Schedule, ScheduleSteps,
        WeightDecay, Clip, Checkpointing, EvaluateEvery, EvaluationBatches, SaveEvery, Numerics, Keep, NonFinite, MaxSkipped, SpikeGuard, MaxRewinds, Prompt, Length, Temperature, TopK,
    ];

    public IReadOnlyList<Option> Generate => [From, Device, Prompt, Length, Temperature, TopK, Seed];

    public IReadOnlyList<Option> Plan => [Size, Recipe, MicroBatch, Sequence, Checkpointing, Json];

    public IReadOnlyList<Option> Kernels => [Recipe, Out];

    public void AddTo(Command command, IReadOnlyList<Option> options)
    {
        foreach (Option option in options)
        {
            command.Add(option);
        }
    }

    /// <summary>How generation chooses tokens.</summary>
    public SamplingOptions Sampling(ParseResult parsed) => new(parsed.GetValue(Temperature), parsed.GetValue(TopK), parsed.GetValue(Seed));

    /// <summary>The options that the training loop takes.</summary>
    public TrainerOptions Trainer(ParseResult parsed)
    {
        long steps = parsed.GetValue(Steps), horizon = parsed.GetValue(ScheduleSteps);
        TrainerOptions chosen = training with
        {
            Steps = steps,

            // A short run is the beginning of the default run, so that it can be resumed to the default length and be the same.
            ScheduleSteps = horizon > 0 ? horizon : Math.Max(steps, training.Steps),
            Accumulation = parsed.GetValue(Accumulate),
            Replicas = parsed.GetValue(Replicas),
            Reduction = parsed.GetValue(GradientScaling) is { } scaling ? Choice("--gradient-scaling", scaling, [.. ReductionMode.All.Select(m => (m.Name, m.Options))]) : training.Reduction,
            ReductionInterval = parsed.GetValue(ReductionEvery),
            LearningRate = parsed.GetValue(LearningRate),
            WarmupSteps = parsed.GetValue(Warmup),
            Schedule = Choice(
                "--schedule", parsed.GetValue(Schedule)!, ("cosine", ScheduleKind.Cosine), ("wsd", ScheduleKind.WarmupStableDecay), ("constant", ScheduleKind.Constant)),
            WeightDecay = parsed.GetValue(WeightDecay),
            MaxGradientNorm = parsed.GetValue(Clip),
            Seed = parsed.GetValue(Seed),
            EvaluationInterval = parsed.GetValue(EvaluateEvery),
            EvaluationBatches = parsed.GetValue(EvaluationBatches),
            CheckpointInterval = parsed.GetValue(SaveEvery),
            NumericsInterval = parsed.GetValue(Numerics),
            KeepCheckpoints = parsed.GetValue(Keep),
            NonFinite = Choice("--non-finite", parsed.GetValue(NonFinite)!, ("stop", NonFinitePolicy.Stop), ("skip", NonFinitePolicy.Skip)),
            MaxSkippedSteps = parsed.GetValue(MaxSkipped),
            SpikeGuard = Choice(
                "--spike-guard", parsed.GetValue(SpikeGuard)!,
                ("off", SpikePolicy.Off), ("report", SpikePolicy.Report), ("stop", SpikePolicy.Stop), ("rewind", SpikePolicy.Rewind)),
            MaxRewinds = parsed.GetValue(MaxRewinds),
        };
        if (chosen.Reduction is not null && chosen.Replicas == 1)
        {
            throw new UsageException("--gradient-scaling says how gradients of replicas are reduced, but there is one replica. Add --replicas with a number from 2 to 128.");
        }

        return chosen.SpikeGuard == SpikePolicy.Rewind && chosen.CheckpointInterval == 0
            ? throw new UsageException("--spike-guard rewind goes back to a checkpoint, but --save-every 0 makes none on the way. Use --save-every with a number above 0.")
            : chosen;
    }

    /// <summary>Picks from named values, without regard to case, dashes and underscores.</summary>
    /// <exception cref="UsageException">No such name; the message lists those there are.</exception>
    public static T Choice<T>(string option, string given, params ReadOnlySpan<(string Name, T Value)> choices)
    {
        var names = new List<string>();
        foreach ((string name, T value) in choices)
        {
            if (Plain(name) == Plain(given))
            {
                return value;
            }

            names.Add(name);
        }

        throw new UsageException($"{option} '{given}' is not known. Allowed: {string.Join(", ", names)}.");
    }

    private static string Plain(string name) => name.Replace("-", "", StringComparison.Ordinal).Replace("_", "", StringComparison.Ordinal).ToUpperInvariant();

    private static string ScheduleName(ScheduleKind kind) => kind switch
    {
        ScheduleKind.WarmupStableDecay => "wsd",
        ScheduleKind.Constant => "constant",
        _ => "cosine",
    };

    private static Option<string> Text(string name, string description, string value) => new(name) { Description = description, DefaultValueFactory = _ => value };

    private static Option<bool> Switch(string name, string description, bool value) => new(name) { Description = description, DefaultValueFactory = _ => value };

    private static Option<T> Number<T>(string name, string description, T value, T least, T most) where T : struct, INumber<T>, IMinMaxValue<T> => new(name)
    {
        Description = description,
        DefaultValueFactory = _ => value,
        CustomParser = result => Parse(result, name, least, most),
    };

    private static T Parse<T>(ArgumentResult result, string name, T least, T most) where T : struct, INumber<T>, IMinMaxValue<T>
    {
        string text = result.Tokens.Count == 0 ? "" : result.Tokens[0].Value;
        if (T.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out T value) && value >= least && value <= most)
        {
            return value;
        }

        string kind = typeof(T) == typeof(float) ? "number" : "whole number";
        string range = most == T.MaxValue ? FormattableString.Invariant($"of at least {least}") : FormattableString.Invariant($"from {least} to {most}");
        result.AddError($"{name} takes a {kind} {range}, not '{text}'.");
        return default;
    }
}
