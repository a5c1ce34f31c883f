using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Generators.Emit.Cuda;
using Fp8Lm.Generators.Kernels;
using Fp8Lm.Generators.Model;

namespace Fp8Lm.Generators.Emit;

/// <summary>A kernel of the device library that every program has, wrapped as it is.</summary>
internal sealed record LibraryKernel(string Name, string Kind, string Include, string Type, string Cpu, string Geometry, IReadOnlyList<KernelParam> Params)
{
    public string Cuda()
    {
        SourceWriter w = new();
        w.Line($"#include <fp8lm/{Include}>").Line("using namespace fp8lm;").Line();
        if (Type.Length == 0)
        {
            w.Line("extern \"C\" __global__ void __launch_bounds__(512)").Line($"{Name}(unsigned* amax, long long slots)").Open().Line(CudaRenderer.BeginGrid);
            w.Open("for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < slots; i += (long long)gridDim.x * blockDim.x)").Line("if (amax[i] < 0x7F800000u)").Line("    amax[i] = 0;").Close().Close();
        }
        else
        {
            CudaRenderer.Wrapper(w, Name, Type, Params);
        }

        return w.ToString();
    }
}

/// <summary>Optimizer, clipping, loss and scale kernels.</summary>
internal static class LibraryKernels
{
    private static KernelParam P(string name, ElementType type, bool written = false) => new(name, type, "") { Written = written };

    private static readonly LibraryKernel LossSum = new("loss_sum", "LossSum", "loss/loss_sum.cuh", "loss::LossSum", "CpuKernels.LossSum", "NoGeometry.Instance",
        [P("row_loss", ElementType.F32), P("row_weight", ElementType.F32), P("count", ElementType.Int64), P("state", ElementType.State, true)]);

    private static readonly LibraryKernel GradientNorm = new("gradient_norm", "GradientNorm", "optim/gradient_norm.cuh", "optim::GradientNorm", "CpuKernels.GradientNorm", "NoGeometry.Instance",
        [P("gradient", ElementType.F32), P("count", ElementType.Int64), P("state", ElementType.State, true), P("scratch", ElementType.F32, true)]);

    private static readonly LibraryKernel AdamW = new("adamw", "AdamW", "optim/adamw.cuh", "optim::AdamW", "CpuKernels.AdamW", "NoGeometry.Instance",
        [P("master", ElementType.F32, true), P("gradient", ElementType.F32), P("m", ElementType.F32, true), P("v", ElementType.F32, true), P("count", ElementType.Int64), P("decay", ElementType.Int64), P("state", ElementType.State)]);

    private static readonly LibraryKernel ScaleUpdate = new("scale_update", "ScaleUpdate", "optim/scale_update.cuh", "optim::ScaleUpdate", "CpuKernels.ScaleUpdate", "NoGeometry.Instance",
        [P("scale", ElementType.F32, true), P("scale_inverse", ElementType.F32, true), P("amax", ElementType.U32, true), P("history", ElementType.F32, true), P("maximum", ElementType.F32), P("slots", ElementType.Int64), P("length", ElementType.Int64), P("power_of_two", ElementType.Int64), P("margin", ElementType.Int64), P("state", ElementType.State, true)]);

    private static readonly LibraryKernel ClearAmax = new("clear_amax", "Row", "row/row.cuh", "", "global::Fp8Lm.Cpu.Scaling.ClearAmax", "new RowGeometry(static _ => 16, static _ => 1)",
        [P("amax", ElementType.U32, true), P("slots", ElementType.Int64)]);

    private static readonly LibraryKernel AmaxCheck = new("amax_check", "ScaleUpdate", "optim/amax_check.cuh", "optim::AmaxCheck", "CpuKernels.AmaxCheck", "NoGeometry.Instance",
        [P("amax", ElementType.U32, true), P("slots", ElementType.Int64), P("clears", ElementType.Int64), P("state", ElementType.State, true)]);

    private static readonly LibraryKernel StateScales = new("state_scales", "ScaleUpdate", "optim/segmented_adamw.cuh", "optim::StateScales", "CpuKernels.StateScales", "NoGeometry.Instance",
        [P("segments", ElementType.Segment), P("count", ElementType.Int64), P("scale", ElementType.F32, true), P("inverse", ElementType.F32, true), P("amax", ElementType.U32, true), P("weight_scale", ElementType.F32, true), P("weight_inverse", ElementType.F32, true), P("master_maximum", ElementType.Int64), P("first_maximum", ElementType.Int64), P("second_maximum", ElementType.Int64), P("weight_maximum", ElementType.Int64)]);

    private static readonly LibraryKernel GradientAmax = new("gradient_amax", "ScaleUpdate", "optim/segmented_adamw.cuh", "optim::GradientAmax", "CpuKernels.GradientAmax", "NoGeometry.Instance",
        [P("amax", ElementType.U32, true), P("count", ElementType.Int64)]);

    private static readonly LibraryKernel GradientScales = new("gradient_scales", "ScaleUpdate", "optim/scale_update.cuh", "optim::GradientScales", "CpuKernels.GradientScales", "NoGeometry.Instance",
        [P("scale", ElementType.F32, true), P("inverse", ElementType.F32, true), P("amax", ElementType.U32), P("history", ElementType.F32, true), P("count", ElementType.Int64), P("length", ElementType.Int64), P("maximum", ElementType.Int64), P("state", ElementType.State)]);

    public static IReadOnlyList<LibraryKernel> Of(RecipeSpec recipe)
    {
        List<LibraryKernel> kernels = [LossSum, .. (recipe.OwnStates ? Segmented(recipe) : [GradientNorm, AdamW]).Select(k => recipe.ScalesLoss && k.Name == GradientNorm.Name ? OfScaledLoss(k) : k)];
        if (recipe.Scaling is ScalePolicy.Delayed or ScalePolicy.Current)
        {
            kernels.Add(AmaxCheck);
            kernels.Add(recipe.Scaling == ScalePolicy.Delayed ? ScaleUpdate : ClearAmax);
        }

        return kernels;
    }

    /// <summary>The norm in recipes with loss scaling: the same kernels with the loss scale, its count of steps and the growth interval behind their other arguments.</summary>
    private static LibraryKernel OfScaledLoss(LibraryKernel norm) => norm with
    {
        Cpu = norm.Cpu.Replace("GradientNorm", "GradientNormOfScaledLoss"),
        Params = [.. norm.Params, P("loss_scale", ElementType.LossScale, true), P("growth_interval", ElementType.Int64)],
    };

    /// <summary>The optimizer of recipes whose states have formats of their own: one pass, or two where any of them has a scale.</summary>
    private static IEnumerable<LibraryKernel> Segmented(RecipeSpec recipe)
    {
        string cuda = $"optim::SegmentedAdamW<{CudaText.Type(recipe.Master)}, {CudaText.Type(recipe.WeightGradient)}, {CudaMoment(recipe, recipe.FirstMoment)}, {CudaMoment(recipe, recipe.SecondMoment)}>";
        string cpu = $"<{State(recipe.Master)}, {State(recipe.WeightGradient)}, {CpuMoment(recipe, recipe.FirstMoment)}, {CpuMoment(recipe, recipe.SecondMoment)}>";
        ElementType Of(Format format, Format others) => format == others ? LoweringContext.TypeOf(format) : ElementType.Bytes;
        KernelParam[] arenas =
        [
            P("master", Of(recipe.Master, Format.F32), true), P("gradient", Of(recipe.WeightGradient, Format.F32)), P("m", LoweringContext.TypeOf(recipe.FirstMoment), true), P("v", LoweringContext.TypeOf(recipe.SecondMoment), true),
            P("segments", ElementType.Segment), P("count", ElementType.Int64), P("tiles", ElementType.Int64),
        ];
        KernelParam[] scales = RecipeSpec.IsScaled(recipe.WeightGradient) ? [P("inverse", ElementType.F32), P("amax", ElementType.U32)] : [];
        yield return new("gradient_norm", "ScaledOptimizer", "optim/gradient_norm.cuh", $"optim::SegmentedGradientNorm<{CudaText.Type(recipe.WeightGradient)}>",
            $"CpuKernels.{(scales.Length > 0 ? "Scaled" : "Segmented")}GradientNorm<{State(recipe.WeightGradient)}>", "NoGeometry.Instance",
            [arenas[1], .. arenas.Skip(4), .. scales, P("state", ElementType.State, true), P("scratch", ElementType.F32, true)]);

        // The pass that stores has a counting form where anything is narrower than 32 bits; the CPU's runs it where it is given an address.
        KernelParam[] casts = recipe.NarrowStates ? [P("casts", ElementType.CastStatistics, true)] : [];
        string Store(string plain, string counting) => $"CpuKernels.{(casts.Length > 0 ? counting : plain)}{cpu}";
        KernelParam[] groups = recipe.GroupedMoments ? [P("m_groups", ElementType.F32, true), P("v_groups", ElementType.F32, true)] : [];
        if (!recipe.ScaledStates)
        {
            yield return new("adamw", "ScaledOptimizer", "optim/segmented_adamw.cuh", cuda + "::Update", Store("SegmentedAdamW", "CountedAdamW"), "NoGeometry.Instance",
                [.. arenas, .. groups, P("state", ElementType.State), .. casts]);
            yield break;
        }

        yield return new("adamw_amax", "ScaledOptimizer", "optim/segmented_adamw.cuh", cuda + "::Amax", "CpuKernels.ScaledAdamAmax" + cpu, "NoGeometry.Instance",
            [.. arenas.Concat(groups).Select(a => P(a.Name, a.Type)), P("inverse", ElementType.F32), P("amax", ElementType.U32, true), P("state", ElementType.State)]);
        yield return new("adamw_store", "ScaledOptimizer", "optim/segmented_adamw.cuh", cuda + "::Store", Store("ScaledAdamStore", "CountedAdamStore"), "NoGeometry.Instance",
            [.. arenas, .. groups, P("scale", ElementType.F32), P("inverse", ElementType.F32), P("amax", ElementType.U32), P("state", ElementType.State), .. casts]);
        yield return StateScales;
        if (RecipeSpec.IsFp8(recipe.WeightGradient))
        {
            yield return recipe.DelayedGradients ? GradientScales : GradientAmax;
        }
    }

    private static string State(Format format) => format + "State";

    private static string CpuMoment(RecipeSpec recipe, Format moment) => recipe.Groups(moment) ? $"GroupedState<{State(moment)}>" : State(moment);

    private static string CudaMoment(RecipeSpec recipe, Format moment) => recipe.Groups(moment) ? $"optim::Grouped<{CudaText.Type(moment)}>" : CudaText.Type(moment);
}
