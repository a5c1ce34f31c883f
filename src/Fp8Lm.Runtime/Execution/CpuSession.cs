using System;
using System.Diagnostics;
using System.Runtime.InteropServices;
using Fp8Lm.Cpu;

namespace Fp8Lm.Execution;

/// <summary>
/// A session in host memory whose launches run at once. With <c>FP8LM_CHECK=1</c> every arena ends in a guard zone that is looked at
/// after each launch, so that a kernel that writes past an arena is named at once.
/// </summary>
public sealed unsafe class CpuSession : ArenaSession
{
    private const int GuardBytes = 4096;
    private const byte GuardValue = 0xA5;

    private readonly CpuPool pool;
    private readonly bool check = Environment.GetEnvironmentVariable("FP8LM_CHECK") == "1";
    private readonly nint[] arenas = new nint[Enum.GetValues<ArenaKind>().Length];
    private readonly KernelProfile? profile;
    private bool disposed;

    /// <summary>Allocates the memory of a plan.</summary>
    /// <exception cref="InsufficientMemoryException">The machine does not have that much memory.</exception>
    public CpuSession(MemoryPlan plan, CpuPool pool) : base(plan)
    {
        ArgumentNullException.ThrowIfNull(pool);
        this.pool = pool;
        try
        {
            foreach (ArenaKind arena in Enum.GetValues<ArenaKind>())
            {
                arenas[(int)arena] = Allocate(arena);
            }
        }
        catch (OutOfMemoryException)
        {
            Free();
            throw new InsufficientMemoryException(
                $"{plan.Definition.Name} with recipe {plan.Program.Recipe} needs {plan.TotalBytes / 1048576.0:F0} MiB; this machine did not give them. "
                + "Choose a smaller size or micro-batch, or turn on checkpointing.");
        }

        profile = KernelProfile.Create(plan.Program.Kernels);
        Attach(arena => arenas[(int)arena]);
    }

    /// <inheritdoc/>
    public override string Device => "cpu";

    /// <inheritdoc/>
    public override void Launch(int kernel, params ReadOnlySpan<nint> args)
    {
        ObjectDisposedException.ThrowIf(disposed, this);
        KernelInfo info = Plan.Program.Kernels[kernel];
        if (args.Length != info.Arguments.Length)
        {
            throw new ArgumentException($"Kernel {info.Name} takes {info.Arguments.Length} arguments and got {args.Length}.", nameof(args));
        }

        long start = profile is null ? 0 : Stopwatch.GetTimestamp();
        try
        {
            fixed (nint* pointer = args)
            {
                info.Cpu(Dims, pointer, pool);
            }
        }
        catch (Exception failure) when (failure is not (OutOfMemoryException or InvalidOperationException { InnerException: not null }))
        {
            throw new InvalidOperationException($"Kernel {info.Name} failed: {failure.Message}", failure);
        }

        profile?.Add(kernel, Stopwatch.GetElapsedTime(start).TotalSeconds);
        if (check)
        {
            CheckGuards(info.Name);
        }
    }

    /// <inheritdoc/>
    public override void CopyToHost(nint source, Span<byte> destination) => new ReadOnlySpan<byte>((void*)source, destination.Length).CopyTo(destination);

    /// <inheritdoc/>
    public override void CopyFromHost(ReadOnlySpan<byte> source, nint destination) => source.CopyTo(new Span<byte>((void*)destination, source.Length));

    /// <inheritdoc/>
    internal override CpuPool HostPool => pool;

    /// <inheritdoc/>
    internal override void WritePieces(nint destination, long bytes, PieceWriter write)
    {
        for (long offset = 0; offset < bytes; offset += PieceBytes)
        {
            write(offset, destination + (nint)offset, (int)Math.Min(PieceBytes, bytes - offset));
        }
    }

    /// <inheritdoc/>
    public override void Clear(nint address, long bytes) => NativeMemory.Clear((void*)address, checked((nuint)bytes));

    /// <inheritdoc/>
    public override void Synchronize()
    {
        // Launches run at once.
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        if (!disposed)
        {
            disposed = true;
            profile?.Print(Console.Error);
            Free();
        }
    }

    private nint Allocate(ArenaKind arena)
    {
        long bytes = Plan.Bytes(arena);
        long guard = check ? GuardBytes : 0;
        if (bytes + guard == 0)
        {
            return 0;
        }

        // 2 MiB alignment lets the kernel back large arenas with huge pages.
        nuint alignment = bytes >= 1 << 22 ? 1u << 21 : ArenaLayout.Alignment;
        void* memory = NativeMemory.AlignedAlloc(checked((nuint)(bytes + guard)), alignment);
        HugePages.Advise(memory, bytes);
        NativeMemory.Clear(memory, (nuint)bytes);
        NativeMemory.Fill((byte*)memory + bytes, (nuint)guard, GuardValue);
        return (nint)memory;
    }

    private void CheckGuards(string kernel)
    {
        foreach (ArenaKind arena in Enum.GetValues<ArenaKind>())
        {
            var guard = new ReadOnlySpan<byte>((byte*)arenas[(int)arena] + Plan.Bytes(arena), GuardBytes);
            if (guard.ContainsAnyExcept(GuardValue))
            {
                throw new InvalidOperationException($"Kernel {kernel} wrote past the end of arena {arena} ({Plan.Bytes(arena)} bytes).");
            }
        }
    }

    private void Free()
    {
        for (int i = 0; i < arenas.Length; i++)
        {
            NativeMemory.AlignedFree((void*)arenas[i]);
            arenas[i] = 0;
        }
    }
}
