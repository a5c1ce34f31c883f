using System;
using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Execution;
using Fp8Lm.Numerics;

namespace Fp8Lm.Training.Tests;

/// <summary>A launch that casts one tensor: what it added to its slot, and the bytes that it wrote.</summary>
/// <param name="Kernel">The kernel.</param>
/// <param name="Counted">What was added.</param>
/// <param name="Amax">Largest finite magnitude in the slot.</param>
/// <param name="Codes">All bytes of the buffer it writes to.</param>
/// <param name="Format">Their format.</param>
/// <param name="Source">The values it cast, where it does nothing but cast what it reads; else null.</param>
internal sealed record CountedLaunch(KernelInfo Kernel, TensorNumerics Counted, double Amax, byte[] Codes, ElementFormat Format, float[]? Source)
{
    public float Scale { get; init; }
}

/// <summary>Looks at every counting launch of kernels with one cast, right behind it.</summary>
internal sealed class CountingSession(ArenaSession inner) : SessionDecorator(inner)
{
    public List<CountedLaunch> Launches { get; } = [];

    public override void Launch(int kernel, params ReadOnlySpan<nint> args)
    {
        KernelInfo info = inner.Plan.Program.Kernels[kernel];
        int[] slots = [.. Indices(info, a => a.Contains("CastStatistics*", StringComparison.Ordinal))];
        if (slots.Length != 1 || args[slots[0]] == 0)
        {
            base.Launch(kernel, args);
            return;
        }

        nint slot = args[slots[0]];
        CastStatistics before = inner.Read<CastStatistics>(slot, 1)[0];
        base.Launch(kernel, args);
        CastStatistics after = inner.Read<CastStatistics>(slot, 1)[0];
        int codes = Indices(info, a => a.Contains(": e4m3* (written)", StringComparison.Ordinal) || a.Contains(": e5m2* (written)", StringComparison.Ordinal)).First();
        ElementFormat format = info.Arguments[codes].Contains("e4m3", StringComparison.Ordinal) ? ElementFormat.E4M3 : ElementFormat.E5M2;
        byte[] bytes = inner.Read<byte>(args[codes], Bytes(args[codes], info.Arguments[codes].Split(':')[0]));
        TensorNumerics one = before.Numerics, two = after.Numerics;
        var counted = new TensorNumerics(
            two.Elements - one.Elements, two.NonFinite - one.NonFinite, two.Underflow - one.Underflow, two.Saturated - one.Saturated, two.Amax, two.Signal - one.Signal, two.Noise - one.Noise);
        Launches.Add(new CountedLaunch(info, counted, two.Amax, bytes, format, Source(info, args, bytes.Length)) { Scale = after.Scale });
    }

    private static IEnumerable<int> Indices(KernelInfo info, Func<string, bool> which) => Enumerable.Range(0, info.Arguments.Length).Where(i => which(info.Arguments[i]));

    /// <summary>Bytes of the buffer of that name (buffers share memory), or of the parameter's gradient, that begins at an address.</summary>
    private long Bytes(nint address, string argument)
    {
        MemoryPlan plan = inner.Plan;
        for (int i = 0; i < plan.Buffers.Count; i++)
        {
            for (long instance = 0; instance < plan.Buffers[i].Instances; instance++)
            {
                if (inner.Layout.Arena(plan.Buffers[i].Arena) + (nint)(plan.Buffers[i].Offset + (instance * plan.Buffers[i].Stride)) == address && Names(plan.Program.Buffers[i].Name, argument))
                {
                    return plan.Buffers[i].Bytes;
                }
            }
        }

        return (from p in Enumerable.Range(0, plan.Parameters.Count) from layer in Enumerable.Range(0, (int)plan.Parameters[p].Instances) where inner.Gradient(p, layer) == address select plan.Parameters[p].Elements).Single();
    }

    /// <summary>Whether an argument <c>d_silu_fp8_2</c> may be a buffer <c>layers.grad.silu.fp8~2</c>; the number may also be the argument's own.</summary>
    private static bool Names(string buffer, string argument)
    {
        string[] parts = buffer.Split('.');
        string plain = argument.StartsWith("d_", StringComparison.Ordinal) ? argument[2..] : argument, last = parts.Length > 1 ? parts[^2] + "_" + parts[^1] : parts[^1];
        return new[] { parts[^1], last }.Select(n => n.Replace('~', '_')).Any(n => plain == n || (plain.StartsWith(n + "_", StringComparison.Ordinal) && plain[(n.Length + 1)..].All(char.IsDigit)));
    }

    /// <summary>Casts of weights read a master in F32, those of weight gradients a sum in BF16, and both do nothing to it.</summary>
    private float[]? Source(KernelInfo info, ReadOnlySpan<nint> args, int count)
    {
        bool weight = info.Name.Contains("_setup_", StringComparison.Ordinal), gradient = info.Arguments.Any(a => a.Contains("_gradient_scale:", StringComparison.Ordinal));
        if (info.Kind != KernelKind.Row || !(weight || gradient))
        {
            return null;
        }

        int[] floats = [.. Indices(info, a => a.EndsWith(": float*", StringComparison.Ordinal) && !a.Contains("_scale:", StringComparison.Ordinal) && !a.Contains("_inverse:", StringComparison.Ordinal))];
        int[] halves = [.. Indices(info, a => a.EndsWith(": bf16*", StringComparison.Ordinal))];
        return weight && floats.Length == 1 ? inner.Read<float>(args[floats[0]], count)
            : gradient && halves.Length == 1 ? [.. inner.Read<ushort>(args[halves[0]], count).Select(BFloat16.ToSingle)]
            : null;
    }
}
