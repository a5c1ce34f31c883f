using System;
using System.Diagnostics;
using System.IO;
using System.Threading.Tasks;
using Fp8Lm.Checkpoints;
using Xunit;

namespace Fp8Lm.Training.Tests;

public sealed class KillTests : IDisposable
{
    private const int Kills = 10;
    private readonly TemporaryFolder temporary = new();

    public void Dispose() => temporary.Dispose();

    [Fact]
    public async Task A_process_killed_at_random_moments_resumes_exactly()
    {
        // Every step saves, so about half of the kills fall into a save.
        byte[] straight = FakeRun.TrainToBytes(temporary["straight"], KilledChild.Options with { CheckpointInterval = 0 }, evaluate: false);
        var random = new Random(20261123);
        string folder = temporary["killed"];
        for (int kill = 0; kill < Kills; kill++)
        {
            using Process child = Start(folder);
            // The first save of a process takes long (code is compiled then); from there on a step is a few milliseconds.
            string? first = await child.StandardOutput.ReadLineAsync(TestContext.Current.CancellationToken);
            await Task.Delay(TimeSpan.FromMilliseconds(random.NextDouble() * 40), TestContext.Current.CancellationToken);
            child.Kill();
            await child.WaitForExitAsync(TestContext.Current.CancellationToken);
            Assert.NotNull(first);
        }

        long reached = RunFolder.Checkpoints(folder)[0].Step;
        using Process last = Start(folder);
        await last.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        await last.WaitForExitAsync(TestContext.Current.CancellationToken);

        Assert.Equal(0, last.ExitCode);
        Assert.InRange(reached, Kills, KilledChild.Options.Steps - 1);
        Assert.Empty(File.ReadAllLines(Path.Combine(folder, "messages.txt")));
        Assert.Equal(straight, File.ReadAllBytes(RunFolder.Checkpoints(folder)[0].Path));
        Assert.Empty(Directory.GetFiles(folder, "*" + AtomicFile.TemporaryEnding));
    }

    private static Process Start(string folder)
    {
        string assembly = typeof(KillTests).Assembly.Location;
        var start = new ProcessStartInfo(Path.Combine(RuntimeRoot(), "dotnet"), ["exec", assembly]) { RedirectStandardOutput = true, UseShellExecute = false };
        start.Environment[KilledChild.Variable] = folder;
        return Process.Start(start) ?? throw new InvalidOperationException("The child process did not start.");
    }

    private static string RuntimeRoot() =>
        Path.GetFullPath(Path.Combine(System.Runtime.InteropServices.RuntimeEnvironment.GetRuntimeDirectory(), "..", "..", ".."));
}
