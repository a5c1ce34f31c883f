using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using Fp8Lm.Generators.Ir;
using Fp8Lm.Generators.Kernels;
using Fp8Lm.Generators.Model;

namespace Fp8Lm.Generators.Emit.CSharp;

/// <summary>Types, numbers and indices of kernel programs as C#.</summary>
internal static class CpuText
{
    /// <summary>Pointer type, and the suffix of the Simd functions that read and write it.</summary>
    private static readonly Dictionary<ElementType, (string Pointer, string Suffix)> Types = new()
    {
        [ElementType.F32] = ("float*", ""),
        [ElementType.BF16] = ("ushort*", "BF16"),
        [ElementType.F16] = ("ushort*", "F16"),
        [ElementType.E4M3] = ("byte*", "E4M3"),
        [ElementType.E5M2] = ("byte*", "E5M2"),
        [ElementType.U8] = ("byte*", "U8"),
        [ElementType.I32] = ("int*", ""),
        [ElementType.U32] = ("uint*", ""),
        [ElementType.State] = ("StepState*", ""),
        [ElementType.CastStatistics] = ("CastStatistics*", ""),
        [ElementType.Int64] = ("long", ""),
    };

    public static string Type(KernelParam param) => Types[param.Type].Pointer;

    public static string Suffix(ElementType type) => Types[type].Suffix;

    public static string Suffix(Format format) => Types[LoweringContext.TypeOf(format)].Suffix;

    /// <summary>What functions that read or write elements take behind the address (and count): what bytes of fixed point stand for.</summary>
    public static string Arguments(KernelParam param) => param.Fixed is { } bytes ? $", {N(bytes.Zero)}, {N(bytes.PerUnit)}" : "";

    /// <summary>One stored element as a float.</summary>
    public static string Value(KernelParam param, string element) => param.Type switch
    {
        ElementType.F32 => element,
        ElementType.F16 => $"Float16.ToSingle({element})",
        _ => $"BFloat16.ToSingle({element})",
    };

    /// <summary>A float as one stored element.</summary>
    public static string Stored(KernelParam param, string value) => param.Type switch
    {
        ElementType.F32 => value,
        ElementType.F16 => $"Float16.FromSingle({value})",
        _ => $"BFloat16.FromSingle({value})",
    };

    public static string N(int number) => number.ToString(CultureInfo.InvariantCulture);

    public static string Number(double number)
    {
        float value = (float)number;
        return float.IsPositiveInfinity(value) ? "float.PositiveInfinity" : float.IsNegativeInfinity(value) ? "float.NegativeInfinity" : value.ToString("R", CultureInfo.InvariantCulture) + "f";
    }

    public static string Constant(NodeData data)
    {
        if (data.Extent is null && data.Divisor is null)
        {
            return Number(data.Number);
        }

        return "(float)(" + data.Number.ToString("R", CultureInfo.InvariantCulture) + "d"
            + (data.Extent is null ? "" : " * " + data.Extent.PrintFactor(ReservedNames.Dimension)) + (data.Divisor is null ? "" : " / " + data.Divisor.PrintFactor(ReservedNames.Dimension)) + ")";
    }

    /// <summary>Index of the first column (or of the row's one element).</summary>
    public static string Base(Access access, KernelProgram program, KernelParam? ids)
    {
        string index = Cuda.CudaText.Index(access with { Column = false }, program, ids, "0");
        return index.Replace("(long long)", "(long)");
    }

    public static string Print(DimExpr dim) => dim.Print(ReservedNames.Dimension);

    /// <summary>Locals for the dimensions that a text mentions.</summary>
    public static IEnumerable<string> Locals(IReadOnlyList<string> dims, string text)
    {
        foreach (string dim in new[] { "MicroBatch", "Sequence" }.Concat(dims).Where(d => Mentions(text, ReservedNames.Dimension(d))))
        {
            yield return $"long {ReservedNames.Dimension(dim)} = {LoweringContext.Symbol(dim)};";
        }

        if (Mentions(text, "ChunkRows"))
        {
            yield return "long ChunkRows = ChunkRowsOf(d);";
        }
    }

    private static bool Mentions(string text, string word)
    {
        for (int at = text.IndexOf(word, StringComparison.Ordinal); at >= 0; at = text.IndexOf(word, at + 1, StringComparison.Ordinal))
        {
            bool left = at == 0 || !(char.IsLetterOrDigit(text[at - 1]) || text[at - 1] is '_' or '.');
            int end = at + word.Length;
            if (left && (end == text.Length || !(char.IsLetterOrDigit(text[end]) || text[end] == '_')))
            {
                return true;
            }
        }

        return false;
    }
}
