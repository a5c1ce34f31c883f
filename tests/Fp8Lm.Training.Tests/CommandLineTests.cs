using System;
using System.IO;
using System.Linq;
using System.Text;
using System.Text.Json;
using Fp8Lm.Checkpoints;
using Fp8Lm.CommandLine;
using Fp8Lm.Training.Tests.Fake;
using Spectre.Console;
using Xunit;

namespace Fp8Lm.Training.Tests;

public sealed class CommandLineTests : IDisposable
{
    private readonly TemporaryFolder temporary = new();
    private readonly StringWriter output = new();
    private readonly StringWriter errors = new();

    public CommandLineTests() => File.WriteAllText(temporary["text.txt"], string.Concat(Enumerable.Repeat("All work and no play makes Jack a dull boy.\n", 200)));

    public void Dispose() => temporary.Dispose();

    [Fact]
    public void Training_writes_checkpoint_curve_and_summary_and_prints_a_sample()
    {
        int code = Run("--data", temporary["text.txt"], "--out", temporary["run"], "--steps", "12", "--summary", temporary["summary.json"], "--length", "20", "--device", "cpu");

        Assert.True(code == 0, errors.ToString());
        Assert.Equal(12, RunFolder.Checkpoints(temporary["run"])[0].Step);
        Assert.Equal(13, File.ReadAllLines(Path.Combine(temporary["run"], "loss.csv")).Length);
        Assert.StartsWith("<svg", File.ReadAllText(Path.Combine(temporary["run"], "loss.svg")), StringComparison.Ordinal);
        Assert.Contains("All work", output.ToString(), StringComparison.Ordinal);
        using JsonDocument summary = JsonDocument.Parse(File.ReadAllText(temporary["summary.json"]));
        JsonElement root = summary.RootElement;
        Assert.Equal(12, root.GetProperty("steps").GetInt64());
        Assert.Equal(12 * 2 * 16, root.GetProperty("tokens").GetInt64());
        Assert.Equal("Fake8", root.GetProperty("recipe").GetString());
        Assert.Equal("cpu", root.GetProperty("device").GetString());
        foreach (string number in (string[])["seconds", "tokens_per_s", "train_loss", "val_loss", "peak_bytes"])
        {
            Assert.True(root.GetProperty(number).GetDouble() > 0, number);
        }
    }

    [Fact]
    public void A_rewind_without_checkpoints_is_wrong_usage()
    {
        int code = Run("--data", temporary["text.txt"], "--out", temporary["run"], "--spike-guard", "rewind", "--save-every", "0", "--on-nonfinite", "skip", "--device", "cpu");

        Assert.Equal(2, code);
        Assert.Contains("--save-every 0 makes none on the way", errors.ToString(), StringComparison.Ordinal);
        Assert.Equal(2, Run("--spike-guard", "maybe"));
        Assert.Contains("--spike-guard 'maybe' is not known. Allowed: off, report, stop, rewind.", errors.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void Half_the_steps_and_a_resume_equal_all_steps()
    {
        string[] common = ["train", "--data", temporary["text.txt"], "--length", "0"];
        Assert.Equal(0, Run([.. common, "--out", temporary["a"], "--steps", "10"]));
        Assert.Equal(0, Run([.. common, "--out", temporary["b"], "--steps", "5"]));
        Assert.Equal(0, Run([.. common, "--out", temporary["b"], "--steps", "10", "--resume"]));

        Assert.Equal(Newest("a"), Newest("b"));
        Assert.Equal(Losses("a"), Losses("b"));
    }

    [Fact]
    public void A_fresh_run_does_not_write_over_an_old_one()
    {
        string[] arguments = ["--data", temporary["text.txt"], "--length", "0"];
        Assert.Equal(0, Run([.. arguments, "--steps", "2"]));
        Assert.Equal(0, Run([.. arguments, "--steps", "2"]));
        Assert.Equal(0, Run([.. arguments, "--steps", "3", "--resume"]));

        Assert.Equal(2, RunFolder.Checkpoints(temporary["runs/fake-tiny-fake8"])[0].Step);
        Assert.Equal(3, RunFolder.Checkpoints(temporary["runs/fake-tiny-fake8-2"])[0].Step);

        Assert.Equal(2, Run([.. arguments, "--out", temporary["runs/fake-tiny-fake8"]]));
        Assert.Contains("Add --resume", errors.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void Generation_is_a_function_of_its_seed()
    {
        Assert.Equal(0, Run("--data", temporary["text.txt"], "--length", "0", "--steps", "30"));
        string Generate(string seed)
        {
            output.GetStringBuilder().Clear();
            Assert.Equal(0, Run("generate", "--prompt", "All work and no play and more than sixteen bytes", "--length", "40", "--seed", seed));
            return output.ToString();
        }

        string first = Generate("1");

        Assert.StartsWith("All work and no play and more than sixteen bytes", first, StringComparison.Ordinal);
        Assert.Equal(first, Generate("1"));
        Assert.NotEqual(first, Generate("2"));
    }

    [Fact]
    public void Plan_counts_every_category_of_every_size()
    {
        Assert.Equal(0, Run("plan", "--json", "--micro-batch", "4", "--sequence", "32"));

        using JsonDocument plans = JsonDocument.Parse(output.ToString());
        Assert.Equal(["Tiny", "Small8"], plans.RootElement.EnumerateArray().Select(p => p.GetProperty("size").GetString()!));
        foreach (JsonElement plan in plans.RootElement.EnumerateArray())
        {
            long sum = new[] { "weights", "gradients", "optimizer", "activations", "workspace" }.Sum(c => plan.GetProperty(c).GetInt64());
            Assert.Equal(plan.GetProperty("total").GetInt64(), sum);
            Assert.Equal(3 * plan.GetProperty("gradients").GetInt64(), plan.GetProperty("optimizer").GetInt64());
        }
    }

    [Fact]
    public void Plan_shows_a_table_for_a_size_however_it_is_spelled()
    {
        Assert.Equal(0, Run("plan", "small-8"));

        Assert.Contains("Small8", output.ToString(), StringComparison.Ordinal);
        Assert.DoesNotContain("Tiny", output.ToString(), StringComparison.Ordinal);
        Assert.Contains("activations", output.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void Kernels_are_written_to_a_folder()
    {
        Assert.Equal(0, Run("kernels", "--out", temporary["kernels"]));

        Assert.Contains("__global__", File.ReadAllText(temporary["kernels/fake-fake8/fake_adamw.cu"]), StringComparison.Ordinal);
        Assert.Equal("x = embed(tokens)\n", File.ReadAllText(temporary["kernels/fake-fake8/ir.txt"]));
    }

    [Theory]
    [InlineData("--recipe int4", "--recipe 'int4' is not known. Allowed: Fake8.")]
    [InlineData("--size huge", "--size 'huge' is not known. Allowed: Tiny, Small8.")]
    [InlineData("--device tpu", "--device 'tpu' is not known. Allowed: cpu, cuda, auto.")]
    [InlineData("--schedule step", "--schedule 'step' is not known. Allowed: cosine, wsd, constant.")]
    [InlineData("--steps ten", "--steps takes a whole number of at least 0, not 'ten'.")]
    [InlineData("--steps -1", "--steps takes a whole number of at least 0, not '-1'.")]
    [InlineData("--lr fast", "--lr takes a number from 0 to 1000, not 'fast'.")]
    [InlineData("--lr nan", "--lr takes a number from 0 to 1000, not 'nan'.")]
    [InlineData("--data /nowhere/at/all", "--data /nowhere/at/all: there is no such file or folder.")]
    [InlineData("--frobnicate", "--frobnicate")]
    [InlineData("generate --from /nowhere", "--from /nowhere: no checkpoint there.")]
    [InlineData("generate", "Train first, or name one with --from.")]
    public void Wrong_values_get_a_plain_message(string arguments, string message)
    {
        int code = Run(arguments.Split(' '));

        Assert.NotEqual(0, code);
        Assert.Contains(message, errors.ToString(), StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", errors.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void Data_problems_show_before_training()
    {
        File.WriteAllText(temporary["short.txt"], "short");
        File.WriteAllText(temporary["empty.txt"], "");
        File.WriteAllBytes(temporary["binary.bin"], [1, 0, 2]);

        Assert.Equal(1, Run("--data", temporary["short.txt"], "--out", temporary["run"]));
        Assert.Contains("The data has 7 tokens; one sequence needs 17", errors.ToString(), StringComparison.Ordinal);
        Assert.Equal(1, Run("--data", temporary["empty.txt"], temporary["binary.bin"], "--out", temporary["run"]));
        Assert.Contains("looked at 2 files, all empty or binary", errors.ToString(), StringComparison.Ordinal);
        Assert.Contains("it looks binary", output.ToString(), StringComparison.Ordinal);
        Assert.False(Directory.Exists(temporary["run"]));
    }

    [Fact]
    public void An_unusable_folder_shows_before_training()
    {
        Assert.Equal(1, Run("--data", temporary["text.txt"], "--out", Path.Combine(temporary["text.txt"], "run")));

        Assert.Contains("Cannot use", errors.ToString(), StringComparison.Ordinal);
        Assert.DoesNotContain("step 1", output.ToString(), StringComparison.Ordinal);
    }

    private byte[] Newest(string run) => File.ReadAllBytes(RunFolder.Checkpoints(temporary[run])[0].Path);

    private string[] Losses(string run) =>
        [.. File.ReadAllLines(Path.Combine(temporary[run], "loss.csv")).Select(l => string.Join(',', l.Split(',')[..5]))];

    private int Run(params string[] arguments)
    {
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(output), Ansi = AnsiSupport.No, Interactive = InteractionSupport.No });
        var defaults = new AppDefaults
        {
            MicroBatch = 2, Sequence = 16, Prompt = "All work", Runs = temporary["runs"], Training = FakeRun.Options with { Steps = 30 },
        };
        return Fp8App.Run(FakeModel.Definition, arguments, defaults, console, errors);
    }
}
