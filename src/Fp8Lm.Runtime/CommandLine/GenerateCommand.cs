using System;
using System.CommandLine;
using System.Globalization;
using System.Linq;
using Fp8Lm.Checkpoints;
using Fp8Lm.Data;
using Fp8Lm.Execution;
using Fp8Lm.Training;
using Spectre.Console;

namespace Fp8Lm.CommandLine;

/// <summary><c>generate</c>: continues a text with the model of a checkpoint, in the recipe and size it was trained with.</summary>
internal sealed class GenerateCommand(ModelDefinition definition, AppDefaults defaults, AppOptions options, IAnsiConsole console)
{
    public int Run(ParseResult parsed)
    {
        string checkpoint = RunLocation.ForGeneration(parsed.GetValue(options.From), defaults.Runs, definition.Name);
        CheckpointState state = TrainingCheckpoint.ReadState(checkpoint);
        if (state.Model != definition.Name || !state.Dims.Select(d => d.Key).SequenceEqual(definition.Dims))
        {
            throw new UsageException($"{checkpoint} is not a checkpoint of {definition.Name} as it is now.");
        }

        ModelProgram program = ModelChoice.Program(definition, state.Recipe);
        long sequence = state.Settings.TryGetValue("sequence", out string? text) && long.TryParse(text, CultureInfo.InvariantCulture, out long trained) && trained is > 0 and <= int.MaxValue
            ? trained
            : defaults.Sequence;
        var dims = new DimBinding([1, sequence, .. state.Dims.Select(d => d.Value)]);
        using ExecutionDevice device = ExecutionDevice.Open(parsed.GetValue(options.Device)!);
        using Session session = Open(definition, program, dims, device, checkpoint);
        Print(console, definition, program, session, parsed.GetValue(options.Prompt)!, parsed.GetValue(options.Length), options.Sampling(parsed));
        return Fp8App.Success;
    }

    /// <summary>A session of micro-batch 1 without gradients and moments, with the weights of a checkpoint.</summary>
    public static Session Open(ModelDefinition definition, ModelProgram program, DimBinding dims, ExecutionDevice device, string checkpoint)
    {
        long[] values = new long[dims.Count];
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = i == DimBinding.MicroBatch ? 1 : dims[i];
        }

        Session session = device.CreateSession(MemoryPlan.Create(definition, program, new DimBinding(values), checkpointing: false, training: false));
        try
        {
            TrainingCheckpoint.Load(checkpoint, session, definition, program);
            program.CastWeights(session);
            return session;
        }
        catch
        {
            session.Dispose();
            throw;
        }
    }

    /// <summary>Prints the prompt and its continuation.</summary>
    public static void Print(IAnsiConsole console, ModelDefinition definition, ModelProgram program, Session session, string prompt, int length, SamplingOptions sampling)
    {
        var tokenizer = new ByteTokenizer();
        int[] start = tokenizer.Encode(prompt.Length > 0 ? prompt : "\n");
        var generator = new TextGenerator(definition, program, session);
        int[] tokens = [.. start, .. generator.Continue(start, sampling, tokenizer.VocabularySize).Take(length)];

        // A model may print escape sequences; a terminal should not obey them.
        string text = string.Concat(tokenizer.Decode(tokens).Select(c => char.IsControl(c) && c is not '\n' and not '\t' ? '\uFFFD' : c));
        console.Profile.Out.Writer.WriteLine(text);
    }
}
