using System.Collections.Generic;
using Fp8Lm.Generators.Ir;
using Fp8Lm.Generators.Ir.Plan;
using Fp8Lm.Generators.Kernels;
using Fp8Lm.Generators.Model;

namespace Fp8Lm.Generators.Emit;

/// <summary>One recipe of a model after all passes: what the emitters print.</summary>
internal sealed record CompiledProgram(
    RecipeSpec Recipe, Graph Graph, FusionPlan Fusion, BufferPlan Buffers, LoweringContext Context, IReadOnlyList<KernelProgram> Kernels, IReadOnlyList<(string Pass, string Text)> Printed);
