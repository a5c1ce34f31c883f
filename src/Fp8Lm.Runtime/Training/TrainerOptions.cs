using System;
using Fp8Lm.Collectives;

namespace Fp8Lm.Training;

/// <summary>How the learning rate moves after the warm-up.</summary>
public enum ScheduleKind
{
    /// <summary>Half a cosine down to the floor.</summary>
    Cosine,
    /// <summary>Constant, then linear down to the floor over the last part of the horizon.</summary>
    WarmupStableDecay,
    /// <summary>Constant.</summary>
    Constant,
}

/// <summary>What happens when a loss or a gradient is not finite.</summary>
public enum NonFinitePolicy
{
    /// <summary>Training ends with an error that names step and tensor; the weights are those before the step.</summary>
    Stop,
    /// <summary>The step is left out with a message that names step and tensor.</summary>
    Skip,
}

/// <summary>What happens when the loss leaves the range of its noise (see <c>docs/guards.md</c> for the rule).</summary>
public enum SpikePolicy
{
    /// <summary>Nothing.</summary>
    Off,
    /// <summary>A message; training goes on.</summary>
    Report,
    /// <summary>Training ends with an error that names the last checkpoint from before the spike.</summary>
    Stop,
    /// <summary>Training goes back to the last checkpoint from before the spike and leaves out the batches from there to where it was found (PaLM, arXiv 2204.02311, section 5.1).</summary>
    Rewind,
}

/// <summary>Everything that decides how a model is trained; the numbers of a run depend on nothing else but model, sizes, recipe and data.</summary>
public sealed record TrainerOptions
{
    /// <summary>Number of optimizer steps at which training ends.</summary>
    public long Steps { get; init; } = 300;

    /// <summary>Step at which the schedule reaches its floor; 0: <see cref="Steps"/>. Runs that are to be equal need equal horizons.</summary>
    public long ScheduleSteps { get; init; }

    /// <summary>Micro-batches per step and replica, whose gradients add up.</summary>
    public int Accumulation { get; init; } = 1;

    /// <summary>Most <see cref="Replicas"/>.</summary>
    public const int MostReplicas = 128;

    /// <summary>
    /// Data-parallel replicas that this process simulates, 1 to <see cref="MostReplicas"/>, of any number: a step runs <see cref="Accumulation"/> micro-batches of different data for each, one
    /// replica after the other, and reduces their gradients as that many ranks would (<c>docs/automatic-scaling.md</c>). 1: none.
    /// </summary>
    public int Replicas { get; init; } = 1;

    /// <summary>How gradients of replicas are reduced that the recipe stores in FP8; null: FP8-LM's way where there are such. Their format is that of the payload. All others are averaged in F32.</summary>
    public GradientReductionOptions? Reduction { get; init; }

    /// <summary>In which order FP8 codes of replicas are added; NCCL prefers trees for FP8.</summary>
    public ReductionOrder ReductionOrder { get; init; } = ReductionOrder.Tree;

    /// <summary>Steps between those whose reduction over replicas is compared with a mean in F64 and told to the observer; 0: never. Changes nothing that is trained.</summary>
    public long ReductionInterval { get; init; } = 100;

    /// <summary>Micro-batches per step, of all replicas.</summary>
    public int MicroBatches => checked(Accumulation * Replicas);

    /// <summary>Largest learning rate.</summary>
    public float LearningRate { get; init; } = 1e-3f;

    /// <summary>The floor, as a part of <see cref="LearningRate"/>.</summary>
    public float LearningRateFloor { get; init; } = 0.1f;

    /// <summary>Steps of the linear warm-up.</summary>
    public long WarmupSteps { get; init; } = 20;

    /// <summary>Course of the learning rate after the warm-up.</summary>
    public ScheduleKind Schedule { get; init; }

    /// <summary>Part of the horizon in which <see cref="ScheduleKind.WarmupStableDecay"/> decays.</summary>
    public float DecayFraction { get; init; } = 0.2f;

    /// <summary>AdamW's decay of the first moment.</summary>
    public float Beta1 { get; init; } = 0.9f;

    /// <summary>AdamW's decay of the second moment.</summary>
    public float Beta2 { get; init; } = 0.95f;

    /// <summary>AdamW's epsilon.</summary>
    public float Epsilon { get; init; } = 1e-8f;

    /// <summary>Decoupled weight decay of matrices.</summary>
    public float WeightDecay { get; init; } = 0.1f;

    /// <summary>Largest global gradient norm; 0: no clipping.</summary>
    public float MaxGradientNorm { get; init; } = 1f;

    /// <summary>Seed of weights, data order and dropout.</summary>
    public ulong Seed { get; init; } = 1;

    /// <summary>Steps between evaluations on the held-out part; 0: at the end only.</summary>
    public long EvaluationInterval { get; init; } = 100;

    /// <summary>Micro-batches of one evaluation, at most; the held-out part may have fewer.</summary>
    public int EvaluationBatches { get; init; } = 8;

    /// <summary>Steps between checkpoints; 0: at the end only.</summary>
    public long CheckpointInterval { get; init; } = 100;

    /// <summary>Checkpoints that are kept.</summary>
    public int KeepCheckpoints { get; init; } = 2;

    /// <summary>Steps between those whose casts, and what the optimizer stores in few bits, are counted (<c>docs/numerics.md</c>); 0: never. Changes nothing that is trained.</summary>
    public long NumericsInterval { get; init; }

    /// <summary>What happens when a loss, a gradient norm or a recorded amax is not finite.</summary>
    public NonFinitePolicy NonFinite { get; init; }

    /// <summary>With <see cref="NonFinitePolicy.Skip"/>: skipped steps in a row at which training stops all the same.</summary>
    public int MaxSkippedSteps { get; init; } = 10;

    /// <summary>
    /// What happens when the loss spikes. The default says so and changes nothing: the other two end a run or give it other data, which nobody should get without having asked.
    /// </summary>
    public SpikePolicy SpikeGuard { get; init; } = SpikePolicy.Report;

    /// <summary>Losses whose median and deviation say what is usual; a quarter of them must be there before one can be high.</summary>
    public int SpikeWindow { get; init; } = 128;

    /// <summary>Robust standard deviations above the median from which a loss is high.</summary>
    public float SpikeThreshold { get; init; } = 7f;

    /// <summary>High losses in a row that are a spike.</summary>
    public int SpikeSteps { get; init; } = 3;

    /// <summary>Usual steps that must lie between a checkpoint and a spike for the checkpoint to count as good.</summary>
    public int SpikeMargin { get; init; } = 10;

    /// <summary>Batches that a rewind leaves out besides those from the checkpoint to where the spike was found, because what caused it may go on.</summary>
    public int SpikeSkip { get; init; } = 10;

    /// <summary>Returns to a checkpoint in one run after which the next spike stops it.</summary>
    public int MaxRewinds { get; init; } = 3;

    /// <summary>Passes over the first micro-batch that set FP8 scales before step 1 of a fresh run.</summary>
    public int CalibrationPasses { get; init; } = 2;

    /// <summary>Step at which the schedule reaches its floor.</summary>
    public long Horizon => ScheduleSteps > 0 ? ScheduleSteps : Steps;

    /// <summary>Checks ranges.</summary>
    /// <exception cref="ArgumentException">A value is out of range; the message says which and what is allowed.</exception>
    public void Validate()
    {
        Check(Steps >= 0, nameof(Steps), Steps, "at least 0");
        Check(ScheduleSteps >= 0, nameof(ScheduleSteps), ScheduleSteps, "at least 0");
        Check(Accumulation >= 1, nameof(Accumulation), Accumulation, "at least 1");
        Check(Replicas is >= 1 and <= MostReplicas, nameof(Replicas), Replicas, FormattableString.Invariant($"from 1 to {MostReplicas}"));
        Check(Accumulation <= int.MaxValue / Replicas, nameof(Accumulation), Accumulation, FormattableString.Invariant($"at most {int.MaxValue / Replicas} with {Replicas} replicas"));
        Check(Reduction is null || Replicas > 1, nameof(Replicas), Replicas, "at least 2 when Reduction says how the gradients of replicas are reduced");
        Check(ReductionInterval >= 0, nameof(ReductionInterval), ReductionInterval, "at least 0");
        Check(float.IsFinite(LearningRate) && LearningRate >= 0, nameof(LearningRate), LearningRate, "a finite number, at least 0");
        Check(LearningRateFloor is >= 0 and <= 1, nameof(LearningRateFloor), LearningRateFloor, "between 0 and 1");
        Check(WarmupSteps >= 0, nameof(WarmupSteps), WarmupSteps, "at least 0");
        Check(DecayFraction is > 0 and <= 1, nameof(DecayFraction), DecayFraction, "above 0 and at most 1");
        Check(Beta1 is >= 0 and < 1, nameof(Beta1), Beta1, "at least 0 and below 1");
        Check(Beta2 is >= 0 and < 1, nameof(Beta2), Beta2, "at least 0 and below 1");
        Check(Epsilon > 0, nameof(Epsilon), Epsilon, "above 0");
        Check(WeightDecay >= 0, nameof(WeightDecay), WeightDecay, "at least 0");
        Check(MaxGradientNorm >= 0, nameof(MaxGradientNorm), MaxGradientNorm, "at least 0");
        Check(EvaluationInterval >= 0, nameof(EvaluationInterval), EvaluationInterval, "at least 0");
        Check(EvaluationBatches >= 1, nameof(EvaluationBatches), EvaluationBatches, "at least 1");
        Check(CheckpointInterval >= 0, nameof(CheckpointInterval), CheckpointInterval, "at least 0");
        Check(KeepCheckpoints >= 1, nameof(KeepCheckpoints), KeepCheckpoints, "at least 1");
        Check(NumericsInterval >= 0, nameof(NumericsInterval), NumericsInterval, "at least 0");
        Check(MaxSkippedSteps >= 1, nameof(MaxSkippedSteps), MaxSkippedSteps, "at least 1");
        Check(SpikeWindow >= 8, nameof(SpikeWindow), SpikeWindow, "at least 8");
        Check(float.IsFinite(SpikeThreshold) && SpikeThreshold > 0, nameof(SpikeThreshold), SpikeThreshold, "a finite number above 0");
        Check(SpikeSteps >= 1, nameof(SpikeSteps), SpikeSteps, "at least 1");
        Check(SpikeMargin >= 0, nameof(SpikeMargin), SpikeMargin, "at least 0");
        Check(SpikeSkip >= 0, nameof(SpikeSkip), SpikeSkip, "at least 0");
        Check(MaxRewinds >= 1, nameof(MaxRewinds), MaxRewinds, "at least 1");
        Check(SpikeGuard != SpikePolicy.Rewind || CheckpointInterval > 0, nameof(CheckpointInterval), CheckpointInterval, "above 0 when SpikeGuard is Rewind, which goes back to a checkpoint");
        Check(CalibrationPasses >= 0, nameof(CalibrationPasses), CalibrationPasses, "at least 0");
    }

    private static void Check(bool valid, string name, object value, string allowed)
    {
        if (!valid)
        {
            throw new ArgumentException(FormattableString.Invariant($"{name} is {value}; it must be {allowed}."), name);
        }
    }
}
