using System;
using System.Collections.Generic;
using System.Runtime.InteropServices;
using Fp8Lm.Execution;
using Fp8Lm.Numerics;

namespace Fp8Lm.Training.Tests.Fake;

/// <summary>A session that lets two steps be on their way, as a GPU does: the host's part of the state alone is written, and reports come when asked for.</summary>
internal sealed class QueueingSession(Session inner) : SessionDecorator(inner)
{
    /// <summary>Largest number of pending steps seen.</summary>
    public int MostPending { get; private set; }

    internal override StepRunner CreateStepRunner(ModelProgram program, int microBatches) => new Runner(this, program);

    private sealed class Runner(QueueingSession session, ModelProgram program) : StepRunner
    {
        private static readonly int HostBytes = (int)Marshal.OffsetOf<StepState>(nameof(StepState.GradientNorm));
        private static readonly nint Skip = Marshal.OffsetOf<StepState>(nameof(StepState.SkipStep));
        private static readonly nint Sums = Marshal.OffsetOf<StepState>(nameof(StepState.LossSum));

        private readonly Queue<StepState> done = new();

        public override int Depth => 2;

        public override int Pending => done.Count;

        private readonly Queue<CastStatistics[]> counted = new();
        private CastStatistics[] casts = [];

        public override ReadOnlySpan<CastStatistics> Casts => casts;

        public override void Enqueue(in StepState state, StepBatch batch, bool counts)
        {
            using CastCounting counting = CastCounting.Begin(session, counts);
            session.CopyFromHost(MemoryMarshal.AsBytes(new ReadOnlySpan<StepState>(in state))[..HostBytes], session.State);
            session.Clear(session.State + Sums, 2 * sizeof(double));
            session.ClearGradients();
            for (int micro = 0; micro < batch.MicroBatches; micro++)
            {
                session.WriteMicroStep(state.MicroStep + (uint)micro);
                batch.Load(session, micro);
                program.TrainMicroBatch(session);
            }

            program.Optimize(session);
            done.Enqueue(session.ReadState());
            counted.Enqueue(counts ? session.Read<CastStatistics>(session.Workspace(WorkspacePart.CastStatistics), session.Plan.CastSlots) : []);
            session.MostPending = Math.Max(session.MostPending, Pending);
        }

        public override StepState Complete()
        {
            casts = counted.Dequeue();
            return done.Dequeue();
        }

        public override void Discard()
        {
            done.Clear();
            counted.Clear();
            session.Clear(session.State + Skip, sizeof(uint));
        }

        public override void Dispose()
        {
        }
    }
}
