using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using Fp8Lm.Checkpoints;
using Fp8Lm.Cpu;
using Fp8Lm.Execution;
using Fp8Lm.Numerics;
using Fp8Lm.Training.Tests.Fake;
using Fp8Lm.Training.Tests.Generated;
using Xunit;

namespace Fp8Lm.Training.Tests;

/// <summary>Sessions and runs of a compiled model that tests of numerics look at.</summary>
public abstract class NumericsRuns : IDisposable
{
    private protected static readonly TrainerOptions Options = new()
    {
        Steps = 9, LearningRate = 3e-3f, WarmupSteps = 5, CheckpointInterval = 1000, EvaluationInterval = 0, EvaluationBatches = 2, Seed = 1, Accumulation = 2, NumericsInterval = 3,
    };

    private protected TemporaryFolder Temporary { get; } = new();

    public void Dispose()
    {
        Temporary.Dispose();
        GC.SuppressFinalize(this);
    }

    private protected string Folder(string name) => Directory.CreateDirectory(Temporary[name]).FullName;

    private protected static void Write(string folder, long completed, IEnumerable<CastReport> reports)
    {
        using var history = new NumericsHistory(folder, "title", completed);
        foreach (IGrouping<long, CastReport> step in reports.GroupBy(r => r.Step))
        {
            history.Add([.. step]);
        }

        history.WriteChart();
    }

    private protected string Checkpoint(string run) => RunFolder.Checkpoints(Temporary[run])[0].Path;

    /// <summary>Weights, a batch, and scales that fit it.</summary>
    private protected static void Prepare(CpuSession session)
    {
        ParameterInitializer.Initialize(session, Drawn.Definition, 3);
        int tokens = (int)session.Dims.Tokens;
        session.Write<int>([.. Enumerable.Range(0, tokens).Select(i => i * 7 % 256)], session.Tokens);
        session.Write<int>([.. Enumerable.Range(0, tokens).Select(i => i * 11 % 256)], session.Labels);
        session.Write<float>([.. Enumerable.Repeat(1f, tokens)], session.LabelWeights);
        session.WriteState(new StepState { LossScale = 1f / tokens, Training = 1 });
        session.Plan.Program.CastWeights(session);
        for (int pass = 0; pass < 2; pass++)
        {
            session.ClearGradients();
            session.Plan.Program.TrainMicroBatch(session);
            session.Plan.Program.UpdateScales(session);
            session.Plan.Program.CastWeights(session);
        }
    }

    /// <summary>A step that changes weights.</summary>
    private protected static StepState OneStep(Session session) => new()
    {
        LossScale = 1f / session.Dims.Tokens, Training = 1, LearningRate = 1e-2f, Beta1 = 0.9f, Beta2 = 0.95f, Epsilon = 1e-8f, WeightDecay = 0.1f, BiasCorrection1 = 0.271f,
        BiasCorrection2 = 0.142625f, MaxGradientNorm = 1f,
    };

    private protected static CpuSession Session(string recipe, CpuPool pool) =>
        new(MemoryPlan.Create(Drawn.Definition, Drawn.Definition.Program(recipe), new DimBinding([2, 32, .. Drawn.Definition.Sizes[0].Values]), checkpointing: false), pool);

    private protected RecordingObserver Train(string run, string recipe, TrainerOptions options, bool queued = false)
    {
        RecordingObserver observer = new();
        using CpuPool pool = new(2);
        using CpuSession session = Session(recipe, pool);
        using RunFolder folder = RunFolder.Open(Temporary[run]);
        var trainer = new Trainer(
            Drawn.Definition, session.Plan.Program, queued ? new QueueingSession(session) : session, options, FakeModel.Data(sequence: 32), null, folder, observer);
        trainer.Start();
        trainer.Run(TestContext.Current.CancellationToken);
        return observer;
    }
}
