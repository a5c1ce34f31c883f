using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Linq;
using Fp8Lm.Checkpoints;
using Fp8Lm.Cpu;
using Fp8Lm.Cuda;
using Fp8Lm.Data;
using Fp8Lm.Execution;
using Fp8Lm.Training;
using TinyGpt;

namespace Fp8Lm.LossCurves;

/// <summary>
/// Our half of <c>benchmarks/curve.sh</c>: <c>text FILE [PATH...]</c> writes the text to train on, <c>prepare FOLDER TEXT key=value...</c> what both sides start from,
/// <c>train FOLDER RECIPE SEED cpu|cuda</c> trains the sample GPT and writes its losses.
/// </summary>
internal static class Program
{
    private const string Usage = """
        Fp8Lm.LossCurves text FILE [PATH...]
        Fp8Lm.LossCurves prepare FOLDER TEXT [size=Gpt125M] [steps=300] [batch=8] [sequence=1024] [lr=6e-4] [warmup=30] [seeds=1,2,3,4,5]
        Fp8Lm.LossCurves train FOLDER RECIPE SEED cpu|cuda
        """;

    private static int Main(string[] args)
    {
        CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;
        try
        {
            switch (args)
            {
                case ["text", var file, .. var paths]:
                    WriteText(file, paths);
                    return 0;
                case ["prepare", var folder, var text, .. var settings]:
                    Prepare(folder, text, settings);
                    return 0;
                case ["train", var folder, var recipe, var seed, "cpu" or "cuda"]:
                    Train(folder, recipe, ulong.Parse(seed, CultureInfo.InvariantCulture), args[^1] == "cuda");
                    return 0;
                default:
                    Console.Error.WriteLine(Usage);
                    return 2;
            }
        }
        catch (Exception failure) when (failure is ArgumentException or FormatException or IOException or DataException or CheckpointException or CudaException
            or InsufficientMemoryException or TrainingException or DimensionException)
        {
            Console.Error.WriteLine(failure.Message);
            return 1;
        }
    }

    private static void WriteText(string file, string[] paths)
    {
        using ByteCorpus corpus = CorpusLoader.Load(paths, Console.Error.WriteLine);
        int[] tokens = new int[1 << 16];
        using FileStream stream = File.Create(file);
        for (long start = 0; start < corpus.Count; start += tokens.Length)
        {
            Span<int> piece = tokens.AsSpan(0, (int)Math.Min(tokens.Length, corpus.Count - start));
            corpus.Read(start, piece);
            stream.Write(piece.ToArray().Select(t => (byte)t).ToArray());
        }

        Console.Error.WriteLine($"{file}: {corpus.Count} bytes of {corpus.Documents} documents");
    }

    private static void Prepare(string folder, string text, string[] settings)
    {
        Dictionary<string, string> given = settings.Select(s => s.Split('=', 2)).ToDictionary(s => s[0], s => s.Length == 2 ? s[1] : "");
        using ByteCorpus corpus = CorpusLoader.Load([text], Console.Error.WriteLine);
        var plan = new CurvePlan
        {
            Size = Take("size", "Gpt125M"),
            MicroBatch = long.Parse(Take("batch", "8"), CultureInfo.InvariantCulture),
            Sequence = int.Parse(Take("sequence", "1024"), CultureInfo.InvariantCulture),
            Steps = long.Parse(Take("steps", "300"), CultureInfo.InvariantCulture),
            LearningRate = float.Parse(Take("lr", "6e-4"), CultureInfo.InvariantCulture),
            WarmupSteps = long.Parse(Take("warmup", "30"), CultureInfo.InvariantCulture),
            Seeds = [.. Take("seeds", "1,2,3,4,5").Split(',').Select(s => ulong.Parse(s, CultureInfo.InvariantCulture))],
            TextBytes = corpus.Count,
        };
        if (given.Count > 0)
        {
            throw new ArgumentException($"prepare does not know {string.Join(", ", given.Keys)}.\n{Usage}");
        }

        Directory.CreateDirectory(folder);
        plan.Save(folder);
        using CpuPool pool = new();
        MemoryPlan memory = MemoryPlan.Create(Gpt.Definition, Gpt.Definition.Program("Fp32"), plan.DimsOf(1, 16), checkpointing: false, training: false);
        using CpuSession session = new(memory, pool);
        foreach (ulong seed in plan.Seeds)
        {
            BatchFile.Write(plan, corpus, folder, seed);
            ParameterInitializer.Initialize(session, Gpt.Definition, seed);
            WeightFile.Write(session, WeightFile.PathOf(folder, seed));
        }

        string Take(string key, string otherwise) => given.Remove(key, out string? value) ? value : otherwise;
    }

    private static void Train(string folder, string recipe, ulong seed, bool cuda)
    {
        CurvePlan plan = CurvePlan.Load(folder);
        ModelProgram program = Gpt.Definition.Program(recipe);
        var data = new BatchFile(plan, folder, seed);
        MemoryPlan memory = MemoryPlan.Create(Gpt.Definition, program, plan.Dims, checkpointing: false);
        var recorder = new CurveRecorder($"fp8lm {recipe} {seed}");
        using CpuPool? pool = cuda ? null : new CpuPool();
        using Session session = cuda
            ? new CudaSession(memory, CudaDevice.Find(out string problem) ?? throw new CudaException(problem))
            : new CpuSession(memory, pool!);
        Trainer trainer = new(Gpt.Definition, program, session, plan.Options, data, null, null, recorder);
        trainer.Start(s => WeightFile.Read(s, WeightFile.PathOf(folder, seed)));
        trainer.Run();
        recorder.Save(folder, recipe, seed, session.Device);
    }
}
