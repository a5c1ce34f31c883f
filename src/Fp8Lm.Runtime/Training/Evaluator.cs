using System;
using Fp8Lm.Data;
using Fp8Lm.Execution;

namespace Fp8Lm.Training;

/// <summary>Measures the loss on held-out sequences, always the same ones, without dropout and without touching what training depends on.</summary>
internal sealed class Evaluator
{
    private readonly ModelProgram program;
    private readonly Session session;
    private readonly IBatchSource source;
    private readonly StepBatch batch;
    private readonly long batches;

    public Evaluator(ModelProgram program, Session session, IBatchSource source, int mostBatches, long vocabulary)
    {
        this.program = program;
        this.session = session;
        this.source = source;
        batch = new StepBatch(session.Dims, 1, vocabulary);

        // A last, partly filled micro-batch wraps around; with less than one micro-batch of data some sequences count twice.
        long microBatch = session.Dims[DimBinding.MicroBatch];
        batches = Math.Clamp(source.SequencesPerEpoch / microBatch, 1, mostBatches);
    }

    /// <summary>Mean loss over the labels, weighted.</summary>
    public double Run()
    {
        // Forward notes amax of activations; held-out data must not move the scales of training.
        var snapshot = new Fp8Snapshot(session, program);
        session.WriteState(new StepState { LossScale = 1f });
        for (long i = 0; i < batches; i++)
        {
            batch.Read(source, i * session.Dims[DimBinding.MicroBatch]);
            batch.Load(session, 0);
            program.Forward(session);
            program.Loss(session, train: false);
        }

        StepState state = session.ReadState();
        snapshot.Restore();
        return state.WeightSum > 0 ? state.LossSum / state.WeightSum : 0;
    }
}
