using System;
using System.CommandLine;
using System.IO;
using Fp8Lm.Checkpoints;
using Fp8Lm.Cuda;
using Fp8Lm.Data;
using Fp8Lm.Execution;
using Fp8Lm.Training;
using Spectre.Console;

namespace Fp8Lm.CommandLine;

/// <summary>
/// The command line of a project with a model: <c>train</c> (also without a word), <c>generate</c>, <c>plan</c> and <c>kernels</c>. One call in
/// <c>Main</c>: <c>return Fp8App.Run&lt;MyModel&gt;(args);</c>
/// </summary>
public static class Fp8App
{
    internal const int Success = 0, Failure = 1, WrongUsage = 2, Interrupted = 130;

    /// <summary>Runs the command line.</summary>
    /// <typeparam name="TModel">The model.</typeparam>
    /// <param name="args">Arguments of <c>Main</c>.</param>
    /// <param name="defaults">What holds when the user does not say otherwise.</param>
    /// <returns>Exit code: 0 success, 1 failure, 2 wrong arguments, 130 interrupted (with a checkpoint).</returns>
    public static int Run<TModel>(string[] args, AppDefaults? defaults = null) where TModel : IFp8Model =>
        Run(TModel.Definition, args, defaults ?? new AppDefaults(), AnsiConsole.Console, Console.Error);

    internal static int Run(ModelDefinition definition, string[] args, AppDefaults defaults, IAnsiConsole console, TextWriter errors)
    {
        if (!console.Profile.Out.IsTerminal)
        {
            // Lines of a file are as long as they are; only a terminal has an edge to wrap at.
            console.Profile.Width = 4096;
        }

        RootCommand root = Commands(definition, defaults, console);
        ParseResult parsed = root.Parse(args);
        if (parsed.Errors.Count > 0)
        {
            foreach (System.CommandLine.Parsing.ParseError error in parsed.Errors)
            {
                errors.WriteLine(error.Message);
            }

            errors.WriteLine("Use --help for what is allowed.");
            return WrongUsage;
        }

        try
        {
            return parsed.Invoke(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null, Error = errors });
        }
        catch (Exception failure) when (ExitCode(failure) is { } code)
        {
            errors.WriteLine(failure.Message);
            return code;
        }
    }

    /// <summary>Exit code of failures whose message is all that a user needs; null for bugs, which keep their stack trace.</summary>
    private static int? ExitCode(Exception failure) => failure switch
    {
        UsageException or DimensionException => WrongUsage,
        DataException or CheckpointException or TrainingException or CudaException => Failure,
        IOException or UnauthorizedAccessException or InsufficientMemoryException => Failure,
        _ => null,
    };

    private static RootCommand Commands(ModelDefinition definition, AppDefaults defaults, IAnsiConsole console)
    {
        var options = new AppOptions(definition, defaults);
        var root = new RootCommand($"{definition.Name}: trains a model that was compiled by Fp8Lm, and uses it.");
        var train = new Command("train", "Trains the model on text; also what happens without a command.");
        var generate = new Command("generate", "Continues a text with a trained model.");
        var plan = new Command("plan", "Shows the memory by category that a size needs and what FP8 does to its linears; allocates nothing.");
        var kernels = new Command("kernels", "Writes the emitted CUDA kernels and the printed IR to a folder.");
        foreach (Command command in (ReadOnlySpan<Command>)[root, train])
        {
            options.AddTo(command, options.Train);
            command.SetAction(parsed => new TrainCommand(definition, defaults, options, console).Run(parsed));
        }

        options.AddTo(generate, options.Generate);
        generate.SetAction(parsed => new GenerateCommand(definition, defaults, options, console).Run(parsed));
        plan.Add(options.SizeArgument);
        options.AddTo(plan, options.Plan);
        plan.SetAction(parsed => new PlanCommand(definition, options, console).Run(parsed));
        options.AddTo(kernels, options.Kernels);
        kernels.SetAction(parsed => new KernelsCommand(definition, options, console).Run(parsed));
        root.Add(train);
        root.Add(generate);
        root.Add(plan);
        root.Add(kernels);
        return root;
    }
}
