using System;
using System.Diagnostics;
using System.IO;
using System.Linq;
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
            using Process child = KilledChild.Launch(KilledChild.FolderVariable, folder);
            // The first save of a process takes long (code is compiled then); from there on a step is a few milliseconds.
            string? first = await child.StandardOutput.ReadLineAsync(TestContext.Current.CancellationToken);
            await Task.Delay(TimeSpan.FromMilliseconds(random.NextDouble() * 40), TestContext.Current.CancellationToken);
            child.Kill();
            await child.WaitForExitAsync(TestContext.Current.CancellationToken);
            Assert.NotNull(first);
        }

        long reached = RunFolder.Checkpoints(folder)[0].Step;
        using Process last = KilledChild.Launch(KilledChild.FolderVariable, folder);
        await last.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        await last.WaitForExitAsync(TestContext.Current.CancellationToken);

        Assert.Equal(0, last.ExitCode);
        Assert.InRange(reached, Kills, KilledChild.Options.Steps - 1);
        Assert.Empty(File.ReadAllLines(Path.Combine(folder, "messages.txt")));
        Assert.Equal(straight, File.ReadAllBytes(RunFolder.Checkpoints(folder)[0].Path));
        Assert.Empty(Directory.GetFiles(folder, "*" + AtomicFile.TemporaryEnding));
    }

    [Theory]
    [InlineData("-INT")]
    [InlineData("-TERM")]
    public async Task An_interrupted_command_saves_and_says_so(string signal)
    {
        Assert.SkipWhen(OperatingSystem.IsWindows(), "Sends a POSIX signal.");
        string data = temporary["text.txt"], run = temporary["run"];
        await File.WriteAllTextAsync(data, string.Concat(Enumerable.Repeat("Interrupted in the middle of a sentence. ", 100)), TestContext.Current.CancellationToken);
        string arguments = string.Join('\n', "--data", data, "--out", run, "--steps", "1000000", "--save-every", "0", "--length", "0", "--device", "cpu");
        using Process child = KilledChild.Launch(KilledChild.ArgumentsVariable, arguments);
        string? line;
        do
        {
            line = await child.StandardOutput.ReadLineAsync(TestContext.Current.CancellationToken);
        }
        while (line is not null && !line.StartsWith("step 1/", StringComparison.Ordinal));
        using Process kill = Process.Start("kill", [signal, child.Id.ToString(System.Globalization.CultureInfo.InvariantCulture)]);

        string rest = await child.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        await child.WaitForExitAsync(TestContext.Current.CancellationToken);

        Assert.Equal(130, child.ExitCode);
        Assert.Contains("Interrupted; go on with --resume.", rest, StringComparison.Ordinal);
        (long step, string path) = Assert.Single(RunFolder.Checkpoints(run));
        Assert.Equal(step, TrainingCheckpoint.ReadState(path).Step);
        Assert.InRange(step, 1, 999_999);
    }
}
