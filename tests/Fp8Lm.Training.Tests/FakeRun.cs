using System;
using System.Collections.Generic;
using System.IO;
using System.Threading;
using Fp8Lm.Checkpoints;
using Fp8Lm.Collectives;
using Fp8Lm.Data;
using Fp8Lm.Execution;
using Fp8Lm.Numerics;
using Fp8Lm.Training.Tests.Fake;

namespace Fp8Lm.Training.Tests;

/// <summary>Trains the fake model in a folder.</summary>
internal static class FakeRun
{
    public static TrainerOptions Options { get; } = new()
    {
        Steps = 20, LearningRate = 0.02f, WarmupSteps = 4, CheckpointInterval = 100, EvaluationInterval = 0, EvaluationBatches = 2, Seed = 1,
    };

    public static TrainingResult Train(
        string folder, TrainerOptions options, bool resume = false, bool evaluate = true, ITrainingObserver? observer = null,
        FakeProgram? program = null, IBatchSource? data = null, CancellationTokenSource? interruption = null)
    {
        program ??= new FakeProgram();
        using CpuSession session = FakeModel.Session(program);
        using RunFolder run = RunFolder.Open(folder);
        var trainer = new Trainer(
            FakeModel.Definition, program, session, options, data ?? FakeModel.Data(), evaluate ? FakeModel.Data(seed: 9) : null, run, observer);
        if (!resume || !trainer.Resume(folder))
        {
            trainer.Start();
        }

        return trainer.Run(interruption?.Token ?? default);
    }

    /// <summary>Trains and gives the bytes of the last checkpoint.</summary>
    public static byte[] TrainToBytes(string folder, TrainerOptions options, bool resume = false, bool evaluate = true, ITrainingObserver? observer = null)
    {
        Train(folder, options, resume, evaluate, observer);
        return File.ReadAllBytes(RunFolder.Checkpoints(folder)[0].Path);
    }
}

internal sealed class RecordingObserver : ITrainingObserver
{
    public List<StepReport> Steps { get; } = [];

    public List<(long Step, double Loss)> Evaluations { get; } = [];

    public List<string> Messages { get; } = [];

    public List<(long Step, IReadOnlyList<ReductionNumerics> Numerics)> Reductions { get; } = [];

    public List<CastReport> Casts { get; } = [];

    public Action<StepReport>? Stepped { get; init; }

    public Action<string>? Saved { get; init; }

    public void OnStep(StepReport report)
    {
        Steps.Add(report);
        Stepped?.Invoke(report);
    }

    public void OnReduction(long step, IReadOnlyList<ReductionNumerics> numerics) => Reductions.Add((step, numerics));

    public void OnNumerics(IReadOnlyList<CastReport> reports) => Casts.AddRange(reports);

    public void OnEvaluation(long step, double loss) => Evaluations.Add((step, loss));

    public void OnCheckpoint(string path) => Saved?.Invoke(path);

    public void OnMessage(string message) => Messages.Add(message);
}

/// <summary>A folder that disappears with the test.</summary>
internal sealed class TemporaryFolder : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("fp8lm-test-").FullName;

    public string this[string name] => System.IO.Path.Combine(Path, name);

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
