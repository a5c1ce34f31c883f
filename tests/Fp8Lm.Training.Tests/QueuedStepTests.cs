using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Threading;
using Fp8Lm.Checkpoints;
using Fp8Lm.Execution;
using Fp8Lm.Training.Tests.Fake;
using Xunit;

namespace Fp8Lm.Training.Tests;

/// <summary>A device that works through queued steps gives the same run as one that runs each at once.</summary>
public sealed class QueuedStepTests : IDisposable
{
    private static readonly TrainerOptions Options = FakeRun.Options with { Accumulation = 2, EvaluationInterval = 5, CheckpointInterval = 4 };

    private readonly TemporaryFolder temporary = new();

    public void Dispose() => temporary.Dispose();

    [Fact]
    public void Reports_and_checkpoints_are_the_same()
    {
        Record at_once = Train("at-once", queued: false, Options), queued = Train("queued", queued: true, Options);

        Assert.Equal(at_once, queued, Same);
        Assert.Equal(2, queued.MostPending);
    }

    [Fact]
    public void A_skipped_step_leaves_the_same_run_and_message()
    {
        TrainerOptions options = Options with { NonFinite = NonFinitePolicy.Skip };

        Record at_once = Train("at-once", queued: false, options, poisoned: 12), queued = Train("queued", queued: true, options, poisoned: 12);

        Assert.StartsWith("Step 7: the loss is not finite", Assert.Single(queued.Observer.Messages), StringComparison.Ordinal);
        Assert.Equal(at_once.Observer.Messages, queued.Observer.Messages);
        Assert.Equal(at_once, queued, Same);
    }

    [Fact]
    public void A_bad_step_stops_with_the_same_message()
    {
        var at_once = Assert.Throws<TrainingException>(() => Train("at-once", queued: false, Options, poisoned: 12));
        var queued = Assert.Throws<TrainingException>(() => Train("queued", queued: true, Options, poisoned: 12));

        Assert.Contains("Step 7", queued.Message, StringComparison.Ordinal);
        Assert.Equal(at_once.Message, queued.Message);
    }

    [Fact]
    public void Cancellation_finishes_what_is_on_its_way_and_the_rest_can_follow()
    {
        byte[] straight = Train("straight", queued: false, Options).Checkpoint;
        using var cancellation = new CancellationTokenSource();

        Record broken = Train("broken", queued: true, Options, cancellation: cancellation, cancelAt: 6);

        Assert.Equal([1L, 2, 3, 4, 5, 6, 7], broken.Observer.Steps.Select(s => s.Step));
        Assert.Equal(straight, Train("broken", queued: true, Options, resume: true).Checkpoint);
    }

    /// <summary>Replicas are reduced on the host, so a device that queues has to wait; a bad micro-batch of one of them is found as one of an accumulated step is.</summary>
    [Fact]
    public void Replicas_give_the_same_run_and_messages()
    {
        TrainerOptions options = Options with { NonFinite = NonFinitePolicy.Skip, Replicas = 3 };
        Record at_once = Train("at-once", queued: false, options, poisoned: 39), queued = Train("queued", queued: true, options, poisoned: 39);

        Assert.Equal(at_once, queued, Same);
        Assert.Equal(0, queued.MostPending);
        string message = Assert.Single(queued.Observer.Messages);
        Assert.StartsWith("Step 7: the loss is not finite", message, StringComparison.Ordinal);
        Assert.Equal(Assert.Single(at_once.Observer.Messages), message);
        Assert.Equal(Assert.Single(Train("accumulated", queued: false, options with { Replicas = 1, Accumulation = 6 }, poisoned: 39).Observer.Messages), message);
    }

    private static bool Same(Record one, Record other) =>
        one.Checkpoint.AsSpan().SequenceEqual(other.Checkpoint)
        && one.Observer.Evaluations.SequenceEqual(other.Observer.Evaluations)
        && one.Observer.Steps.Select(Numbers).SequenceEqual(other.Observer.Steps.Select(Numbers));

    private static (long, double, float, float, long) Numbers(StepReport s) => (s.Step, s.Loss, s.LearningRate, s.GradientNorm, s.Tokens);

    private Record Train(
        string name, bool queued, TrainerOptions options, uint poisoned = uint.MaxValue, bool resume = false, CancellationTokenSource? cancellation = null,
        long cancelAt = 0)
    {
        var program = new FakeProgram { PoisonedMicroStep = poisoned };
        using CpuSession memory = FakeModel.Session(program);
        var queueing = new QueueingSession(memory);
        var observer = new RecordingObserver
        {
            Stepped = report =>
            {
                if (report.Step == cancelAt)
                {
                    cancellation!.Cancel();
                }
            },
        };
        using (RunFolder folder = RunFolder.Open(temporary[name]))
        {
            var trainer = new Trainer(
                FakeModel.Definition, program, queued ? queueing : memory, options, FakeModel.Data(), FakeModel.Data(seed: 9), folder, observer);
            if (!resume || !trainer.Resume(temporary[name]))
            {
                trainer.Start();
            }

            trainer.Run(cancellation?.Token ?? TestContext.Current.CancellationToken);
        }

        return new Record(observer, File.ReadAllBytes(RunFolder.Checkpoints(temporary[name])[0].Path), queueing.MostPending);
    }

    private sealed record Record(RecordingObserver Observer, byte[] Checkpoint, int MostPending);
}
