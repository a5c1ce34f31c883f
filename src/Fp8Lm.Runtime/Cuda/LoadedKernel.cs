using System;
using System.Runtime.InteropServices;
using Fp8Lm.Cuda.Interop;
using Fp8Lm.Cuda.Jit;
using Fp8Lm.Execution;

namespace Fp8Lm.Cuda;

/// <summary>Blocks of a launch.</summary>
internal readonly record struct GridSize(uint X, uint Y, uint Z);

/// <summary>What FP8LM_LAUNCH put into a kernel's module; the layout of <c>fp8lm_launch</c> in <c>fp8lm/common/launch.cuh</c>.</summary>
/// <param name="Threads">Threads of a block.</param>
/// <param name="SharedBytes">Dynamic shared memory of a block.</param>
/// <param name="TileM">Rows of a block's tile; 0 where the kind has none.</param>
/// <param name="TileN">Columns of a block's tile.</param>
/// <param name="Blocks">Number of blocks, where results depend on it or blocks form clusters; otherwise 0.</param>
/// <param name="Cluster">Adjacent blocks that the launch makes a cluster; 1 also where the kernel's text says how large its clusters are.</param>
[StructLayout(LayoutKind.Sequential)]
internal readonly record struct LaunchTraits(uint Threads, uint SharedBytes, uint TileM, uint TileN, uint Blocks, uint Cluster)
{
    /// <summary>Row kernels may say nothing: 16 warps with a row each, static shared memory only.</summary>
    public static LaunchTraits Row => new(512, 0, 16, 0, 0, 1);
}

/// <summary>One entry function in device memory.</summary>
internal sealed unsafe class LoadedKernel : IDisposable
{
    private readonly CudaContext context;
    private readonly nint module;
    private readonly nint function;
    private bool disposed;

    public LoadedKernel(CudaContext context, CompiledKernel kernel, string name, KernelKind kind)
    {
        this.context = context;
        Name = name;
        context.MakeCurrent();
        fixed (byte* image = kernel.Cubin)
        {
            CudaException.ThrowIfFailed(CudaDriver.ModuleLoadData(out module, image), $"Loading kernel {name}");
        }

        CudaException.ThrowIfFailed(CudaDriver.ModuleGetFunction(out function, module, name), $"Finding kernel {name} in its module");
        Traits = ReadTraits(kind);
        if (Traits.SharedBytes > 0)
        {
            CudaException.ThrowIfFailed(
                CudaDriver.FuncSetAttribute(function, FunctionAttribute.MaxDynamicSharedSizeBytes, (int)Traits.SharedBytes),
                $"Giving kernel {name} {Traits.SharedBytes} bytes of shared memory");
        }
    }

    public string Name { get; }

    public LaunchTraits Traits { get; }

    /// <summary>A launch in words.</summary>
    public string Describe(GridSize grid) =>
        $"{grid.X} x {grid.Y} x {grid.Z} blocks{(Traits.Cluster > 1 ? $", {Traits.Cluster} a cluster," : "")} of {Traits.Threads} threads with {Traits.SharedBytes} bytes of shared memory, tile {Traits.TileM} x {Traits.TileN}";

    /// <summary>Queues the kernel and gives the driver's result.</summary>
    /// <param name="grid">Its blocks.</param>
    /// <param name="parameters">One pointer per parameter to its value.</param>
    /// <param name="overlaps">
    /// Whether its blocks may start before a kernel right in front of it has ended. It must wait for that one itself (<c>fp8lm/common/begin_grid.cuh</c>); a kernel
    /// that is launched without may stand in front of one with.
    /// </param>
    public int Launch(GridSize grid, void** parameters, bool overlaps)
    {
        const int MostAttributes = 2;
        LaunchAttribute* attributes = stackalloc LaunchAttribute[MostAttributes];
        uint count = 0;
        if (Traits.Cluster > 1)
        {
            attributes[count++] = LaunchAttribute.Cluster(Traits.Cluster);
        }

        nint stream = context.EnterForKernel(out bool followsKernel);
        if (overlaps && followsKernel)
        {
            attributes[count++] = LaunchAttribute.ProgrammaticStreamSerialization;
        }

        LaunchConfig config = new()
        {
            GridX = grid.X,
            GridY = grid.Y,
            GridZ = grid.Z,
            BlockX = Traits.Threads,
            BlockY = 1,
            BlockZ = 1,
            SharedBytes = Traits.SharedBytes,
            Stream = stream,
            Attributes = attributes,
            AttributeCount = count,
        };
        return CudaDriver.LaunchKernelEx(&config, function, parameters, null);
    }

    public void Dispose()
    {
        if (!disposed)
        {
            disposed = true;
            context.MakeCurrent();
            _ = CudaDriver.ModuleUnload(module);
        }
    }

    private LaunchTraits ReadTraits(KernelKind kind)
    {
        const int notFound = 500;
        int found = CudaDriver.ModuleGetGlobal(out nint address, out nuint bytes, module, "fp8lm_launch");
        if (found == notFound && kind == KernelKind.Row)
        {
            return LaunchTraits.Row;
        }

        CudaException.ThrowIfFailed(found, $"Reading the launch traits of kernel {Name} (every kernel but a row kernel says FP8LM_LAUNCH)");
        LaunchTraits traits = default;
        if (bytes != (nuint)sizeof(LaunchTraits))
        {
            throw new CudaException($"Kernel {Name} has launch traits of {bytes} bytes; this runtime reads {sizeof(LaunchTraits)}.");
        }

        context.CopyToHost(address, new Span<byte>(&traits, sizeof(LaunchTraits)));
        return traits;
    }
}
