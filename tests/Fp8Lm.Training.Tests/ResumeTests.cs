using System;
using System.IO;
using System.Linq;
using System.Threading;
using Fp8Lm.Checkpoints;
using Fp8Lm.Training.Tests.Fake;
using Xunit;

namespace Fp8Lm.Training.Tests;

public sealed class ResumeTests : IDisposable
{
    private readonly TemporaryFolder temporary = new();

    public void Dispose() => temporary.Dispose();

    [Theory]
    [InlineData(ScheduleKind.Cosine)]
    [InlineData(ScheduleKind.WarmupStableDecay)]
    public void A_resumed_run_ends_with_the_bytes_of_a_straight_one(ScheduleKind schedule)
    {
        TrainerOptions options = FakeRun.Options with { Schedule = schedule, Accumulation = 2 };
        byte[] straight = FakeRun.TrainToBytes(temporary["straight"], options);

        FakeRun.TrainToBytes(temporary["broken"], options with { Steps = 13, ScheduleSteps = options.Steps });
        byte[] resumed = FakeRun.TrainToBytes(temporary["broken"], options, resume: true);

        Assert.Equal(straight, resumed);
    }

    [Fact]
    public void Evaluation_does_not_change_training()
    {
        byte[] without = FakeRun.TrainToBytes(temporary["without"], FakeRun.Options, evaluate: false);
        byte[] with = FakeRun.TrainToBytes(temporary["with"], FakeRun.Options with { EvaluationInterval = 3 });

        Assert.Equal(without, with);
    }

    [Fact]
    public void Another_seed_gives_other_bytes()
    {
        byte[] one = FakeRun.TrainToBytes(temporary["one"], FakeRun.Options with { Steps = 3 });
        byte[] two = FakeRun.TrainToBytes(temporary["two"], FakeRun.Options with { Steps = 3, Seed = 2 });

        Assert.NotEqual(one, two);
    }

    [Fact]
    public void Cancellation_saves_and_the_rest_can_follow()
    {
        byte[] straight = FakeRun.TrainToBytes(temporary["straight"], FakeRun.Options);
        using var cancellation = new CancellationTokenSource();
        var observer = new RecordingObserver { Stepped = r => { if (r.Step == 7) { cancellation.Cancel(); } } };

        TrainingResult broken = FakeRun.Train(temporary["broken"], FakeRun.Options, observer: observer, interruption: cancellation);

        Assert.True(broken.Interrupted);
        Assert.Equal(7, broken.Steps);
        Assert.Equal(straight, FakeRun.TrainToBytes(temporary["broken"], FakeRun.Options, resume: true));
    }

    [Fact]
    public void A_damaged_newest_checkpoint_is_passed_over_with_a_message()
    {
        byte[] straight = FakeRun.TrainToBytes(temporary["straight"], FakeRun.Options);
        FakeRun.Train(temporary["broken"], FakeRun.Options with { Steps = 12, ScheduleSteps = FakeRun.Options.Steps, CheckpointInterval = 4 });
        string newest = RunFolder.Checkpoints(temporary["broken"])[0].Path;
        byte[] bytes = File.ReadAllBytes(newest);
        bytes[^5] ^= 0x10;
        File.WriteAllBytes(newest, bytes);
        var observer = new RecordingObserver();

        byte[] resumed = FakeRun.TrainToBytes(temporary["broken"], FakeRun.Options, resume: true, observer: observer);

        Assert.Equal(straight, resumed);
        string message = Assert.Single(observer.Messages);
        Assert.Contains("00000012", message, StringComparison.Ordinal);
        Assert.Contains("fp8.amax_history", message, StringComparison.Ordinal);
        Assert.Contains("Continuing from checkpoint-00000008", message, StringComparison.Ordinal);
    }

    [Fact]
    public void When_every_checkpoint_is_damaged_the_error_lists_them()
    {
        FakeRun.Train(temporary["run"], FakeRun.Options with { Steps = 4, CheckpointInterval = 2 });
        foreach ((_, string path) in RunFolder.Checkpoints(temporary["run"]))
        {
            File.WriteAllBytes(path, File.ReadAllBytes(path)[..^100]);
        }

        var failure = Assert.Throws<CheckpointException>(() => FakeRun.Train(temporary["run"], FakeRun.Options, resume: true));

        Assert.Contains("None of the 2 checkpoints", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Changed_options_are_named_on_resume()
    {
        FakeRun.Train(temporary["run"], FakeRun.Options with { Steps = 2 });
        var observer = new RecordingObserver();

        FakeRun.Train(temporary["run"], FakeRun.Options with { Steps = 4, ScheduleSteps = 2, LearningRate = 0.5f }, resume: true, observer: observer);

        Assert.Contains("learning_rate = 0.02 instead of 0.5", Assert.Single(observer.Messages), StringComparison.Ordinal);
    }

    [Fact]
    public void Only_the_newest_checkpoints_are_kept()
    {
        FakeRun.Train(temporary["run"], FakeRun.Options with { Steps = 9, CheckpointInterval = 2, KeepCheckpoints = 3 });

        Assert.Equal([9, 8, 6], RunFolder.Checkpoints(temporary["run"]).Select(c => c.Step));
    }

    [Fact]
    public void Two_processes_do_not_train_in_one_folder()
    {
        using RunFolder first = RunFolder.Open(temporary["run"]);

        var failure = Assert.Throws<IOException>(() => RunFolder.Open(temporary["run"]));

        Assert.Contains("--out", failure.Message, StringComparison.Ordinal);
    }
}
