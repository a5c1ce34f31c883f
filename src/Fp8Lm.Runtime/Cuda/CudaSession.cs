using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using System.Text;
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
    // What a session takes beside its plan: machine code, the batch on its way, rounding of blocks.
    private const long OtherBytes = 64 << 20;

    // Below, pinning and a second copy cost more than waiting.
    private const int LargeCopy = 1 << 20;

    private readonly CudaContext context;
    private readonly bool check = Environment.GetEnvironmentVariable("FP8LM_CHECK") == "1";
    private readonly bool overlaps;
    private readonly nint[] arenas = new nint[Enum.GetValues<ArenaKind>().Length];
    private readonly List<KernelSlot> kernels = [];
    private KernelSlot?[]? counting;
    private bool countsCasts;
    private readonly TensorMapTable tensorMaps = new();
    private readonly List<CudaStepRunner> runners = [];
    private readonly Lazy<UploadRing> uploads;
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
        overlaps = plan.Program.KernelsOverlap && Environment.GetEnvironmentVariable("FP8LM_PDL") != "0";
        uploads = new Lazy<UploadRing>(() => new UploadRing(context, PieceBytes));
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

    /// <inheritdoc/>
    public override bool CountsCasts
    {
        get => countsCasts;
        set
        {
            if (value && counting is null)
            {
                counting = LoadCountingKernels();
            }

            countsCasts = value;
        }
    }

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
        KernelSlot slot = (countsCasts ? counting![kernel] : null) ?? kernels[kernel];
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
                    ? tensorMaps.Get(slot == kernels[kernel] ? kernel : kernels.Count + kernel, i, args[i], slot.Operands[i], slot.Info.Name)
                    : values + i;
            }

            int result = slot.Kernel.Launch(slot.Grid, parameters, overlaps && !RunsEagerly);
            if (result != 0)
            {
                throw Failure(slot, args, new CudaException(CudaException.Describe(result) + "." + CudaException.HintOf(result)));
            }
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
        if (source.Length < LargeCopy)
        {
            context.CopyFromHost(source, destination);
        }
        else
        {
            fixed (byte* bytes = source)
            {
                nint from = (nint)bytes;
                WritePieces(destination, source.Length, (offset, address, length) => System.Buffer.MemoryCopy((byte*)from + offset, (void*)address, length, length));
            }
        }

        timer?.Interrupted();
    }

    /// <inheritdoc/>
    internal override void WritePieces(nint destination, long bytes, PieceWriter write)
    {
        for (long offset = 0; offset < bytes; offset += PieceBytes)
        {
            int length = (int)Math.Min(PieceBytes, bytes - offset);
            uploads.Value.Send(destination + (nint)offset, length, memory => write(offset, memory.Address, length));
        }

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

        if (uploads.IsValueCreated)
        {
            _ = context.TrySynchronize();
            uploads.Value.Dispose();
        }

        foreach (KernelSlot slot in kernels.Concat((counting ?? []).OfType<KernelSlot>()))
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
        (long free, long total) = context.Memory();
        if (Plan.TotalBytes > free - OtherBytes)
        {
            throw new InsufficientMemoryException(MemoryFit.Explain(Plan, context.Device.Name, free - OtherBytes, total));
        }

        foreach (ArenaKind arena in Enum.GetValues<ArenaKind>())
        {
            long bytes = Plan.Bytes(arena);
            if (bytes > 0)
            {
                // Another process may have taken what was free a moment ago.
                arenas[(int)arena] = context.TryAllocate(bytes);
                if (arenas[(int)arena] == 0)
                {
                    throw new InsufficientMemoryException(MemoryFit.Explain(Plan, context.Device.Name, free - OtherBytes, total));
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
            kernels.Add(Load(infos[i], compiled[i]));
        }
    }

    /// <summary>The counting forms of kernels that cast; null for all others. Their arguments are those of the plain form, which leaves the last ones out.</summary>
    private KernelSlot?[] LoadCountingKernels()
    {
        IReadOnlyList<KernelInfo> infos = Plan.Program.Kernels;
        int[] casts = [.. Enumerable.Range(0, infos.Count).Where(i => KernelText.Counts(infos[i].CudaSource))];
        IReadOnlyList<CompiledKernel> compiled = KernelCompiler.CompileAll(
            [.. casts.Select(i => infos[i].CudaSource)], [.. Defines(Plan.Definition, Dims), KernelText.CountingDefine]);
        var slots = new KernelSlot?[infos.Count];
        for (int i = 0; i < casts.Length; i++)
        {
            slots[casts[i]] = Load(infos[casts[i]], compiled[i]);
        }

        return slots;
    }

    private KernelSlot Load(KernelInfo info, CompiledKernel compiled)
    {
        LoadedKernel kernel = new(context, compiled, info.Name, info.Kind);
        return new KernelSlot(info, kernel, LaunchGrid.Of(info, kernel.Traits, Dims, context.Device.Multiprocessors), Operands(info, kernel.Traits));
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
            new OperandLayout(gemm.A.Format, gemm.A.KMajor, gemm.M(Dims), k, gemm.A.Pitch(Dims), (int)traits.TileM, false),
            new OperandLayout(gemm.B.Format, gemm.B.KMajor, gemm.N(Dims), k, gemm.B.Pitch(Dims), (int)traits.TileN, true),
        ];
    }

    private void CheckLaunch(KernelSlot slot, ReadOnlySpan<nint> args)
    {
        // All earlier launches were waited for, so this kernel it is.
        int result = context.TrySynchronize();
        if (result != 0)
        {
            throw Failure(slot, args, new CudaException($"cuStreamSynchronize: {CudaException.Describe(result)}."));
        }
    }

    private CudaException Failure(KernelSlot slot, ReadOnlySpan<nint> args, CudaException exception)
    {
        StringBuilder text = new();
        text.Append(CultureInfo.InvariantCulture, $"Kernel {slot.Info.Name} failed: {exception.Message}\n");
        text.Append(CultureInfo.InvariantCulture, $"  launch: {slot.Kernel.Describe(slot.Grid)}\n  {string.Join(' ', Defines(Plan.Definition, Dims))}");
        for (int i = 0; i < args.Length; i++)
        {
            text.Append(CultureInfo.InvariantCulture, $"\n  {slot.Info.Arguments[i]} = {Layout.Describe(args[i])}");
        }

        return new CudaException(text.ToString(), exception);
    }

    private sealed record KernelSlot(KernelInfo Info, LoadedKernel Kernel, GridSize Grid, OperandLayout[] Operands);
}
