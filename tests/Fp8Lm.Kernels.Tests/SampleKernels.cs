using System;
using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Cuda;
using Fp8Lm.Cuda.Jit;
using Fp8Lm.Execution;

namespace Fp8Lm.Kernels.Tests;

/// <summary>One kernel text with the values of the dimensions that it mentions.</summary>
internal sealed record KernelCase(string Source, string[] Defines, KernelInfo Info, ElementFormat? Operand);

/// <summary>The kernels of the samples at every size and recipe.</summary>
internal static class SampleKernels
{
    private const long LargestSequence = 2048;

    /// <summary>Every sample of the repository.</summary>
    public static readonly ModelDefinition[] Samples = [TinyGpt.Gpt.Definition, TinyLlama.Llama.Definition];

    /// <summary>Models that have between them every op, every form of loop and odd names.</summary>
    public static readonly ModelDefinition[] Coverage =
    [
        Parity.Models.Collage.Definition, Parity.Models.DenseExperts.Definition, Parity.Models.Funnel.Definition, Parity.Models.LoopChain.Definition, Parity.Models.RowValues.Definition,
        Parity.Models.WeightValues.Definition, Parity.Models.DropoutModel.Definition, Parity.Models.ElementwiseOps.Definition, Parity.Models.GateShapes.Definition, Parity.Models.GatedMqa.Definition, Parity.Models.GroupTails.Definition, Parity.Models.KeptLinears.Definition,
        Parity.Models.Gemma.Definition, Parity.Models.GptJ.Definition, Parity.Models.LoopShapes.Definition, Parity.Models.OddNames.Definition, Parity.Models.OwnNorms.Definition,
        Parity.Models.ReductionOps.Definition, Parity.Models.TwoStacks.Definition, Parity.Models.ViewOps.Definition,
    ];

    /// <summary>Distinct kernels of a model at one size with one recipe, as a session would compile them; those that cast to FP8 in both forms.</summary>
    public static IEnumerable<KernelCase> Of(string model, string size, string recipe)
    {
        ModelDefinition definition = Samples.Concat(Coverage).Single(m => m.Name == model);
        DimBinding dims = Bind(definition, definition.Sizes.Single(s => s.Name == size));
        IReadOnlyList<string> defines = CudaSession.Defines(definition, dims);
        return definition.Program(recipe).Kernels.SelectMany(info => (KernelText.Counts(info.CudaSource) ? (IReadOnlyList<string>[])[defines, [.. defines, KernelText.CountingDefine]] : [defines])
            .Select(form => new KernelCase(info.CudaSource, [.. KernelText.Of(info.CudaSource, form).Defines], info, OperandOf(info))));
    }

    /// <summary>The small size as it trains in the sample; the others as in pre-training, as far as the model's positions reach.</summary>
    private static DimBinding Bind(ModelDefinition definition, ModelSizeInfo size)
    {
        if (Coverage.Contains(definition))
        {
            return new DimBinding([3, 32, .. size.Values]);
        }

        int context = Array.IndexOf(definition.Dims, "Context");
        (long batch, long sequence) = size.Name == "Tiny" ? (16, 128) : (8, context >= 0 ? Math.Min(size.Values[context], LargestSequence) : LargestSequence);
        return new DimBinding([batch, sequence, .. size.Values]);
    }

    private static ElementFormat? OperandOf(KernelInfo info) => info.Geometry switch
    {
        GemmGeometry gemm => gemm.A.Format,
        AttentionGeometry => info.Arguments[0].Contains("bf16", StringComparison.Ordinal) ? ElementFormat.BF16
            : info.Arguments[0].Contains("f16", StringComparison.Ordinal) ? ElementFormat.F16 : ElementFormat.F32,
        _ => null,
    };
}
