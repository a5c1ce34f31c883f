using System;
using System.Runtime.InteropServices;

namespace Fp8Lm.Execution;

/// <summary>
/// The loss scale of a run (Micikevicius et al. 2018, "Mixed Precision Training"; the rule and its constants are those of <c>torch.amp.GradScaler</c>). It lives in
/// device memory: the loss gradient is multiplied by it, and the kernel that takes the gradient norm derives the next one. The layout is repeated in
/// <c>fp8lm/optim/loss_scale.cuh</c>.
/// </summary>
[StructLayout(LayoutKind.Sequential)]
public struct LossScaleState
{
    /// <summary>Scales do not grow beyond this, 2^126: its reciprocal is still a normal number.</summary>
    public const float Largest = 8.507059e37f;

    /// <summary>What the loss gradient of the next step is multiplied with: a power of two, at least 1.</summary>
    public float Scale;

    /// <summary>Steps that counted since the scale last changed.</summary>
    public uint GoodSteps;

    /// <summary>The state behind a step: half the scale, at least 1, when its norm was not finite; twice the scale after <paramref name="growthInterval"/> steps that counted.</summary>
    /// <param name="finite">Whether the gradient norm was finite.</param>
    /// <param name="counts">Whether the step changed the weights.</param>
    /// <param name="growthInterval">Steps between two attempts to grow.</param>
    public readonly LossScaleState Next(bool finite, bool counts, long growthInterval) =>
        !finite ? new() { Scale = MathF.Max(1f, Scale * 0.5f) }
        : !counts ? this
        : GoodSteps + 1 < growthInterval ? new() { Scale = Scale, GoodSteps = GoodSteps + 1 }
        : new() { Scale = MathF.Min(Largest, Scale * 2f) };
}
