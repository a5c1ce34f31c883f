using System;
using System.Collections.Concurrent;
using System.Collections.Generic;
using System.Linq;
using System.Text.RegularExpressions;

namespace Fp8Lm.Cuda.Jit;

/// <summary>
/// What decides a kernel's machine code besides compiler and options: its text, the headers that it includes, and those of the given macros that one of
/// them mentions. Sizes of a model that differ in other dimensions share the kernel.
/// </summary>
internal sealed partial record KernelText(string Source, IReadOnlyCollection<string> Headers, IReadOnlyList<string> Defines)
{
    /// <summary>What turns a kernel that casts into its form that counts (<c>fp8lm/reduce/cast_counter.cuh</c>).</summary>
    public const string CountingDefine = "FP8LM_NUMERICS=1";

    private static readonly ConcurrentDictionary<string, string[]> Mentions = new(StringComparer.Ordinal);

    /// <summary>Finds headers and macros of a text.</summary>
    /// <param name="source">The text.</param>
    /// <param name="defines">Macros as <c>NAME=value</c>.</param>
    public static KernelText Of(string source, IReadOnlyList<string> defines)
    {
        IReadOnlyCollection<string> headers = DeviceLibrary.IncludedBy(source);
        HashSet<string> names = [.. Names(source), .. headers.SelectMany(header => Mentions.GetOrAdd(header, h => Names(DeviceLibrary.Headers[h])))];
        return new KernelText(source, headers, [.. defines.Where(d => d == CountingDefine ? Counts(source) : names.Contains(d[..d.IndexOf('=', StringComparison.Ordinal)]))]);
    }

    /// <summary>Whether a text has a form that counts; one that has not is the same kernel in both.</summary>
    public static bool Counts(string source) => source.Contains("FP8LM_COUNTED(", StringComparison.Ordinal);

    private static string[] Names(string text) => [.. Macro().Matches(text).Select(m => m.Value).Distinct(StringComparer.Ordinal)];

    // Dimensions have names of their own in all texts; a macro of another form is part of the options.
    [GeneratedRegex("\\bD_\\w+")]
    private static partial Regex Macro();
}
