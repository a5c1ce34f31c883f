using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Linq;
using Fp8Lm.Cuda;
using Fp8Lm.Execution;
using Fp8Lm.Training;
using TinyGpt;

namespace Fp8Lm.GpuBench;

/// <summary>One case on a GPU: set up, timed, profiled.</summary>
internal sealed class Measurement : IDisposable
{
    private const int WarmUp = 5;
    private const int ProfiledSteps = 3;

    private readonly BenchCase bench;
    private readonly CudaSession session;
    private readonly ModelProgram program;
    private readonly RandomTokens data;
    private readonly long free;

    public Measurement(BenchCase bench, CudaDevice device)
    {
        this.bench = bench;
        program = Gpt.Definition.Program(bench.Recipe);
        MemoryPlan plan = MemoryPlan.Create(Gpt.Definition, program, bench.Dims, checkpointing: false);
        long start = Stopwatch.GetTimestamp();
        using var outside = new CudaContext(device);
        free = outside.Memory().Free;
        ContextSeconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        start = Stopwatch.GetTimestamp();
        session = new CudaSession(plan, device);
        SessionSeconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        data = new RandomTokens(Trainer.Vocabulary(Gpt.Definition, bench.Dims));
        start = Stopwatch.GetTimestamp();
        Trainer trainer = TrainerOf(1);
        trainer.Start();
        StartSeconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        start = Stopwatch.GetTimestamp();
        trainer.Run();
        FirstStepSeconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    /// <summary>Seconds until the device answers.</summary>
    public double ContextSeconds { get; }

    /// <summary>Seconds for memory and kernels.</summary>
    public double SessionSeconds { get; }

    /// <summary>Seconds for initial weights and first scales.</summary>
    public double StartSeconds { get; }

    /// <summary>Seconds of the first step.</summary>
    public double FirstStepSeconds { get; }

    public MemoryPlan Plan => session.Plan;

    public string Gpu => session.Device;

    /// <summary>Bytes of the device that the session has taken, by the driver's count; for a stack without master weights and moments, which the peers leave out too.</summary>
    public long UsedBytes => free - session.Context.Memory().Free - (bench.Trains ? 0 : Plan.Bytes(BufferCategory.Optimizer));

    /// <summary>Tokens per second by the clock of a trainer over its last steps, batches and reports included.</summary>
    public double TrainerRate(int steps)
    {
        // Reports tell the rate of up to twenty steps; the first of all are not among them.
        var rate = new LastRate();
        Trainer trainer = TrainerOf(20 + steps, rate);
        trainer.Start(weights: null);
        trainer.Run();
        return rate.TokensPerSecond;
    }

    /// <summary>Milliseconds of replayed steps, each between two events.</summary>
    public IReadOnlyList<double> Time(int steps)
    {
        Step(session);
        session.Synchronize();
        using CudaGraph graph = CudaGraph.Capture(session.Context, () => Step(session));
        using CudaEvent before = new(session.Context), after = new(session.Context);
        double[] times = new double[WarmUp + steps];
        for (int i = 0; i < times.Length; i++)
        {
            times[i] = Milliseconds();
        }

        return [.. times.Skip(WarmUp).Order()];

        double Milliseconds()
        {
            before.Record();
            graph.Launch();
            after.Record();
            after.Synchronize();
            return after.MillisecondsSince(before);
        }
    }

    /// <summary>Time by kernel, per step.</summary>
    public IEnumerable<KernelCost> Profile()
    {
        var profile = new KernelProfile(program.Kernels);
        var traffic = new TrafficSession(session);
        Step(traffic);
        session.Synchronize();
        session.Profile(profile);
        Step(session);
        session.Synchronize();
        session.Profile(null);
        profile.Restart();
        session.Profile(profile);
        for (int i = 0; i < ProfiledSteps; i++)
        {
            Step(session);
        }

        session.Profile(null);
        return profile.Times().Select(t => new KernelCost(
            program.Kernels[t.Kernel].Name, (double)t.Calls / ProfiledSteps, t.Seconds / ProfiledSteps, t.Seconds / t.Calls, traffic.Flops(t.Kernel), traffic.Bytes(t.Kernel)));
    }

    public void Dispose() => session.Dispose();

    private Trainer TrainerOf(int steps, ITrainingObserver? observer = null) =>
        new(Gpt.Definition, program, session, new TrainerOptions { Steps = steps, WarmupSteps = 0, LearningRate = 1e-4f }, data, null, null, observer);


    /// <summary>
    /// A stack starts from cleared gradients and, in recipes with FP8, casts the weights and updates the scales, which the peers do too; in BF16 the
    /// casts belong to the optimizer, there as here.
    /// </summary>
    private void Step(Session target)
    {
        target.ClearGradients();
        program.TrainMicroBatch(target);
        if (bench.Trains)
        {
            program.Optimize(target);
        }
        else if (program.Scaling is not null)
        {
            program.UpdateScales(target);
            program.CastWeights(target);
        }
    }
}

/// <summary>Keeps the rate of the last report.</summary>
internal sealed class LastRate : ITrainingObserver
{
    public double TokensPerSecond { get; private set; }

    public void OnStep(StepReport report) => TokensPerSecond = report.TokensPerSecond;

    public void OnEvaluation(long step, double loss)
    {
    }

    public void OnCheckpoint(string path)
    {
    }

    public void OnMessage(string message) => Console.Error.WriteLine(message);
}

/// <summary>What one kernel costs.</summary>
/// <param name="Name">The kernel.</param>
/// <param name="Calls">Launches of a step.</param>
/// <param name="StepSeconds">Seconds of a step.</param>
/// <param name="CallSeconds">Seconds of a launch.</param>
/// <param name="Flops">FLOPs of a launch; 0: none.</param>
/// <param name="Bytes">Least bytes of a launch; 0: not known.</param>
internal sealed record KernelCost(string Name, double Calls, double StepSeconds, double CallSeconds, double Flops, long Bytes);
