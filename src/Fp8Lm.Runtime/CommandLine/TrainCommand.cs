using System;
using System.CommandLine;
using System.IO;
using System.Linq;
using Fp8Lm.Checkpoints;
using Fp8Lm.Collectives;
using Fp8Lm.Cuda;
using Fp8Lm.Data;
using Fp8Lm.Execution;
using Fp8Lm.Execution.Cost;
using Fp8Lm.Training;
using Spectre.Console;

namespace Fp8Lm.CommandLine;

/// <summary><c>train</c>: data, session, trainer, loss curve, summary, a sample of text.</summary>
internal sealed class TrainCommand(ModelDefinition definition, AppDefaults defaults, AppOptions options, IAnsiConsole console)
{
    public int Run(ParseResult parsed)
    {
        // Everything that can be wrong is looked at before the first byte is written or allocated.
        TrainerOptions training = options.Trainer(parsed);
        ModelSizeInfo size = ModelChoice.Size(definition, parsed.GetValue(options.Size)!);
        ModelProgram program = ModelChoice.Program(definition, parsed.GetValue(options.Recipe)!);
        DimBinding dims = ModelChoice.Bind(size, parsed.GetValue(options.MicroBatch), parsed.GetValue(options.Sequence));
        CheckSizes(program, dims);
        CheckReduction(program, training);
        if (training.NumericsInterval > 0 && program.Casts.Count == 0)
        {
            Say($"Recipe {program.Recipe} casts nothing to FP8 and keeps masters and moments in F32, so --numerics has nothing to count.");
        }

        string? summary = parsed.GetValue(options.Summary);
        CreateFolderOf(summary);
        bool resume = parsed.GetValue(options.Resume);
        string path = RunLocation.ForTraining(
            parsed.GetValue(options.Out), defaults.Runs, ModelChoice.FolderName(definition.Name, size.Name, program.Recipe), resume);
        using ExecutionDevice device = ExecutionDevice.Open(parsed.GetValue(options.Device)!);
        if (device.Notice is { } notice)
        {
            Say(notice);
        }

        using ByteCorpus corpus = CorpusLoader.Load(parsed.GetValue(options.Data)!, Say);
        (ITokenSource text, ITokenSource? held) = CorpusLoader.Split(corpus, dims[DimBinding.Sequence], defaults.ValidationFraction);
        Trainer.CheckReplicas(training, dims, (text.Count - 1) / dims[DimBinding.Sequence]);
        using RunFolder folder = RunFolder.Open(path);

        TrainingResult result;
        using (Session session = device.CreateSession(MemoryPlan.Create(definition, program, dims, parsed.GetValue(options.Checkpointing) || program.PrefersCheckpointing)))
        {
            Introduce(session, size, corpus, folder);
            result = Train(session, program, size, training, text, held, folder, resume);
            RunSummary.Write(summary, definition, size, program, session, result, folder.CheckpointPath(result.Steps));
        }

        if (result.Interrupted)
        {
            Say("Interrupted; go on with --resume.");
            return Fp8App.Interrupted;
        }

        // The memory of training is given back by now: generation plans its own, without gradients and moments.
        int length = parsed.GetValue(options.Length);
        if (length > 0)
        {
            using Session session = GenerateCommand.Open(definition, program, dims, device, folder.CheckpointPath(result.Steps));
            console.WriteLine();
            GenerateCommand.Print(console, definition, program, session, parsed.GetValue(options.Prompt)!, length, options.Sampling(parsed));
        }

        return Fp8App.Success;
    }

    private TrainingResult Train(
        Session session, ModelProgram program, ModelSizeInfo size, TrainerOptions training, ITokenSource text, ITokenSource? held, RunFolder folder, bool resume)
    {
        int sequence = (int)session.Dims[DimBinding.Sequence];
        var data = new SequenceSource(text, sequence, training.Seed, shuffle: true);
        SequenceSource? validation = held is null ? null : new SequenceSource(held, sequence, training.Seed, shuffle: false);
        var progress = new ConsoleProgress(console, training.Steps);
        var trainer = new Trainer(definition, program, session, training, data, validation, folder, progress);

        Introduce(trainer.Replicas, training);

        // From here on a signal ends the run with a checkpoint, be it during the first compilation or calibration.
        using var interruption = new Interruption();
        Begin(trainer, resume, folder);
        using var history = new LossHistory(folder.Path, trainer.Step);
        progress.History = history;

        // A run that goes on without counting keeps what there is, but not beyond the step that it goes on from.
        bool counts = training.NumericsInterval > 0 && program.Casts.Count > 0;
        using NumericsHistory? numerics = counts || NumericsHistory.Exists(folder.Path) ? new NumericsHistory(folder.Path, $"{definition.Name} {size.Name}, {program.Recipe}: numerics of casts", trainer.Step) : null;
        progress.Numerics = numerics;
        TrainingResult result = progress.Show(() => trainer.Run(interruption.Token));
        history.WriteChart($"{definition.Name} {size.Name}, {program.Recipe}: loss");
        numerics?.WriteChart();
        Conclude(result, history, folder);
        if (counts)
        {
            Say($"Numerics {Path.GetRelativePath(Directory.GetCurrentDirectory(), numerics!.ChartPath)}");
        }

        return result;
    }

    private void Begin(Trainer trainer, bool resume, RunFolder folder)
    {
        if (resume && trainer.Resume(folder.Path))
        {
            Say($"Resumed after step {trainer.Step}.");
            return;
        }

        if (resume)
        {
            Say($"No checkpoint in {folder.Path}: starting from the beginning.");
        }

        trainer.Start();
    }

    private void Introduce(Session session, ModelSizeInfo size, ByteCorpus corpus, RunFolder folder)
    {
        MemoryPlan plan = session.Plan;
        Say($"{definition.Name} {size.Name}: {Units.Count(plan.ParameterCount)} parameters, recipe {plan.Program.Recipe}, {session.Device}, {Units.Bytes(plan.TotalBytes)} planned.");
        if (session is CudaSession)
        {
            foreach (string sentence in Fp8Advice.Sentences(plan.Program, plan.Dims))
            {
                Say(sentence);
            }
        }

        Say($"Data: {Units.Count(corpus.Count)} tokens, {corpus.Documents} document{(corpus.Documents == 1 ? "" : "s")}. Run: {folder.Path}");
    }

    private void Introduce(ReplicaGradients? replicas, TrainerOptions training)
    {
        if (replicas is not null)
        {
            string how = replicas.Reducer is null ? "gradients averaged in F32"
                : $"gradients of {replicas.Travelling.Count} matrices reduced in FP8 ({ReductionMode.NameOf(training.Reduction ?? new())}), the others averaged in F32";
            Say($"{replicas.Replicas} replicas, {how}; {Units.Bytes(replicas.Bytes)} of host memory besides.");
        }
    }

    private void Conclude(TrainingResult result, LossHistory history, RunFolder folder)
    {
        string held = result.ValidationLoss is { } loss ? FormattableString.Invariant($", held-out loss {loss:F4}") : "";
        Say($"Step {result.Steps}: training loss {result.TrainLoss:F4}{held}, {result.TokensPerSecond:F0} tokens/s, {result.Seconds:F1} s.");
        Say($"{LossChart.Sparkline(history.Training)}");
        Say($"Loss curve {Path.GetRelativePath(Directory.GetCurrentDirectory(), history.ChartPath)}");
        Say($"Checkpoint {Path.GetRelativePath(Directory.GetCurrentDirectory(), folder.CheckpointPath(result.Steps))}");
    }

    private void CheckSizes(ModelProgram program, DimBinding dims)
    {
        long vocabulary = Trainer.Vocabulary(definition, dims);
        int needed = new ByteTokenizer().VocabularySize;
        if (vocabulary < needed)
        {
            throw new UsageException($"The vocabulary of this size has {vocabulary} tokens; text is read byte by byte and needs {needed}.");
        }

        const int alignment = 16;
        if (program.Scaling is not null && dims.Tokens % alignment != 0)
        {
            throw new UsageException(
                $"Recipe {program.Recipe} needs --micro-batch times --sequence to be a multiple of {alignment} (FP8 rows); "
                + $"{dims[DimBinding.MicroBatch]} x {dims[DimBinding.Sequence]} is {dims.Tokens}.");
        }
    }

    private void CheckReduction(ModelProgram program, TrainerOptions training)
    {
        if (training.Reduction is not null && !ReplicaGradients.StoresFp8(program))
        {
            string[] others = [.. definition.Recipes.Where(r => ReplicaGradients.StoresFp8(definition.Program(r)))];
            string advice = others.Length > 0 ? $"use one of the recipes that have: {string.Join(", ", others)}" : "compile the model with a recipe that has, such as Fp8LmO2";
            throw new UsageException(
                $"--gradient-scaling says how FP8 gradients are reduced, but recipe {program.Recipe} has no FP8 gradients; its replicas are averaged in F32. Leave --gradient-scaling out, or {advice}.");
        }
    }

    private static void CreateFolderOf(string? file)
    {
        if (file is not null)
        {
            Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(file))!);
        }
    }

    private void Say(FormattableString text) => Say(FormattableString.Invariant(text));

    private void Say(string text) => console.WriteLine(text);
}
