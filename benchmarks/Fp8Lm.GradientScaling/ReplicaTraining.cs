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

/// <summary>A small GPT on real text, one sequence per replica and step, gradients in F32 on the CPU.</summary>
internal sealed class ReplicaTraining : IDisposable
{
    private static readonly TrainerOptions schedule = new() { LearningRate = 2e-3f, WarmupSteps = 20, Schedule = ScheduleKind.WarmupStableDecay };

    private readonly Options options;
    private readonly CpuSession session;
    private readonly ModelProgram program;
    private readonly ByteCorpus corpus;
    private readonly SequenceSource data;
    private readonly StepBatch batch;
    private readonly float[][] linears;
    private readonly float[] rest;
    private readonly List<Linear> places = [];

    public ReplicaTraining(Options options, CpuPool pool)
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
        batch = new StepBatch(dims, 1, 256);
        rest = new float[session.ParameterElements];

        // What FP8-LM moves in FP8: the matrices of the blocks. Everything else stays in high precision (fact sheet 1.4).
        for (int layer = 0; layer < options.Layers; layer++)
        {
            for (int p = 0; p < Gpt.Definition.Parameters.Length; p++)
            {
                ParameterInfo parameter = Gpt.Definition.Parameters[p];
                if (parameter.Repeated && parameter.Shape(dims).Length == 2)
                {
                    places.Add(new Linear(layer, parameter.InstanceName(layer), p, (int)parameter.Elements(dims)));
                }
            }
        }

        linears = [.. Enumerable.Range(0, Replicas).Select(_ => new float[places.Sum(l => l.Elements)])];
        ParameterCount = plan.ParameterCount;
    }

    public int Replicas => options.Replicas[^1];

    public long ParameterCount { get; }

    public string Data => corpus.Fingerprint;

    public IReadOnlyList<Linear> Linears => places;

    public IReadOnlyList<GradientTensor> Tensors => [.. places.Select(l => new GradientTensor(l.Name, l.Elements))];

    /// <summary>The gradient of one replica.</summary>
    public ReadOnlySpan<float> Gradient(int replica, int tensor) => linears[replica].AsSpan(places.Take(tensor).Sum(l => l.Elements), places[tensor].Elements);

    /// <summary>Computes the gradients of all replicas for a step, counted from 1.</summary>
    /// <returns>The mean loss.</returns>
    public unsafe double ComputeGradients(int step)
    {
        Array.Clear(rest);
        double loss = 0;
        for (int replica = 0; replica < Replicas; replica++)
        {
            batch.Read(data, ((step - 1L) * Replicas) + replica);
            session.WriteState(State(step));
            session.Clear(session.GradientArena, session.ParameterElements * sizeof(float));
            batch.Load(session, 0);
            program.TrainMicroBatch(session);
            StepState state = session.ReadState();
            loss += state.LossSum / state.WeightSum / Replicas;
            int offset = 0;
            foreach (Linear linear in places)
            {
                new ReadOnlySpan<float>((void*)session.Gradient(linear.Parameter, linear.Layer), linear.Elements).CopyTo(linears[replica].AsSpan(offset));
                offset += linear.Elements;
            }

            var all = new ReadOnlySpan<float>((void*)session.GradientArena, rest.Length);
            for (int i = 0; i < rest.Length; i++)
            {
                rest[i] += all[i] / Replicas;
            }
        }

        return loss;
    }

    /// <summary>Takes the optimizer step with the FP8 mean of the matrices and the F32 mean of everything else.</summary>
    public unsafe void Optimize(GradientPayload mean)
    {
        session.Write<float>(rest, session.GradientArena);
        for (int t = 0; t < places.Count; t++)
        {
            mean.Read(t, new Span<float>((void*)session.Gradient(places[t].Parameter, places[t].Layer), places[t].Elements));
        }

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
        LossScale = (float)(1 / batch.WeightSum),
        SeedLow = (uint)options.Seed,
        MicroStep = (uint)step,
        Training = 1,
    };
}

/// <summary>A matrix of a transformer block.</summary>
internal sealed record Linear(int Layer, string Name, int Parameter, int Elements);
