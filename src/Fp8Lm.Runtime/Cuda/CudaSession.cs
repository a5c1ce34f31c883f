using System;
using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Cuda.Interop;
using Fp8Lm.Cuda.Jit;
using Fp8Lm.Execution;
using Fp8Lm.Training;

namespace Fp8Lm.Cuda;

/// <summary>
/// A session on a Hopper GPU. All kernels of the program are compiled for the bound dimensions when it is created (or come from the disk
/// cache); launches are queued on one stream. With <c>FP8LM_CHECK=1</c> every launch is waited for, so that an error names its kernel.
/// </summary>
public sealed unsafe class CudaSession : ArenaSession
{
    private readonly CudaContext context;
    private readonly bool check = Environment.GetEnvironmentVariable("FP8LM_CHECK") == "1";
    private readonly nint[] arenas = new nint[Enum.GetValues<ArenaKind>().Length];
    private readonly List<KernelSlot> kernels = [];
    private readonly TensorMapTable tensorMaps = new();
    private readonly List<CudaStepRunner> runners = [];
    private readonly KernelProfile? printed;
    private LaunchTimer? timer;
    private bool disposed;

    /// <summary>Allocates the memory of a plan on a device and compiles its program.</summary>
    /// <exception cref="InsufficientMemoryException">The device does not have that much memory.</exception>
    /// <exception cref="CudaException">A kernel does not compile, or the driver refuses.</exception>
    public CudaSession(MemoryPlan plan, CudaDevice device)
        : base(plan)
    {
        ArgumentNullException.ThrowIfNull(device);
        context = new CudaContext(device);
        try
        {
            AllocateArenas();
            LoadKernels();
            Attach(arena => arenas[(int)arena]);
            printed = KernelProfile.Create(plan.Program.Kernels);
            timer = printed is null ? null : new LaunchTimer(context, printed);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public override string Device => context.Device.Name;

    /// <summary>What everything runs on.</summary>
    internal CudaContext Context => context;

    /// <summary>Whether launches must not be captured, because each is timed or waited for.</summary>
    internal bool RunsEagerly => check || timer is not null;

    /// <inheritdoc/>
    internal override StepRunner CreateStepRunner(ModelProgram program, int microBatches)
    {
        var runner = new CudaStepRunner(this, program, microBatches);
        runners.Add(runner);
        return runner;
    }

    /// <summary>Queues a copy within the device.</summary>
    internal void CopyOnDevice(nint source, nint destination, long bytes)
    {
        context.CopyOnDevice(source, destination, bytes);
        timer?.Interrupted();
    }

    /// <summary>Times every launch from now on; null stops it. What was timed so far is added to its profile.</summary>
    internal void Profile(KernelProfile? profile)
    {
        timer?.Collect();
        timer?.Dispose();
        timer = profile is null ? null : new LaunchTimer(context, profile);
        timer?.Interrupted();
    }

    /// <summary>The macros that carry the dimensions into kernel text.</summary>
    public static IReadOnlyList<string> Defines(ModelDefinition definition, DimBinding dims)
    {
        ArgumentNullException.ThrowIfNull(definition);
        ArgumentNullException.ThrowIfNull(dims);
        return
        [
            $"D_MicroBatch={dims[DimBinding.MicroBatch]}", $"D_Sequence={dims[DimBinding.Sequence]}",
            .. definition.Dims.Select((name, index) => $"D_{name}={dims[DimBinding.FirstModelDim + index]}"),
        ];
    }

    /// <inheritdoc/>
    public override void Launch(int kernel, params ReadOnlySpan<nint> args)
    {
        ObjectDisposedException.ThrowIf(disposed, this);
        KernelSlot slot = kernels[kernel];
        if (args.Length != slot.Info.Arguments.Length)
        {
            throw new ArgumentException($"Kernel {slot.Info.Name} takes {slot.Info.Arguments.Length} arguments and got {args.Length}.", nameof(args));
        }

        void** parameters = stackalloc void*[args.Length];
        fixed (nint* values = args)
        {
            for (int i = 0; i < args.Length; i++)
            {
                parameters[i] = i < slot.Operands.Length
                    ? tensorMaps.Get(kernel, i, args[i], slot.Operands[i], slot.Info.Name)
                    : values + i;
            }

            slot.Kernel.Launch(slot.Grid, parameters);
        }

        timer?.Launched(kernel);
        if (check)
        {
            CheckLaunch(slot, args);
        }
    }

    /// <inheritdoc/>
    public override void CopyToHost(nint source, Span<byte> destination)
    {
        context.CopyToHost(source, destination);
        timer?.Interrupted();
    }

    /// <inheritdoc/>
    public override void CopyFromHost(ReadOnlySpan<byte> source, nint destination)
    {
        context.CopyFromHost(source, destination);
        timer?.Interrupted();
    }

    /// <inheritdoc/>
    public override void Clear(nint address, long bytes)
    {
        context.Clear(address, bytes);
        timer?.Interrupted();
    }

    /// <inheritdoc/>
    public override void Synchronize() => context.Synchronize();

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (disposed)
        {
            return;
        }

        disposed = true;
        PrintProfile();
        foreach (CudaStepRunner runner in runners)
        {
            runner.Dispose();
        }

        foreach (KernelSlot slot in kernels)
        {
            slot.Kernel.Dispose();
        }

        foreach (nint arena in arenas)
        {
            if (arena != 0)
            {
                context.Free(arena);
            }
        }

        tensorMaps.Dispose();
        context.Dispose();
    }

    private void PrintProfile()
    {
        try
        {
            Profile(null);
            printed?.Print(Console.Error);
        }
        catch (CudaException)
        {
            // A kernel has failed; whoever waited for it knows.
        }
    }

    private void AllocateArenas()
    {
        foreach (ArenaKind arena in Enum.GetValues<ArenaKind>())
        {
            long bytes = Plan.Bytes(arena);
            if (bytes > 0)
            {
                try
                {
                    arenas[(int)arena] = context.Allocate(bytes);
                }
                catch (InsufficientMemoryException exception)
                {
                    throw new InsufficientMemoryException(
                        $"{Plan.Definition.Name} with recipe {Plan.Program.Recipe} needs {Plan.TotalBytes / 1048576.0:F0} MiB. {exception.Message} "
                        + "Choose a smaller size or micro-batch, or turn on checkpointing.", exception);
                }
            }
        }
    }

    private void LoadKernels()
    {
        IReadOnlyList<KernelInfo> infos = Plan.Program.Kernels;
        IReadOnlyList<CompiledKernel> compiled = KernelCompiler.CompileAll([.. infos.Select(info => info.CudaSource)], Defines(Plan.Definition, Dims));
        for (int i = 0; i < infos.Count; i++)
        {
            LoadedKernel kernel = new(context, compiled[i], infos[i].Name, infos[i].Kind);
            kernels.Add(new KernelSlot(
                infos[i], kernel, LaunchGrid.Of(infos[i], kernel.Traits, Dims, context.Device.Multiprocessors), Operands(infos[i], kernel.Traits)));
        }
    }

    /// <summary>Layouts of the leading arguments that become tensor maps; FP32 GEMMs take plain pointers.</summary>
    private OperandLayout[] Operands(KernelInfo info, in LaunchTraits traits)
    {
        if (info.Geometry is not GemmGeometry gemm || gemm.A.Format == ElementFormat.F32)
        {
            return [];
        }

        long k = gemm.K(Dims);
        return
        [
            new OperandLayout(gemm.A.Format, gemm.A.KMajor, gemm.M(Dims), k, gemm.A.Pitch(Dims), (int)traits.TileM),
            new OperandLayout(gemm.B.Format, gemm.B.KMajor, gemm.N(Dims), k, gemm.B.Pitch(Dims), (int)traits.TileN),
        ];
    }

    private void CheckLaunch(KernelSlot slot, ReadOnlySpan<nint> args)
    {
        try
        {
            context.Synchronize();
        }
        catch (CudaException exception)
        {
            string[] arguments = new string[args.Length];
            for (int i = 0; i < args.Length; i++)
            {
                arguments[i] = $"  {slot.Info.Arguments[i]} = 0x{args[i]:x}";
            }

            throw new CudaException($"Kernel {slot.Info.Name} failed: {exception.Message}\n{string.Join('\n', arguments)}", exception);
        }
    }

    private sealed record KernelSlot(KernelInfo Info, LoadedKernel Kernel, GridSize Grid, OperandLayout[] Operands);
}
