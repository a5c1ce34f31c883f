using System.Collections.Generic;
using Fp8Lm.Collectives;
using Fp8Lm.Numerics;

namespace Fp8Lm.Training;

/// <summary>Numbers of one optimizer step.</summary>
/// <param name="Step">Number of the step, from 1.</param>
/// <param name="Loss">Mean training loss over the step's labels.</param>
/// <param name="LearningRate">Learning rate.</param>
/// <param name="GradientNorm">Global norm of the gradients before clipping.</param>
/// <param name="Tokens">Tokens that the run has seen since step 1.</param>
/// <param name="Seconds">Seconds that this process has spent in training steps.</param>
/// <param name="TokensPerSecond">Tokens per second of this process's recent steps.</param>
public sealed record StepReport(long Step, double Loss, float LearningRate, float GradientNorm, long Tokens, double Seconds, double TokensPerSecond)
{
    /// <summary>What the loss gradient of this step was multiplied with, in recipes with loss scaling; null in others. <see cref="GradientNorm"/> is that of gradients without it.</summary>
    public float? LossScale { get; init; }
}

/// <summary>Told what training does, on the training thread.</summary>
public interface ITrainingObserver
{
    /// <summary>A step is complete.</summary>
    void OnStep(StepReport report);

    /// <summary>What the reduction over replicas of a sampled step has done, behind <see cref="OnStep"/> of that step (<see cref="TrainerOptions.ReductionInterval"/>).</summary>
    /// <param name="step">The step.</param>
    /// <param name="numerics">A record per gradient that travels in FP8.</param>
    void OnReduction(long step, IReadOnlyList<ReductionNumerics> numerics)
    {
    }

    /// <summary>What the casts of a sampled step have done, those of the optimizer's stores among them, behind <see cref="OnStep"/> of that step (<see cref="TrainerOptions.NumericsInterval"/>).</summary>
    void OnNumerics(IReadOnlyList<CastReport> reports)
    {
    }

    /// <summary>The held-out loss after a step.</summary>
    void OnEvaluation(long step, double loss);

    /// <summary>A checkpoint is on disk.</summary>
    void OnCheckpoint(string path);

    /// <summary>Training goes on from an earlier checkpoint; steps after it come again.</summary>
    void OnRewind(Rewind rewind)
    {
    }

    /// <summary>Something a person should know: a skipped step, a damaged checkpoint, a failed save.</summary>
    void OnMessage(string message);
}

/// <summary>Ignores everything.</summary>
public sealed class SilentObserver : ITrainingObserver
{
    /// <inheritdoc/>
    public void OnStep(StepReport report)
    {
    }

    /// <inheritdoc/>
    public void OnEvaluation(long step, double loss)
    {
    }

    /// <inheritdoc/>
    public void OnCheckpoint(string path)
    {
    }

    /// <inheritdoc/>
    public void OnMessage(string message)
    {
    }
}
