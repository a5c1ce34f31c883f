using Fp8Lm.Numerics;

namespace Fp8Lm.Collectives;

/// <summary>What a reduction has done to one gradient.</summary>
/// <param name="Tensor">Name of the gradient.</param>
/// <param name="Elements">Its elements.</param>
/// <param name="Underflow">Share of the ranks' elements that were not zero and became zero before the sum, in the cast or with the shared scale; mean over the ranks of this process.</param>
/// <param name="Overflow">Share of the sum's elements that sit at the largest magnitude of the format; with <see cref="GradientSum.ExchangeF32"/> those of this process's shards.</param>
/// <param name="Saturation">What automatic scaling goes by: the largest of <paramref name="Overflow"/> and the same share of each rank's payload. NaN when the step says nothing.</param>
/// <param name="Amax">Largest magnitude among the gradients of all ranks; infinite when one is not finite.</param>
/// <param name="Mu">Factor of the scale in this step.</param>
/// <param name="Scale">Shared scale of the payloads, mu included.</param>
/// <param name="Mean">The mean that was received against the mean in F64; null when it was not measured.</param>
public sealed record ReductionNumerics(
    string Tensor, int Elements, double Underflow, double Overflow, double Saturation, float Amax, float Mu, float Scale, TensorNumerics? Mean)
{
    /// <summary>Signal-to-noise ratio of the mean in dB; NaN when it was not measured.</summary>
    public double SignalToNoise => Mean?.SignalToNoise ?? double.NaN;
}
