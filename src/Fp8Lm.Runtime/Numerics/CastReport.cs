using System;
using System.Collections.Generic;
using System.Globalization;
using Fp8Lm.Execution;

namespace Fp8Lm.Numerics;

/// <summary>What the casts of one tensor have done in one sampled step, all its micro-batches together.</summary>
/// <param name="Step">The step, from 1.</param>
/// <param name="Name">Name of the tensor over all layers, for example <c>blocks.*.up</c>.</param>
/// <param name="Role">
/// What it is to the products that read it: <c>input</c>, <c>weight</c>, <c>gradient</c> (of an output), or <c>weight_gradient</c>; or to the optimizer that stores it:
/// <c>master</c>, <c>first_moment</c> or <c>second_moment</c>.
/// </param>
/// <param name="Layer">The layer; -1 outside repeated modules. A tensor handed from layer to layer has a slot more than there are layers: that of the value that the last one hands on, or (gradients) gets.</param>
/// <param name="Format">E4M3 or E5M2; of what the optimizer stores also F16 or BF16.</param>
/// <param name="Numerics">Counts, and sums of squares of the values before the scale.</param>
/// <param name="Scale">What values were multiplied with; NaN where rows, blocks or groups have scales of their own, and for a tensor that was not cast in the step.</param>
public sealed record CastReport(long Step, string Name, string Role, int Layer, ElementFormat Format, TensorNumerics Numerics, float Scale)
{
    /// <summary>Name of this layer's tensor, for example <c>blocks.3.up</c>.</summary>
    public string Tensor => Layer < 0 ? Name : Name.Replace("*", Layer.ToString(CultureInfo.InvariantCulture), StringComparison.Ordinal);

    /// <summary>The reports of a step; tensors that were not cast in it (a slot that no kernel writes) are left out.</summary>
    /// <param name="step">The step.</param>
    /// <param name="plan">Says which slots belong to which cast.</param>
    /// <param name="slots">All slots of the plan.</param>
    public static IReadOnlyList<CastReport> Of(long step, MemoryPlan plan, ReadOnlySpan<CastStatistics> slots)
    {
        ArgumentNullException.ThrowIfNull(plan);
        var reports = new List<CastReport>();
        for (int cast = 0; cast < plan.Program.Casts.Count; cast++)
        {
            CastInfo info = plan.Program.Casts[cast];
            int first = (int)plan.CastFirstSlots[cast];
            for (int layer = 0; layer < info.Layers(plan.Dims); layer++)
            {
                ref readonly CastStatistics slot = ref slots[first + layer];
                if (slot.Elements + slot.NonFinite > 0)
                {
                    reports.Add(new CastReport(step, info.Name, info.Role, info.Repeated ? layer : -1, info.Format, slot.Numerics, slot.Scale > 0 ? slot.Scale : float.NaN));
                }
            }
        }

        return reports;
    }
}
