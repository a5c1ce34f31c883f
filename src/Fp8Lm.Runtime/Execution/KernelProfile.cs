using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Linq;

namespace Fp8Lm.Execution;

/// <summary>Time of one kernel.</summary>
/// <param name="Kernel">Its number.</param>
/// <param name="Calls">Launches that count.</param>
/// <param name="Seconds">Their time.</param>
internal readonly record struct KernelTime(int Kernel, long Calls, double Seconds);

/// <summary>Time by kernel of one session, printed to the error stream when it ends; on with <c>FP8LM_PROFILE=1</c>.</summary>
internal sealed class KernelProfile(IReadOnlyList<KernelInfo> kernels)
{
    private const string Variable = "FP8LM_PROFILE";
    private readonly double[] seconds = new double[kernels.Count];
    private readonly long[] calls = new long[kernels.Count];

    /// <summary>A profile, or null when nobody asked for one.</summary>
    public static KernelProfile? Create(IReadOnlyList<KernelInfo> kernels) =>
        Environment.GetEnvironmentVariable(Variable) is "1" ? new KernelProfile(kernels) : null;

    /// <summary>Adds one launch. The first launch of a kernel compiles or loads it and does not count.</summary>
    public void Add(int kernel, double time)
    {
        if (calls[kernel]++ > 0)
        {
            seconds[kernel] += time;
        }
    }

    /// <summary>Forgets the times so far; every kernel that has run counts from now on.</summary>
    public void Restart()
    {
        Array.Clear(seconds);
        for (int i = 0; i < calls.Length; i++)
        {
            calls[i] = Math.Min(calls[i], 1);
        }
    }

    /// <summary>Kernels that have counted launches, slowest first.</summary>
    public IReadOnlyList<KernelTime> Times() =>
        [.. Enumerable.Range(0, kernels.Count).Where(k => calls[k] > 1).OrderByDescending(k => seconds[k]).Select(k => new KernelTime(k, calls[k] - 1, seconds[k]))];

    /// <summary>Kernels by time, slowest first.</summary>
    public void Print(TextWriter writer)
    {
        double total = Math.Max(1e-9, seconds.Sum());
        writer.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{"kernel",-60} {"calls",8} {"ms",10} {"us/call",10} {"share",7}"));
        foreach (KernelTime time in Times())
        {
            writer.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"{kernels[time.Kernel].Name,-60} {time.Calls,8} {time.Seconds * 1e3,10:F1} {time.Seconds * 1e6 / time.Calls,10:F1} {time.Seconds / total,7:P1}"));
        }
    }
}
