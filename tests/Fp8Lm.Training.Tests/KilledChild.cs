using System;
using System.Diagnostics;
using System.IO;
using Fp8Lm.CommandLine;
using Fp8Lm.Training.Tests.Fake;

namespace Fp8Lm.Training.Tests;

/// <summary>
/// The processes that tests kill and interrupt: this very executable, started with an environment variable. With a folder it trains there with a
/// checkpoint after every step, as a resumed run if there is anything to resume; with arguments it is the command line of a project,
/// of the fake model or of a compiled one.
/// </summary>
internal static class KilledChild
{
    public const string FolderVariable = "FP8LM_TEST_CHILD_FOLDER";
    public const string ArgumentsVariable = "FP8LM_TEST_CHILD_ARGUMENTS";
    public const string ModelVariable = "FP8LM_TEST_CHILD_MODEL_ARGUMENTS";

    /// <summary>Starts this executable with one of the variables.</summary>
    public static Process Launch(string variable, string value)
    {
        string root = Path.GetFullPath(Path.Combine(System.Runtime.InteropServices.RuntimeEnvironment.GetRuntimeDirectory(), "..", "..", ".."));
        var start = new ProcessStartInfo(Path.Combine(root, "dotnet"), ["exec", typeof(KilledChild).Assembly.Location]) { RedirectStandardOutput = true, UseShellExecute = false };
        start.Environment[variable] = value;
        return Process.Start(start) ?? throw new InvalidOperationException("The child process did not start.");
    }

    public static TrainerOptions Options { get; } = FakeRun.Options with { Steps = 400, CheckpointInterval = 1 };

    /// <summary>
    /// Plays the child if a variable says so. It runs in <c>Main</c> and not in a module initialiser: a worker thread that compiles a method of this
    /// module would wait for the initialiser, and that for the worker.
    /// </summary>
    public static bool Runs(out int exitCode)
    {
        exitCode = 0;
        if (Environment.GetEnvironmentVariable(FolderVariable) is { } folder)
        {
            var observer = new RecordingObserver { Saved = path => Console.Out.WriteLine(path) };
            FakeRun.Train(folder, Options, resume: true, evaluate: false, observer: observer);
            File.WriteAllLines(Path.Combine(folder, "messages.txt"), observer.Messages);
            return true;
        }

        if (Environment.GetEnvironmentVariable(ArgumentsVariable) is { } arguments)
        {
            exitCode = Fp8App.Run<FakeModel>(arguments.Split('\n'), new AppDefaults { MicroBatch = 2, Sequence = 16, Training = Options });
            return true;
        }

        if (Environment.GetEnvironmentVariable(ModelVariable) is { } modelArguments)
        {
            exitCode = Fp8App.Run<Generated.Drawn>(modelArguments.Split('\n'), new AppDefaults { MicroBatch = 2, Sequence = 32 });
            return true;
        }

        return false;
    }
}
