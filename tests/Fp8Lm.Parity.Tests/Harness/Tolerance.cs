using System;

namespace Fp8Lm.Parity.Tests.Harness;

/// <summary>
/// What a recipe may cost against float64. With u the unit roundoff of the format that values pass through between kernels, errors of a few
/// roundings in a row add up like a random walk: sqrt(k) u for a chain of k, times the gain of the chain, which is around one here.
/// FP32: u = 6e-8, sums over K = 64..256 and transcendental functions bring a few 1e-6; 1e-4 is the bound asked for.
/// BF16: u = 2^-9 = 2e-3, some ten roundings per layer; norms on both sides of every part (Gemma) amplify most. FP16: u = 2^-12 = 2.4e-4, an eighth of that. FP8: E4M3 has u = 2^-4 (6 %)
/// and E5M2 2^-3 (12 %) per element; a product averages independent errors, so most tensors end up within the error of one rounding of each
/// operand, and Gemma's at half of their norm. CpuParityTests.Fp8CostsNoMoreThanItsCasts is the sharper bound for all.
/// </summary>
/// <param name="Loss">Relative error of the loss.</param>
/// <param name="Gradient">Norm of the difference over norm, per tensor.</param>
/// <param name="Angle">One minus the cosine between whole gradients.</param>
/// <param name="Floor">A tensor's norm counts as at least this part of the whole gradient's.</param>
internal sealed record Tolerance(double Loss, double Gradient, double Angle, double Floor)
{
    public static Tolerance Of(string recipe, string model) => recipe switch
    {
        "Fp32" => new(1e-5, 1e-4, 1e-8, 1e-6),
        "Bf16" => new(5e-3, 0.06, 1e-3, 1e-3),
        "Fp16" => new(1e-3, 0.01, 2e-5, 1e-3),
        // Norms behind every part: in the float64 reference too, the casts alone cost 0.40 to 0.60 of some tensor's norm (Gemma) and 0.44 to 0.52 (Collage),
        // and 0.04 to 0.06 of the cosine, depending on the draw.
        "TransformerEngine" or "TransformerEngineCurrent" or "Rowwise" or "BlockScaled" when model is nameof(Parity.Models.Gemma) or nameof(Parity.Models.Collage) => new(2e-2, 0.6, 0.1, 1e-2),
        "TransformerEngine" or "TransformerEngineCurrent" or "TransformerEngineEverywhere" or "Fp8LmO1" or "Fp8LmO2" or "Fp8LmO3"
            or "Rowwise" or "RowwiseExact" or "BlockScaled" or "BlockHybrid" or "BlockO2" or "RowwiseO3" => new(2e-2, 0.35, 3e-2, 1e-2),
        _ => throw new ArgumentException($"no tolerance for {recipe}", nameof(recipe)),
    };
}
