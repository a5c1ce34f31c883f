using System;
using Fp8Lm.Cpu;
using Fp8Lm.Training;

namespace Fp8Lm.Execution;

/// <summary>
/// A program bound to sizes and to memory on one device. Generated code asks it for addresses and launches kernels; addresses are host
/// pointers on the CPU and device pointers on CUDA.
/// </summary>
public abstract class Session : IDisposable
{
    /// <summary>Largest piece of <see cref="WritePieces"/>: enough that starting all cores on one does not show.</summary>
    private protected const int PieceBytes = 1 << 25;

    private CpuPool? hostPool;

    /// <summary>The memory of the session, as planned.</summary>
    public abstract MemoryPlan Plan { get; }

    /// <summary>The device's name for messages and summaries: <c>cpu</c>, or the GPU's name.</summary>
    public abstract string Device { get; }

    /// <summary>Values of all dimensions.</summary>
    public abstract DimBinding Dims { get; }

    /// <summary>Whether the forward pass of repeated blocks is recomputed in backward instead of being saved.</summary>
    public abstract bool Checkpointing { get; }

    /// <summary>Queues kernel number <paramref name="kernel"/>; pointers and 64-bit integers, in the order of <see cref="KernelInfo.Arguments"/>.</summary>
    public abstract void Launch(int kernel, params ReadOnlySpan<nint> args);

    /// <summary>Address of a buffer's instance; <paramref name="layer"/> is taken as its <see cref="BufferScope"/> says.</summary>
    public abstract nint Buffer(int buffer, long layer);

    /// <summary>Master weights of one instance of a parameter, in the format of <see cref="ModelProgram.FormatsOf"/>.</summary>
    public abstract nint Master(int parameter, long layer);

    /// <summary>Gradient of one instance of a parameter.</summary>
    public abstract nint Gradient(int parameter, long layer);

    /// <summary>Address of a part of the workspace.</summary>
    public abstract nint Workspace(WorkspacePart part);

    /// <summary>One F32: the reciprocal scale of a parameter's master weights.</summary>
    public nint MasterInverse(int parameter, long layer) => StateSlot(WorkspacePart.StateScaleInverse, ArenaKind.Master, parameter, layer);

    /// <summary>One F32: the scale of a parameter's gradient.</summary>
    public nint GradientScale(int parameter, long layer) => StateSlot(WorkspacePart.StateScale, ArenaKind.Gradients, parameter, layer);

    /// <summary>One F32: the reciprocal of <see cref="GradientScale"/>.</summary>
    public nint GradientInverse(int parameter, long layer) => StateSlot(WorkspacePart.StateScaleInverse, ArenaKind.Gradients, parameter, layer);

    /// <summary>One U32: the amax of a parameter's gradient, as bits; one that is not finite stays until <see cref="ClearGradients"/>.</summary>
    public nint GradientAmax(int parameter, long layer) => StateSlot(WorkspacePart.StateAmax, ArenaKind.Gradients, parameter, layer);

    /// <summary>One slot of the scales, reciprocals or amax of what the optimizer keeps.</summary>
    /// <param name="part">One of the three state parts.</param>
    /// <param name="arena">One of the four parameter arenas.</param>
    /// <param name="parameter">The parameter.</param>
    /// <param name="layer">Its instance.</param>
    public nint StateSlot(WorkspacePart part, ArenaKind arena, int parameter, long layer) => Workspace(part) + (nint)(Plan.StateSlot(arena, parameter, layer) * sizeof(float));

    /// <summary>
    /// Whether gradients hold something to add to. After <see cref="ClearGradients"/> those of <see cref="ModelProgram.AssignedGradients"/> do not, until a
    /// backward pass has written them.
    /// </summary>
    public virtual bool GradientsHold { get; set; } = true;

    /// <summary>Has the next micro-batch start from gradients of zero: queues zeroing of those that it adds to, and of what amax of gradients remember.</summary>
    public void ClearGradients()
    {
        foreach ((long offset, long bytes) in Plan.ClearedGradients)
        {
            Clear(GradientArena + (nint)offset, bytes);
        }

        GradientsHold = false;
        if (Plan.ScaledStates)
        {
            Clear(Workspace(WorkspacePart.StateAmax), Plan.StateInstances * sizeof(uint));
        }
    }

    /// <summary>One F32: what values are multiplied with before the cast to FP8.</summary>
    public abstract nint Scale(int scale, long layer);

    /// <summary>One F32: the reciprocal of <see cref="Scale"/>.</summary>
    public abstract nint ScaleInverse(int scale, long layer);

    /// <summary>One U32: the bits of the largest magnitude seen this step (an integer maximum keeps NaN and infinity visible).</summary>
    public abstract nint Amax(int scale, long layer);

    /// <summary>
    /// Whether casts are counted by what is queued from now on (<c>docs/numerics.md</c>). Changes no number that is trained; the first time it is turned on, back ends may
    /// compile the counting forms of their kernels.
    /// </summary>
    public virtual bool CountsCasts { get; set; }

    /// <summary>Address of the <see cref="Numerics.CastStatistics"/> of a cast's slot; zero while casts are not counted.</summary>
    /// <param name="cast">Number of the cast in <see cref="ModelProgram.Casts"/>.</param>
    /// <param name="layer">Its slot.</param>
    public virtual nint CastStatistics(int cast, long layer) => 0;

    /// <summary>Address of the <see cref="Numerics.CastStatistics"/> of what the optimizer stores (<see cref="MemoryPlan.FirstStateCast"/>); zero while casts are not counted.</summary>
    public virtual nint StateCasts => 0;

    /// <summary>The <see cref="StepState"/>.</summary>
    public abstract nint State { get; }

    /// <summary>Token ids of the micro-batch, I32 [micro-batch, sequence].</summary>
    public abstract nint Tokens { get; }

    /// <summary>Labels of the micro-batch, I32 [micro-batch, sequence]; negative: ignored.</summary>
    public abstract nint Labels { get; }

    /// <summary>Weights of the labels, F32 [micro-batch, sequence].</summary>
    public abstract nint LabelWeights { get; }

    // Whole-arena addresses for the optimizer kernels: all parameters in one run, those with weight decay first.

    /// <summary>All master weights.</summary>
    public abstract nint MasterArena { get; }

    /// <summary>All gradients.</summary>
    public abstract nint GradientArena { get; }

    /// <summary>All first moments.</summary>
    public abstract nint FirstMomentArena { get; }

    /// <summary>All second moments.</summary>
    public abstract nint SecondMomentArena { get; }

    /// <summary>All scales of FP8 tensors, F32; the same order as <see cref="ScaleInverseArena"/>, <see cref="AmaxArena"/>.</summary>
    public abstract nint ScaleArena { get; }

    /// <summary>All reciprocals of scales, F32.</summary>
    public abstract nint ScaleInverseArena { get; }

    /// <summary>All amax of this step, U32 bits.</summary>
    public abstract nint AmaxArena { get; }

    /// <summary>Amax histories, F32 [HistoryLength, slots].</summary>
    public abstract nint AmaxHistoryArena { get; }

    /// <summary>Largest representable value per slot, F32.</summary>
    public abstract nint ScaleMaximumArena { get; }

    /// <summary>Elements of the parameter arenas.</summary>
    public abstract long ParameterElements { get; }

    /// <summary>Elements of the leading run of parameters that have weight decay.</summary>
    public abstract long DecayedElements { get; }

    /// <summary>Number of FP8 scale slots.</summary>
    public abstract long ScaleSlots { get; }

    /// <summary>Scratch for fixed-order reductions, at least 64 KiB.</summary>
    public abstract nint ReductionScratch { get; }

    // Host access, so that initialisation, batches, checkpoints and generation do not know the device.

    /// <summary>Copies session memory to the host; returns when everything queued before has run and the bytes are there.</summary>
    public abstract void CopyToHost(nint source, Span<byte> destination);

    /// <summary>Copies host memory into the session, ordered after everything queued before; <paramref name="source"/> may be reused on return.</summary>
    public abstract void CopyFromHost(ReadOnlySpan<byte> source, nint destination);

    /// <summary>Queues zeroing of session memory.</summary>
    public abstract void Clear(nint address, long bytes);

    /// <summary>Waits for everything queued; errors of kernels surface here at the latest.</summary>
    public abstract void Synchronize();

    /// <summary>Has a stretch of session memory written piece by piece, in order; the writer gets offset, address and length of a piece in host memory.</summary>
    internal virtual unsafe void WritePieces(nint destination, long bytes, PieceWriter write)
    {
        byte[] piece = GC.AllocateUninitializedArray<byte>((int)Math.Min(bytes, PieceBytes), pinned: true);
        fixed (byte* address = piece)
        {
            for (long offset = 0; offset < bytes; offset += PieceBytes)
            {
                int length = (int)Math.Min(PieceBytes, bytes - offset);
                write(offset, (nint)address, length);
                CopyFromHost(piece.AsSpan(0, length), destination + (nint)offset);
            }
        }
    }

    /// <summary>Workers on the host for what is computed there; those of a session on the CPU are its own.</summary>
    internal virtual CpuPool HostPool => hostPool ??= new CpuPool();

    /// <summary>How optimizer steps of a program run here.</summary>
    /// <param name="program">The program of the session.</param>
    /// <param name="microBatches">Micro-batches of a step.</param>
    internal virtual StepRunner CreateStepRunner(ModelProgram program, int microBatches) => new ImmediateStepRunner(this, program);

    /// <inheritdoc/>
    public void Dispose()
    {
        Dispose(true);
        hostPool?.Dispose();
        GC.SuppressFinalize(this);
    }

    /// <summary>Gives back device memory.</summary>
    protected abstract void Dispose(bool disposing);
}

/// <summary>Writes <paramref name="bytes"/> bytes to <paramref name="address"/>, those from <paramref name="offset"/> on; offsets are multiples of 1 MiB.</summary>
internal delegate void PieceWriter(long offset, nint address, int bytes);
