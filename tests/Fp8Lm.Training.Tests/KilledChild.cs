using System;
using System.IO;
using System.Runtime.CompilerServices;

namespace Fp8Lm.Training.Tests;

/// <summary>
/// The process that the kill test kills: this very executable, started with a folder in an environment variable. It trains there with a
/// checkpoint after every step, as a resumed run if there is anything to resume.
/// </summary>
internal static class KilledChild
{
    public const string Variable = "FP8LM_TEST_CHILD_FOLDER";

    public static TrainerOptions Options { get; } = FakeRun.Options with { Steps = 400, CheckpointInterval = 1 };

    /// <summary>A module initialiser comes before the test runner's <c>Main</c>, whichever runner that is.</summary>
#pragma warning disable CA2255 // The rule is for libraries; this is an executable.
    [ModuleInitializer]
#pragma warning restore CA2255
    internal static void Start()
    {
        if (Environment.GetEnvironmentVariable(Variable) is { } folder)
        {
            var observer = new RecordingObserver { Saved = path => Console.Out.WriteLine(path) };
            FakeRun.Train(folder, Options, resume: true, evaluate: false, observer: observer);
            File.WriteAllLines(Path.Combine(folder, "messages.txt"), observer.Messages);
            Environment.Exit(0);
        }
    }
}
