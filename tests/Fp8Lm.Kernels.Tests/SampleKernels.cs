using System;
using System.Collections.Generic;
using System.Linq;
using System.Text.RegularExpressions;
using Fp8Lm.Cuda;
using Fp8Lm.Execution;

namespace Fp8Lm.Kernels.Tests;

/// <summary>One kernel text with the values of the dimensions that it mentions.</summary>
internal sealed record KernelCase(string Source, string[] Defines, KernelInfo Info, ElementFormat? Operand);

/// <summary>The kernels of the samples at every size and recipe.</summary>
internal static partial class SampleKernels
{
    private const long LargestSequence = 2048;

    /// <summary>Every sample of the repository.</summary>
    public static readonly ModelDefinition[] Models = [TinyGpt.Gpt.Definition, TinyLlama.Llama.Definition];

    /// <summary>Distinct kernels of a model at one size with one recipe, as a session would compile them.</summary>
    public static IEnumerable<KernelCase> Of(string model, string size, string recipe)
    {
        ModelDefinition definition = Models.Single(m => m.Name == model);
        DimBinding dims = Bind(definition, definition.Sizes.Single(s => s.Name == size));
        IReadOnlyList<string> defines = CudaSession.Defines(definition, dims);
        return definition.Program(recipe).Kernels.Select(info => new KernelCase(info.CudaSource, Mentioned(info.CudaSource, defines), info, OperandOf(info)));
    }

    /// <summary>The small size as it trains in the sample; the others as in pre-training, as far as the model's positions reach.</summary>
    private static DimBinding Bind(ModelDefinition definition, ModelSizeInfo size)
    {
        int context = Array.IndexOf(definition.Dims, "Context");
        (long batch, long sequence) = size.Name == "Tiny" ? (16, 128) : (8, context >= 0 ? Math.Min(size.Values[context], LargestSequence) : LargestSequence);
        return new DimBinding([batch, sequence, .. size.Values]);
    }

    /// <summary>A macro that the text does not read changes nothing in the machine code, so equal texts are compiled once for many sizes.</summary>
    private static string[] Mentioned(string source, IReadOnlyList<string> defines)
    {
        HashSet<string> names = [.. Macro().Matches(source).Select(m => m.Value)];
        return [.. defines.Where(d => names.Contains(d[..d.IndexOf('=', StringComparison.Ordinal)]))];
    }

    private static ElementFormat? OperandOf(KernelInfo info) => info.Geometry switch
    {
        GemmGeometry gemm => gemm.A.Format,
        AttentionGeometry => info.Arguments[0].Contains("bf16", StringComparison.Ordinal) ? ElementFormat.BF16 : ElementFormat.F32,
        _ => null,
    };

    [GeneratedRegex("\\bD_\\w+")]
    private static partial Regex Macro();
}
