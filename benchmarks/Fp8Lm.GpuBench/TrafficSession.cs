using System;
using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Execution;

namespace Fp8Lm.GpuBench;

/// <summary>
/// Notes what every kernel has to do at least: the bytes of the tensors it gets, each once, and the multiply-adds of products and attention.
/// Kernels of the output head get parts of tensors, of which only the FLOPs are known here.
/// </summary>
internal sealed class TrafficSession(Session inner) : SessionDecorator(inner)
{
    private const int AdamWTensors = 7; // reads weight, gradient and two moments, writes all but the gradient

    private readonly Dictionary<nint, long> regions = [];
    private readonly Dictionary<int, (long Bytes, int Launches)> traffic = [];

    /// <summary>Least bytes of one launch of a kernel, on average; 0: not known.</summary>
    public long Bytes(int kernel) => traffic.TryGetValue(kernel, out (long Bytes, int Launches) all) ? all.Bytes / all.Launches : 0;

    /// <summary>FLOPs of one launch of a kernel, causal attention counted by half; 0: none to speak of.</summary>
    public double Flops(int kernel)
    {
        KernelInfo info = Plan.Program.Kernels[kernel];
        if (info.Geometry is GemmGeometry gemm)
        {
            return 2.0 * gemm.M(Dims) * gemm.N(Dims) * gemm.K(Dims);
        }

        if (info.Geometry is not AttentionGeometry attention)
        {
            return 0;
        }

        // Products of [sequence, sequence] with the head size, of which causality leaves half: 2 forward; 4 for dK and dV, 3 for dQ.
        int products = info.Kind switch { KernelKind.AttentionForward => 2, KernelKind.AttentionBackwardKeyValue => 4, _ => 3 };
        double sequence = Dims[DimBinding.Sequence];
        return products * sequence * sequence * attention.HeadSize(Dims) * attention.QueryHeads(Dims) * Dims[DimBinding.MicroBatch];
    }

    public override nint Buffer(int buffer, long layer) => Note(base.Buffer(buffer, layer), Plan.Buffers[buffer].Bytes);

    public override nint Master(int parameter, long layer) => Note(base.Master(parameter, layer), Plan.Parameters[parameter].Elements * Formats(parameter).Master.Bytes());

    /// <summary>Read and written, unless nothing is there to read.</summary>
    public override nint Gradient(int parameter, long layer) => Note(
        base.Gradient(parameter, layer),
        (!GradientsHold && Plan.Program.AssignedGradients.Contains(parameter) ? 1 : 2) * Plan.Parameters[parameter].Elements * Formats(parameter).Gradient.Bytes());

    public override void Launch(int kernel, params ReadOnlySpan<nint> args)
    {
        base.Launch(kernel, args);
        KernelInfo info = Plan.Program.Kernels[kernel];
        (long bytes, int launches) = traffic.GetValueOrDefault(kernel);
        bytes += info.Kind switch
        {
            KernelKind.AdamW => AdamWTensors * sizeof(float) * args[4],
            KernelKind.GradientNorm => sizeof(float) * args[1],
            KernelKind.ScaledOptimizer => States(info.Name),
            _ when info.Name.Contains("_head_", StringComparison.Ordinal) => 0,
            _ => args.ToArray().Select(Region).Where(address => address != 0).Distinct().Sum(address => regions[address]),
        };
        traffic[kernel] = (bytes, launches + 1);
    }

    /// <summary>What the segmented optimizer reads, and writes in its last pass.</summary>
    private long States(string kernel)
    {
        long gradients = Plan.Bytes(ArenaKind.Gradients), states = Plan.Bytes(ArenaKind.Master) + Plan.Bytes(ArenaKind.FirstMoment) + Plan.Bytes(ArenaKind.SecondMoment);
        return kernel switch
        {
            "gradient_norm" => gradients,
            "adamw_amax" => gradients + states,
            "adamw_store" => gradients + (2 * states),
            _ => 0,
        };
    }

    private ParameterFormats Formats(int parameter) => Plan.Program.FormatsOf(parameter);

    private nint Note(nint address, long count)
    {
        regions[address] = count;
        return address;
    }

    private nint Region(nint argument) => regions.ContainsKey(argument) ? argument : regions.FirstOrDefault(r => argument > r.Key && argument < r.Key + r.Value).Key;
}
