using System;
using System.Collections.Generic;
using Fp8Lm.Execution;
using Fp8Lm.Numerics;

namespace Fp8Lm.Training;

/// <summary>
/// Runs optimizer steps in order. Up to <see cref="Depth"/> of them may be on their way, so that a device need not wait for the host between two.
/// A step whose gradient or loss is not finite changes nothing; until <see cref="Discard"/> neither do the steps queued behind it.
/// </summary>
internal abstract class StepRunner : IDisposable
{
    /// <summary>Steps that may be queued before the first of them is asked for.</summary>
    public abstract int Depth { get; }

    /// <summary>Queued steps whose outcome has not been asked for.</summary>
    public abstract int Pending { get; }

    /// <summary>Queues a step. Micro-batch i has micro-step <see cref="StepState.MicroStep"/> + i; state and batch may be reused on return.</summary>
    /// <param name="state">The host's part of the step's state.</param>
    /// <param name="batch">Its micro-batches.</param>
    /// <param name="counts">Whether casts are counted.</param>
    public abstract void Enqueue(in StepState state, StepBatch batch, bool counts);

    /// <summary>Waits for the oldest step that is pending and gives its state.</summary>
    public abstract StepState Complete();

    /// <summary>What the casts of the step completed last have done, by slot; empty where they were not counted. Valid until the next step is queued.</summary>
    public abstract ReadOnlySpan<CastStatistics> Casts { get; }

    /// <summary>Waits for everything and forgets it: after a step that changed nothing, those behind it are queued again.</summary>
    public abstract void Discard();

    /// <inheritdoc/>
    public abstract void Dispose();
}

/// <summary>
/// Runs a step while it is queued, as a device does whose launches run at once. With replicas the micro-batches are theirs, in order and in equal numbers; the optimizer sees the reduced
/// gradient.
/// </summary>
internal sealed class ImmediateStepRunner(Session session, ModelProgram program, ReplicaGradients? replicas = null) : StepRunner
{
    private readonly Queue<StepState> done = new();
    private CastStatistics[] casts = [];

    public override int Depth => 1;

    public override int Pending => done.Count;

    public override ReadOnlySpan<CastStatistics> Casts => casts;

    public override void Enqueue(in StepState state, StepBatch batch, bool counts)
    {
        session.WriteState(state);
        using CastCounting counting = CastCounting.Begin(session, counts);
        int share = batch.MicroBatches / (replicas?.Replicas ?? 1);
        for (int micro = 0; micro < batch.MicroBatches; micro++)
        {
            if (micro % share == 0)
            {
                session.ClearGradients();
            }

            session.WriteMicroStep(unchecked(state.MicroStep + (uint)micro));
            batch.Load(session, micro);
            program.TrainMicroBatch(session);
            if ((micro + 1) % share == 0)
            {
                replicas?.Take(micro / share);
            }
        }

        replicas?.Reduce();
        program.Optimize(session);
        done.Enqueue(session.ReadState());
        casts = counts ? session.Read<CastStatistics>(session.Workspace(WorkspacePart.CastStatistics), session.Plan.CastSlots) : [];
    }

    public override StepState Complete() => done.Dequeue();

    public override void Discard() => done.Clear();

    public override void Dispose()
    {
    }
}
