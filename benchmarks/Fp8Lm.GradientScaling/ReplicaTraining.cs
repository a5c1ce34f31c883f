using System;
using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Collectives;
using Fp8Lm.Cpu;
using Fp8Lm.Data;
using Fp8Lm.Execution;
using Fp8Lm.Training;
using TinyGpt;

namespace Fp8Lm.ScalingBench;

/// <summary>A small GPT on real text, one sequence per replica and step, gradients in F32 on the CPU; what FP8-LM moves in FP8 is reduced in it.</summary>
internal sealed class ReplicaTraining : IDisposable
{
    private static readonly TrainerOptions schedule = new() { LearningRate = 2e-3f, WarmupSteps = 20, Schedule = ScheduleKind.WarmupStableDecay };

    private readonly Options options;
    private readonly CpuSession session;
    private readonly ModelProgram program;
    private readonly ByteCorpus corpus;
    private readonly SequenceSource data;
    private readonly StepBatch batch;
    private readonly ReplicaGradients replicas;
    private readonly float[][][] gradients;

    public ReplicaTraining(Options options, GradientReductionOptions reduction, CpuPool pool)
    {
        this.options = options;
        program = Gpt.Definition.Program("Fp32");
        var dims = new DimBinding(1, options.Sequence, 256, options.Sequence, options.Width, options.Width / Options.HeadSize, options.Layers);
        MemoryPlan plan = MemoryPlan.Create(Gpt.Definition, program, dims, checkpointing: false);
        session = new CpuSession(plan, pool);
        ParameterInitializer.Initialize(session, Gpt.Definition, options.Seed);
        program.CastWeights(session);
        corpus = CorpusLoader.Load([], Console.Error.WriteLine);
        data = new SequenceSource(corpus, options.Sequence, options.Seed, shuffle: true);
        batch = new StepBatch(dims, Replicas, 256);

        // What FP8-LM moves in FP8: the matrices of the blocks. Everything else stays in high precision (fact sheet 1.4).
        replicas = new ReplicaGradients(
            session, Replicas, ReductionOrder.Ring, reduction, place => Gpt.Definition.Parameters[place.Parameter] is { Repeated: true } parameter && parameter.Shape(dims).Length == 2)
        {
            Seen = (replica, tensor, values) => values.CopyTo(gradients![replica][tensor]),
        };
        Linears = replicas.Travelling;
        gradients = [.. Enumerable.Range(0, Replicas).Select(_ => Linears.Select(l => new float[l.Elements]).ToArray())];
        ParameterCount = plan.ParameterCount;
    }

    public int Replicas => options.Replicas[^1];

    public long ParameterCount { get; }

    public string Data => corpus.Fingerprint;

    /// <summary>The matrices of the transformer blocks, layer by layer.</summary>
    public IReadOnlyList<GradientPlace> Linears { get; }

    public IReadOnlyList<GradientTensor> Tensors => [.. Linears.Select(l => new GradientTensor(l.Name, l.Elements))];

    /// <summary>What reduces the gradients that train.</summary>
    public GradientReducer Reducer => replicas.Reducer!;

    /// <summary>The gradient of one replica.</summary>
    public ReadOnlySpan<float> Gradient(int replica, int tensor) => gradients[replica][tensor];

    /// <summary>Computes the gradients of all replicas for a step, counted from 1.</summary>
    /// <returns>The mean loss.</returns>
    public double ComputeGradients(int step)
    {
        batch.Read(data, (step - 1L) * Replicas);
        session.WriteState(State(step));
        for (int replica = 0; replica < Replicas; replica++)
        {
            session.ClearGradients();
            batch.Load(session, replica);
            program.TrainMicroBatch(session);
            replicas.Take(replica);
        }

        StepState state = session.ReadState();
        return state.LossSum / state.WeightSum;
    }

    /// <summary>Takes the optimizer step with the FP8 mean of the matrices and the F32 mean of everything else.</summary>
    public void Optimize()
    {
        replicas.Reduce();
        program.Optimize(session);
        if (session.ReadState().SkipStep != 0)
        {
            throw new InvalidOperationException("A gradient is not finite; lower the learning rate.");
        }
    }

    public void Dispose()
    {
        session.Dispose();
        corpus.Dispose();
    }

    private StepState State(int step) => new()
    {
        LearningRate = LearningRateSchedule.Rate(schedule with { Steps = options.Steps }, step),
        Beta1 = 0.9f,
        Beta2 = 0.95f,
        Epsilon = 1e-8f,
        WeightDecay = 0.1f,
        BiasCorrection1 = (float)(1 - Math.Pow(0.9, step)),
        BiasCorrection2 = (float)(1 - Math.Pow(0.95, step)),
        MaxGradientNorm = 1f,
        LossScale = (float)(Replicas / batch.WeightSum),
        SeedLow = (uint)options.Seed,
        MicroStep = (uint)step,
        Training = 1,
    };
}
