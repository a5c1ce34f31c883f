using System;
using System.Diagnostics;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Threading.Tasks;
using Fp8Lm.Checkpoints;
using Xunit;

namespace Fp8Lm.Training.Tests;

/// <summary>A compiled model, trained by the command line in processes that die at random moments.</summary>
public sealed class GeneratedKillTests : IDisposable
{
    private const int Steps = 300, Kills = 5;
    private readonly TemporaryFolder temporary = new();

    public void Dispose() => temporary.Dispose();

    [Theory]
    [InlineData("TransformerEngine")]
    [InlineData("TransformerEngineCurrent")]
    [InlineData("Bf16")]
    [InlineData("Fp32")]
    [InlineData("Fp8LmO2")]
    [InlineData("Fp8LmO3", 3)]
    public async Task A_compiled_model_killed_at_random_moments_resumes_exactly(string recipe, int replicas = 1)
    {
        string data = temporary["text.txt"];
        var words = new Random(5);
        await File.WriteAllTextAsync(
            data, string.Concat(Enumerable.Range(0, 4000).Select(_ => words.Next(1000).ToString(CultureInfo.InvariantCulture) + " ")), TestContext.Current.CancellationToken);
        string Arguments(string run, int save) => string.Join(
            '\n', "--data", data, "--out", temporary[run], "--steps", $"{Steps}", "--save-every", $"{save}", "--eval-every", "7", "--length", "0", "--device", "cpu",
            "--recipe", recipe, "--accumulate", "2", "--replicas", $"{replicas}", "--resume");

        Assert.Equal(0, await Finish(Arguments("straight", save: 0)));
        var random = new Random(recipe.Length);
        int kills = 0;
        long reached = 0;
        long Reached() => RunFolder.Checkpoints(temporary["killed"]).Select(c => c.Step).FirstOrDefault();
        while (kills < Kills)
        {
            using Process child = KilledChild.Launch(KilledChild.ModelVariable, Arguments("killed", save: 1));
            // It says "Resumed" (or that there is nothing to resume) before the first step; a step with its save takes some ten milliseconds.
            string? line;
            do
            {
                line = await child.StandardOutput.ReadLineAsync(TestContext.Current.CancellationToken);
            }
            while (line is not null && !line.StartsWith("step ", StringComparison.Ordinal));

            // On a busy machine that can be longer; a life without a checkpoint of its own would not be one to go on from.
            long before = reached;
            while ((reached = Reached()) == before && !child.HasExited)
            {
                await Task.Delay(1, TestContext.Current.CancellationToken);
            }

            await Task.Delay(TimeSpan.FromMilliseconds(random.NextDouble() * 40), TestContext.Current.CancellationToken);
            Assert.False(child.HasExited, "the run ended before it could be killed");
            child.Kill();
            await child.WaitForExitAsync(TestContext.Current.CancellationToken);
            kills++;
        }

        reached = Reached();
        Assert.InRange(reached, 1, Steps - 1);
        TestContext.Current.SendDiagnosticMessage($"{recipe}: reached step {reached} of {Steps} in {Kills} lives");
        Assert.Equal(0, await Finish(Arguments("killed", save: 1)));

        Assert.Equal(File.ReadAllBytes(RunFolder.Checkpoints(temporary["straight"])[0].Path), File.ReadAllBytes(RunFolder.Checkpoints(temporary["killed"])[0].Path));
        Assert.Empty(Directory.GetFiles(temporary["killed"], "*" + AtomicFile.TemporaryEnding));
    }

    private static async Task<int> Finish(string arguments)
    {
        using Process child = KilledChild.Launch(KilledChild.ModelVariable, arguments);
        await child.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken);
        await child.WaitForExitAsync(TestContext.Current.CancellationToken);
        return child.ExitCode;
    }
}
