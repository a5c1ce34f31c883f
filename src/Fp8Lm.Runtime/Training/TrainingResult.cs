using System.Collections.Generic;

namespace Fp8Lm.Training;

/// <summary>What a run came to.</summary>
/// <param name="Steps">Completed steps, those before a resume included.</param>
/// <param name="Tokens">Tokens trained on by this process.</param>
/// <param name="Seconds">Seconds this process spent in training steps (not in evaluation and saving).</param>
/// <param name="TokensPerSecond"><paramref name="Tokens"/> / <paramref name="Seconds"/>.</param>
/// <param name="TrainLoss">Mean training loss of the last steps (at most ten) of this process; NaN if it made none.</param>
/// <param name="ValidationLoss">Held-out loss at the end; null without held-out data or when interrupted.</param>
/// <param name="PeakBytes">Bytes of the memory plan.</param>
/// <param name="Interrupted">Whether the run ended before its last step.</param>
public sealed record TrainingResult(
    long Steps, long Tokens, double Seconds, double TokensPerSecond, double TrainLoss, double? ValidationLoss, long PeakBytes, bool Interrupted)
{
    /// <summary>Steps that were skipped because something was not finite, over the whole run.</summary>
    public long SkippedSteps { get; init; }

    /// <summary>Returns to earlier checkpoints after spikes of the loss, over the whole run.</summary>
    public IReadOnlyList<Rewind> Rewinds { get; init; } = [];
}
