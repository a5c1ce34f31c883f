using System.Runtime.InteropServices;

namespace Fp8Lm.Execution;

/// <summary>
/// The scalars of one training step. They live in device memory so that a captured step can be replayed with other values;
/// the host writes the first block before a step, kernels write the second. The layout is repeated in
/// <c>fp8lm/common/step_state.cuh</c>; a test compares the two.
/// </summary>
[StructLayout(LayoutKind.Sequential)]
public struct StepState
{
    /// <summary>Value of <see cref="SkipStep"/>: this step's gradient norm or loss is not finite.</summary>
    public const uint Skipped = 1;

    /// <summary>Value of <see cref="SkipStep"/>: an earlier step was skipped and the host has not looked at it, so this one changes nothing either.</summary>
    public const uint Halted = 2;

    // Written by the host.

    /// <summary>Learning rate of this step.</summary>
    public float LearningRate;
    /// <summary>AdamW's decay of the first moment.</summary>
    public float Beta1;
    /// <summary>AdamW's decay of the second moment.</summary>
    public float Beta2;
    /// <summary>AdamW's epsilon, added to the root of the second moment.</summary>
    public float Epsilon;
    /// <summary>Decoupled weight decay; applies to parameters whose <see cref="ParameterInfo.Decay"/> is set.</summary>
    public float WeightDecay;
    /// <summary>1 - beta1^t for the step number t that starts at 1.</summary>
    public float BiasCorrection1;
    /// <summary>1 - beta2^t for the step number t that starts at 1.</summary>
    public float BiasCorrection2;
    /// <summary>Largest global gradient norm; zero or less means no clipping.</summary>
    public float MaxGradientNorm;
    /// <summary>What a row's loss gradient is multiplied with: 1 / (sum of label weights over all micro-batches of the step).</summary>
    public float LossScale;
    /// <summary>Seed of the counter-based generator (dropout), 64 bits in two words.</summary>
    public uint SeedLow;
    /// <inheritdoc cref="SeedLow"/>
    public uint SeedHigh;
    /// <summary>Counter that differs for every micro-batch of every step; same value in forward, recomputation and backward.</summary>
    public uint MicroStep;
    /// <summary>1 while training, 0 in evaluation (dropout is the identity then).</summary>
    public uint Training;

    // Written by kernels.

    /// <summary>Global L2 norm of all gradients of this step, before clipping.</summary>
    public float GradientNorm;
    /// <summary>What gradients are multiplied with: min(1, MaxGradientNorm / (GradientNorm + 1e-6)), divided by <see cref="DynamicLossScale"/> in recipes with loss scaling.</summary>
    public float ClipFactor;
    /// <summary>Non-zero when the step is not to count (<see cref="Skipped"/>, <see cref="Halted"/>): the optimizer then leaves weights and moments as they are.</summary>
    public uint SkipStep;
    /// <summary>Recipes with loss scaling: what the loss gradient of this step was multiplied with besides <see cref="LossScale"/>; the norm is that of gradients without it. Zero in others.</summary>
    public float DynamicLossScale;
    /// <summary>Sum over rows of weighted losses since the host last cleared it.</summary>
    public double LossSum;
    /// <summary>Sum of label weights that went into <see cref="LossSum"/>.</summary>
    public double WeightSum;
}
