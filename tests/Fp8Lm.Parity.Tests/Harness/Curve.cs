using System;
using System.Collections.Generic;
using System.IO;
using System.IO.Compression;
using Fp8Lm.Cpu;
using Fp8Lm.Data;
using Fp8Lm.Execution;
using Fp8Lm.Training;

namespace Fp8Lm.Parity.Tests.Harness;

/// <summary>The run that eng/golden/make_curve.py makes in PyTorch: its docstring says what text, batches and initial weights are.</summary>
internal static class Curve
{
    private const ulong Seed = 1;
    private const int Vocabulary = 256, Context = 128, Width = 128, Heads = 4, Layers = 4, MicroBatch = 8, Sequence = 128;

    public static TrainerOptions Options { get; } = new()
    {
        Steps = 300, LearningRate = 1e-3f, LearningRateFloor = 0.1f, WarmupSteps = 20, Beta1 = 0.9f, Beta2 = 0.95f, Epsilon = 1e-8f, WeightDecay = 0.1f, MaxGradientNorm = 1,
        EvaluationInterval = 0, CheckpointInterval = 0,
    };

    /// <summary>Trains and gives every step's loss and gradient norm.</summary>
    public static List<StepReport> Train(string recipe)
    {
        ModelDefinition definition = Models.Gpt2.Definition;
        ModelProgram program = definition.Program(recipe);
        using CpuPool pool = new(Math.Min(2, Environment.ProcessorCount));
        DimBinding dims = new(MicroBatch, Sequence, Vocabulary, Context, Width, Heads, Layers);
        using CpuSession session = new(MemoryPlan.Create(definition, program, dims, checkpointing: false), pool);
        Recorder recorder = new();
        Trainer trainer = new(definition, program, session, Options, new Sequences(), null, null, recorder);
        trainer.Start(s => Initialise(s, definition));
        trainer.Run();
        return recorder.Steps;
    }

    private static void Initialise(Session session, ModelDefinition definition)
    {
        for (int p = 0; p < definition.Parameters.Length; p++)
        {
            ParameterInfo parameter = definition.Parameters[p];
            for (long layer = 0; layer < parameter.Layers(session.Dims); layer++)
            {
                session.WriteParameter(ArenaKind.Master, p, layer, Initial(parameter, layer, session.Dims));
            }
        }
    }

    private static float[] Initial(ParameterInfo parameter, long layer, DimBinding dims)
    {
        float[] values = new float[parameter.Elements(dims)];
        if (parameter.Init is InitKind.Ones or InitKind.Zeros)
        {
            System.Array.Fill(values, parameter.Init == InitKind.Ones ? 1 : 0);
            return values;
        }

        ulong key = CounterRandom.Key(Seed, parameter.InstanceName(layer));
        double deviation = parameter.Init == InitKind.ScaledNormal ? 0.02 / Math.Sqrt(2 * Layers) : 0.02;
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = (float)((((CounterRandom.Mix(key, (ulong)i) >> 40) / (double)(1 << 24)) - 0.5) * (Math.Sqrt(12) * deviation));
        }

        return values;
    }

    /// <summary>Pieces of the stored text by hash.</summary>
    private sealed class Sequences : IBatchSource
    {
        private readonly byte[] text = Text();
        private readonly ulong key = CounterRandom.Key(Seed, "sequences");

        public long SequencesPerEpoch => text.Length / Sequence;

        public string Fingerprint => "curve";

        public void Read(long number, Span<int> tokens, Span<int> labels, Span<float> weights)
        {
            int start = (int)(CounterRandom.Mix(key, (ulong)number) % (ulong)(text.Length - tokens.Length));
            for (int i = 0; i < tokens.Length; i++)
            {
                (tokens[i], labels[i], weights[i]) = (text[start + i], text[start + i + 1], 1);
            }
        }

        private static byte[] Text()
        {
            using GZipStream file = new(File.OpenRead(GoldenFile.Path("Curve.txt.gz")), CompressionMode.Decompress);
            using MemoryStream bytes = new();
            file.CopyTo(bytes);
            return bytes.ToArray();
        }
    }

    private sealed class Recorder : ITrainingObserver
    {
        public List<StepReport> Steps { get; } = [];

        public void OnStep(StepReport report) => Steps.Add(report);

        public void OnEvaluation(long step, double loss)
        {
        }

        public void OnCheckpoint(string path)
        {
        }

        public void OnMessage(string message)
        {
        }
    }
}
