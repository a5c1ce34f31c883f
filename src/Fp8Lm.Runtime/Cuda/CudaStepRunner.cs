using System;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Fp8Lm.Execution;
using Fp8Lm.Numerics;
using Fp8Lm.Training;

namespace Fp8Lm.Cuda;

/// <summary>
/// Optimizer steps as replays of one captured graph. The host writes a step's scalars and batch into pinned memory, from where a copy that nobody waits
/// for takes them to a block on the device; the graph begins by handing them to the places that kernels read. The state of a step comes back the
/// same way. While the device runs a step, the host prepares the next.
/// </summary>
internal sealed unsafe class CudaStepRunner : StepRunner
{
    // One step runs, one stands ready behind it.
    private const int MostPending = 2;

    // Of the step state the host's part travels; the skip flag of a step must stop the one queued behind it, so it stays until it has been seen.
    private static readonly int HostBytes = (int)Marshal.OffsetOf<StepState>(nameof(StepState.GradientNorm));
    private static readonly int MicroStepOffset = (int)Marshal.OffsetOf<StepState>(nameof(StepState.MicroStep));
    private static readonly int SkipOffset = (int)Marshal.OffsetOf<StepState>(nameof(StepState.SkipStep));
    private static readonly int SumsOffset = (int)Marshal.OffsetOf<StepState>(nameof(StepState.LossSum));

    private readonly CudaSession session;
    private readonly ModelProgram program;
    private readonly int microBatches;
    private readonly int labels;
    private readonly int weights;
    private readonly int batchBytes;
    private readonly nint input;
    private readonly Slot[] slots = new Slot[MostPending];
    private readonly Form plain = new();
    private readonly Form counting = new();
    private readonly int castBytes;
    private Slot? completedSlot;
    private long queued;
    private long completed;
    private bool disposed;

    public CudaStepRunner(CudaSession session, ModelProgram program, int microBatches)
    {
        this.session = session;
        this.program = program;
        this.microBatches = microBatches;
        MemoryPlan plan = session.Plan;
        long tokens = plan.Offset(WorkspacePart.Tokens);
        labels = checked((int)(plan.Offset(WorkspacePart.Labels) - tokens));
        weights = checked((int)(plan.Offset(WorkspacePart.LabelWeights) - tokens));
        batchBytes = checked((int)(plan.Offset(WorkspacePart.Scale) - tokens));
        int bytes = checked(StateBytes + (microBatches * batchBytes));
        castBytes = checked((int)(plan.CastSlots * Unsafe.SizeOf<CastStatistics>()));
        input = session.Context.Allocate(bytes);
        for (int i = 0; i < slots.Length; i++)
        {
            slots[i] = new Slot(session.Context, bytes);
        }
    }

    public override int Depth => MostPending;

    public override int Pending => (int)(queued - completed);

    // Micro-steps follow the state's host part; micro-batches follow, aligned like the workspace.
    private int StateBytes => (int)ArenaLayout.Align(HostBytes + (microBatches * sizeof(uint)));

    public override ReadOnlySpan<CastStatistics> Casts => completedSlot is { Counts: true, Casts: { } casts } ? MemoryMarshal.Cast<byte, CastStatistics>(casts.Bytes) : [];

    public override void Enqueue(in StepState state, StepBatch batch, bool counts)
    {
        if (Pending == MostPending)
        {
            throw new InvalidOperationException($"{MostPending} steps are pending.");
        }

        // The slot's last step is complete, so its copies have run.
        Slot slot = slots[queued % slots.Length];
        Fill(slot.Input.Bytes, state, batch);
        slot.Input.CopyTo(input, slot.Input.Bytes.Length);
        Form form = counts ? counting : plain;
        if (session.RunsEagerly || !form.HasRun)
        {
            // The first step of a form loads kernels and encodes tensor maps, which a capture must not.
            Work(counts);
            form.HasRun = true;
        }
        else
        {
            form.Graph ??= CudaGraph.Capture(session.Context, () => Work(counts));
            form.Graph.Launch();
        }

        slot.Counts = counts && castBytes > 0;
        if (slot.Counts)
        {
            slot.Casts ??= new PinnedMemory(session.Context, castBytes);
            slot.Casts.CopyFrom(session.Workspace(WorkspacePart.CastStatistics), castBytes);
        }

        slot.Report.CopyFrom(session.State, sizeof(StepState));
        slot.Done.Record();
        queued++;
    }

    public override StepState Complete()
    {
        Slot slot = slots[completed % slots.Length];
        slot.Done.Synchronize();
        completedSlot = slot;
        completed++;
        return MemoryMarshal.Read<StepState>(slot.Report.Bytes);
    }

    public override void Discard()
    {
        session.Synchronize();
        completed = queued;
        completedSlot = null;
        session.Clear(session.State + SkipOffset, sizeof(uint));
    }

    public override void Dispose()
    {
        if (!disposed)
        {
            disposed = true;
            plain.Graph?.Dispose();
            counting.Graph?.Dispose();
            foreach (Slot slot in slots)
            {
                slot?.Dispose();
            }

            session.Context.Free(input);
        }
    }

    private void Fill(Span<byte> bytes, in StepState state, StepBatch batch)
    {
        MemoryMarshal.AsBytes(new ReadOnlySpan<StepState>(in state))[..HostBytes].CopyTo(bytes);
        Span<uint> microSteps = MemoryMarshal.Cast<byte, uint>(bytes[HostBytes..])[..microBatches];
        for (int micro = 0; micro < microBatches; micro++)
        {
            microSteps[micro] = unchecked(state.MicroStep + (uint)micro);
            Span<byte> place = bytes.Slice(StateBytes + (micro * batchBytes), batchBytes);
            MemoryMarshal.AsBytes(batch.Tokens(micro)).CopyTo(place);
            MemoryMarshal.AsBytes(batch.Labels(micro)).CopyTo(place[labels..]);
            MemoryMarshal.AsBytes(batch.Weights(micro)).CopyTo(place[weights..]);
        }
    }

    /// <summary>Everything of a step that runs on the device.</summary>
    private void Work(bool counts)
    {
        using CastCounting counted = CastCounting.Begin(session, counts);
        session.CopyOnDevice(input, session.State, HostBytes);
        session.Clear(session.State + SumsOffset, sizeof(StepState) - SumsOffset);
        session.ClearGradients();
        for (int micro = 0; micro < microBatches; micro++)
        {
            session.CopyOnDevice(input + HostBytes + (micro * sizeof(uint)), session.State + MicroStepOffset, sizeof(uint));
            session.CopyOnDevice(input + StateBytes + (micro * batchBytes), session.Tokens, batchBytes);
            program.TrainMicroBatch(session);
        }

        program.Optimize(session);
    }

    /// <summary>A step with or without counts.</summary>
    private sealed class Form
    {
        public bool HasRun { get; set; }

        public CudaGraph? Graph { get; set; }
    }

    /// <summary>Pinned memory of a step on its way.</summary>
    private sealed class Slot(CudaContext context, int inputBytes) : IDisposable
    {
        public PinnedMemory Input { get; } = new(context, inputBytes);

        public PinnedMemory Report { get; } = new(context, Unsafe.SizeOf<StepState>());

        public CudaEvent Done { get; } = new(context);

        public bool Counts { get; set; }

        /// <summary>Statistics of casts, from the first step on that counts them.</summary>
        public PinnedMemory? Casts { get; set; }

        public void Dispose()
        {
            Input.Dispose();
            Report.Dispose();
            Casts?.Dispose();
            Done.Dispose();
        }
    }
}
