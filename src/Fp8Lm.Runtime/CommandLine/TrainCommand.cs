using System;
using System.CommandLine;
using System.IO;
using System.Threading;
using Fp8Lm.Checkpoints;
using Fp8Lm.Cpu;
using Fp8Lm.Data;
using Fp8Lm.Execution;
using Fp8Lm.Training;
using Spectre.Console;

namespace Fp8Lm.CommandLine;

/// <summary><c>train</c>: data, session, trainer, loss curve, a sample of text, summary.</summary>
internal sealed class TrainCommand(ModelDefinition definition, AppDefaults defaults, AppOptions options, IAnsiConsole console)
{
    public int Run(ParseResult parsed)
    {
        // Everything that can be wrong is looked at before the first byte is written or allocated.
        TrainerOptions training = options.Trainer(parsed);
        training.Validate();
        ModelSizeInfo size = ModelChoice.Size(definition, parsed.GetValue(options.Size)!);
        ModelProgram program = ModelChoice.Program(definition, parsed.GetValue(options.Recipe)!);
        DimBinding dims = ModelChoice.Bind(size, parsed.GetValue(options.MicroBatch), parsed.GetValue(options.Sequence));
        string device = Devices.Resolve(parsed.GetValue(options.Device)!);
        bool resume = parsed.GetValue(options.Resume);
        var tokenizer = new ByteTokenizer();
        CheckVocabulary(tokenizer, dims);
        CheckSummary(parsed.GetValue(options.Summary));

        MemoryPlan plan = MemoryPlan.Create(definition, program, dims, parsed.GetValue(options.Checkpointing));
        string path = RunLocation.ForTraining(
            parsed.GetValue(options.Out), defaults.Runs, ModelChoice.FolderName(definition.Name, size.Name, program.Recipe), resume);
        using ByteCorpus corpus = CorpusLoader.Load(parsed.GetValue(options.Data)!, Say);
        (ITokenSource text, ITokenSource? held) = CorpusLoader.Split(corpus, dims[DimBinding.Sequence], defaults.ValidationFraction);
        using RunFolder folder = RunFolder.Open(path);
        using var pool = new CpuPool();
        using Session session = Devices.Create(device, plan, pool);
        int sequence = (int)dims[DimBinding.Sequence];
        var data = new SequenceSource(text, sequence, training.Seed, shuffle: true);
        SequenceSource? validation = held is null ? null : new SequenceSource(held, sequence, training.Seed, shuffle: false);
        Introduce(plan, size, session, corpus, folder);

        var progress = new ConsoleProgress(console, training.Steps);
        var trainer = new Trainer(definition, program, session, training, data, validation, folder, progress);
        Begin(trainer, resume, folder);
        using var history = new LossHistory(folder.Path, trainer.Step);
        progress.History = history;
        TrainingResult result = Train(trainer, progress);
        history.WriteChart($"{definition.Name} {size.Name}, {program.Recipe}: loss");
        Conclude(result, history, folder);
        RunSummary.Write(parsed.GetValue(options.Summary), definition, size, program, session, result, folder.CheckpointPath(result.Steps));
        if (result.Interrupted)
        {
            Say("Interrupted; go on with --resume.");
            return Fp8App.Interrupted;
        }

        int length = parsed.GetValue(options.Length);
        if (length > 0)
        {
            Sample(parsed, folder.CheckpointPath(result.Steps), program, dims, device, pool, length);
        }

        return Fp8App.Success;
    }

    private static TrainingResult Train(Trainer trainer, ConsoleProgress progress)
    {
        using var interruption = new Interruption();
        return progress.Show(() => trainer.Run(interruption.Token));
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

    private void Introduce(MemoryPlan plan, ModelSizeInfo size, Session session, ByteCorpus corpus, RunFolder folder)
    {
        Say($"{definition.Name} {size.Name}: {plan.ParameterCount / 1e6:F2} M parameters, recipe {plan.Program.Recipe}, {session.Device}, {Units.Bytes(plan.TotalBytes)} planned.");
        Say($"Data: {corpus.Count / 1e6:F1} M tokens in {corpus.Documents} documents. Run: {folder.Path}");
    }

    private void Conclude(TrainingResult result, LossHistory history, RunFolder folder)
    {
        string held = result.ValidationLoss is { } loss ? $", held-out loss {loss:F4}" : "";
        Say($"Step {result.Steps}: training loss {result.TrainLoss:F4}{held}, {result.TokensPerSecond:F0} tokens/s, {result.Seconds:F1} s.");
        Say($"Loss {LossChart.Sparkline(history.Training)}  {Path.GetRelativePath(Directory.GetCurrentDirectory(), history.ChartPath)}");
        Say($"Checkpoint {Path.GetRelativePath(Directory.GetCurrentDirectory(), folder.CheckpointPath(result.Steps))}");
    }

    private void Sample(ParseResult parsed, string checkpoint, ModelProgram program, DimBinding dims, string device, CpuPool pool, int length)
    {
        using Session session = GenerateCommand.Open(definition, program, dims, device, pool, checkpoint);
        string prompt = parsed.GetValue(options.Prompt)!;
        console.WriteLine();
        GenerateCommand.Print(console, definition, program, session, prompt, length, Sampling(parsed));
    }

    private SamplingOptions Sampling(ParseResult parsed) =>
        new(parsed.GetValue(options.Temperature), parsed.GetValue(options.TopK), parsed.GetValue(options.Seed));

    private void CheckVocabulary(ByteTokenizer tokenizer, DimBinding dims)
    {
        long vocabulary = Trainer.Vocabulary(definition, dims);
        if (vocabulary < tokenizer.VocabularySize)
        {
            throw new UsageException($"The vocabulary of this size has {vocabulary} tokens; text is read byte by byte and needs {tokenizer.VocabularySize}.");
        }
    }

    private static void CheckSummary(string? path)
    {
        if (path is not null)
        {
            Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(path))!);
        }
    }

    private void Say(FormattableString text) => Say(FormattableString.Invariant(text));

    private void Say(string text) => console.WriteLine(text);
}
