using System;
using System.Collections.Generic;
using System.Linq;

namespace Fp8Lm.Execution.Cost;

/// <summary>Sentences about linears that are in FP8 and would be faster in BF16.</summary>
internal static class Fp8Advice
{
    /// <summary>A sentence for every linear that loses; empty where FP8 is nowhere predicted to be slower.</summary>
    public static IReadOnlyList<string> Sentences(ModelProgram program, DimBinding dims) =>
        [.. LinearCost.Of(program, dims).Where(c => c.Loses).Select(c => Sentence(c, dims))];

    private static string Sentence(LinearCost cost, DimBinding dims)
    {
        string weight = cost.Linear.Weight, field = weight[(weight.LastIndexOf('.') + 1)..];
        return FormattableString.Invariant(
            $"FP8 is predicted slower than BF16 for the linear of {weight} at micro-batch {dims[DimBinding.MicroBatch]} x {dims[DimBinding.Sequence]} on an H100 or H200: {cost.Fp8:F1} us a layer, of which {cost.Casts:F1} are casts, and {cost.Bf16:F1} us. ")
            + $"Use a larger micro-batch, or keep it in BF16 with 'readonly Weight {field} = new(...) {{ Fp8 = false }}'.";
    }
}
