using System.Collections.Generic;
using Fp8Lm.Generators.Ir;
using Fp8Lm.Generators.Ir.Plan;
using Fp8Lm.Generators.Kernels;
using Fp8Lm.Generators.Model;

namespace Fp8Lm.Generators.Emit;

/// <summary>One recipe of a model after all passes: what the emitters print.</summary>
internal sealed record CompiledProgram(
    RecipeSpec Recipe, Graph Graph, FusionPlan Fusion, BufferPlan Buffers, LoweringContext Context, IReadOnlyList<KernelProgram> Kernels, IReadOnlyList<(string Pass, string Text)> Printed)
{
    /// <summary>
    /// The recipe as the optimizer meets it. Formats of masters and gradients are those of linear weights; in a model without such weights nothing is stored in them, the plan has no
    /// scales for them, and the optimizer must not ask for any.
    /// </summary>
    public RecipeSpec States { get; } = Graph.LinearWeights.Count > 0 ? Recipe : Recipe with { Master = Format.F32, WeightGradient = Format.F32 };
}
