using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Globalization;
using System.IO;
using System.Linq;

namespace Fp8Lm.Execution;

/// <summary>Time by kernel of one session, printed to the error stream when it ends; on with <c>FP8LM_PROFILE=1</c>.</summary>
internal sealed class KernelProfile
{
    private const string Variable = "FP8LM_PROFILE";
    private readonly IReadOnlyList<KernelInfo> kernels;
    private readonly long[] ticks;
    private readonly long[] calls;

    private KernelProfile(IReadOnlyList<KernelInfo> kernels)
    {
        this.kernels = kernels;
        ticks = new long[kernels.Count];
        calls = new long[kernels.Count];
    }

    /// <summary>A profile, or null when nobody asked for one.</summary>
    public static KernelProfile? Create(IReadOnlyList<KernelInfo> kernels) =>
        Environment.GetEnvironmentVariable(Variable) is "1" ? new KernelProfile(kernels) : null;

    /// <summary>Adds one launch that began at <paramref name="start"/> (a <see cref="Stopwatch"/> timestamp). The first launch compiles and does not count.</summary>
    public void Add(int kernel, long start)
    {
        if (calls[kernel]++ > 0)
        {
            ticks[kernel] += Stopwatch.GetTimestamp() - start;
        }
    }

    /// <summary>Kernels by time, slowest first.</summary>
    public void Print(TextWriter writer)
    {
        long total = Math.Max(1, ticks.Sum());
        writer.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{"kernel",-60} {"calls",8} {"ms",10} {"us/call",10} {"share",7}"));
        foreach (int k in Enumerable.Range(0, kernels.Count).Where(k => calls[k] > 1).OrderByDescending(k => ticks[k]))
        {
            double ms = ticks[k] * 1e3 / Stopwatch.Frequency;
            writer.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{kernels[k].Name,-60} {calls[k],8} {ms,10:F1} {ms * 1e3 / (calls[k] - 1),10:F1} {(double)ticks[k] / total,7:P1}"));
        }
    }
}
