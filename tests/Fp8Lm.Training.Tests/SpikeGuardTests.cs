using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Threading;
using Fp8Lm.Checkpoints;
using Fp8Lm.Data;
using Fp8Lm.Training.Tests.Fake;
using Xunit;

namespace Fp8Lm.Training.Tests;

/// <summary>Spikes of the loss, made by batches of garbage at a large learning rate.</summary>
public sealed class SpikeGuardTests : IDisposable
{
    private const long FirstGarbage = 62, LastGarbage = 68;

    private static readonly TrainerOptions Options = FakeRun.Options with
    {
        Steps = 100, CheckpointInterval = 10, SpikeGuard = SpikePolicy.Rewind, SpikeWindow = 32, SpikeMargin = 5, KeepCheckpoints = 1,
    };

    private readonly TemporaryFolder temporary = new();

    public void Dispose() => temporary.Dispose();

    [Fact]
    public void Noise_and_single_outliers_are_no_spike_and_a_rise_is()
    {
        var detector = new LossSpikeDetector(64, 7f, 3);
        var random = new Random(5);
        for (int step = 1; step <= 399; step++)
        {
            double loss = 5 - (step / 200.0) + ((random.NextDouble() - 0.5) * 0.2) + (step % 50 == 0 ? 3 : 0);
            Assert.Null(detector.Observe(step, loss));
        }

        Assert.Null(detector.Observe(400, 4.5));
        Assert.Null(detector.Observe(401, 4.6));
        Assert.Equal((2, 400L), (detector.High, detector.Onset));
        Assert.InRange(Assert.NotNull(detector.Observe(402, 4.7)), 3.1, 4.4);
    }

    [Fact]
    public void A_spike_goes_back_to_the_checkpoint_before_it_and_leaves_out_the_batches()
    {
        var observer = new RecordingObserver();
        var data = new Garbage();

        TrainingResult result = FakeRun.Train(temporary["run"], Options, observer: observer, evaluate: false, data: data);

        Rewind rewind = Assert.Single(result.Rewinds);
        Assert.Equal(new Rewind(64, 62, 50, 51, 74), rewind);
        Assert.Equal(100, result.Steps);
        Assert.Contains(observer.Messages, m => m.StartsWith("Step 64: the loss has a spike.", StringComparison.Ordinal) && m.Contains("goes back to checkpoint-00000050", StringComparison.Ordinal));
        Assert.Equal([.. Enumerable.Range(1, 64), .. Enumerable.Range(51, 50)], observer.Steps.Select(s => (int)s.Step));

        // Step 51 of the second time trains on the batch behind the last that is left out.
        Assert.Equal([.. Enumerable.Range(1, 64), .. Enumerable.Range(75, 50)], data.Batches);
    }

    /// <summary>A device that has the next step on its way when a spike is found gives it up.</summary>
    [Fact]
    public void Queued_steps_end_with_the_same_bytes()
    {
        byte[] straight = Bytes("straight", Options, new Garbage());
        var program = new FakeProgram();
        using Execution.CpuSession memory = FakeModel.Session(program);
        var queueing = new QueueingSession(memory);
        using (RunFolder folder = RunFolder.Open(temporary["queued"]))
        {
            var trainer = new Trainer(FakeModel.Definition, program, queueing, Options, new Garbage(), null, folder, null);
            trainer.Start();
            Assert.Single(trainer.Run(TestContext.Current.CancellationToken).Rewinds);
        }

        Assert.Equal(2, queueing.MostPending);
        Assert.Equal(straight, File.ReadAllBytes(Newest("queued")));
    }

    [Fact]
    public void Without_a_spike_the_guard_changes_nothing()
    {
        byte[] guarded = Bytes("guarded", Options, new Garbage(0, 0)), free = Bytes("free", Options with { SpikeGuard = SpikePolicy.Report }, new Garbage(0, 0));

        (CheckpointState with, CheckpointState without) = (TrainingCheckpoint.ReadState(Newest("guarded")), TrainingCheckpoint.ReadState(Newest("free")));
        Assert.Equal(with.Guards, without.Guards);
        Assert.Equal("", with.Guards["rewinds"]);
        Assert.Equal(Tail(free), Tail(guarded));
    }

    /// <summary>Interrupted before, inside and after the spike, and between rewind and the next checkpoint.</summary>
    [Theory]
    [InlineData(58)]
    [InlineData(60)]
    [InlineData(63)]
    [InlineData(66)]
    [InlineData(75)]
    public void A_resumed_run_makes_the_same_decisions(int interruption)
    {
        byte[] straight = Bytes("straight", Options, new Garbage());
        using var cancellation = new CancellationTokenSource();
        int steps = 0;
        var observer = new RecordingObserver { Stepped = _ => { if (++steps == interruption) { cancellation.Cancel(); } } };
        FakeRun.Train(temporary["broken"], Options, evaluate: false, data: new Garbage(), observer: observer, interruption: cancellation);

        FakeRun.Train(temporary["broken"], Options, resume: true, evaluate: false, data: new Garbage());

        Assert.Equal(straight, File.ReadAllBytes(Newest("broken")));
    }

    /// <summary>The process dies after the rewound checkpoint was written and before later ones were deleted: they are found again, and so is the spike.</summary>
    [Fact]
    public void A_checkpoint_from_inside_the_spike_leads_to_the_same_run()
    {
        byte[] straight = Bytes("straight", Options, new Garbage());
        FakeRun.Train(temporary["broken"], Options with { Steps = 63, ScheduleSteps = 100 }, evaluate: false, data: new Garbage());
        byte[] inside = File.ReadAllBytes(Newest("broken"));
        FakeRun.Train(temporary["broken"], Options with { Steps = 52, ScheduleSteps = 100 }, resume: true, evaluate: false, data: new Garbage());
        File.WriteAllBytes(Path.Combine(temporary["broken"], "checkpoint-00000063.safetensors"), inside);

        FakeRun.Train(temporary["broken"], Options, resume: true, evaluate: false, data: new Garbage());

        Assert.Equal(straight, File.ReadAllBytes(Newest("broken")));
    }

    [Fact]
    public void A_policy_to_stop_names_the_good_checkpoint_and_keeps_it()
    {
        var failure = Assert.Throws<TrainingException>(() => FakeRun.Train(temporary["run"], Options with { SpikeGuard = SpikePolicy.Stop }, evaluate: false, data: new Garbage()));

        Assert.StartsWith("Step 64: the loss has a spike.", failure.Message, StringComparison.Ordinal);
        Assert.Contains("since step 62. The last checkpoint from well before it is checkpoint-00000050.safetensors. Training stops.", failure.Message, StringComparison.Ordinal);
        Assert.Contains(RunFolder.Checkpoints(temporary["run"]), c => c.Step == 50);
    }

    [Fact]
    public void Without_a_good_checkpoint_it_stops_and_says_what_makes_one()
    {
        var failure = Assert.Throws<TrainingException>(() => FakeRun.Train(temporary["run"], Options with { CheckpointInterval = 59 }, evaluate: false, data: new Garbage()));

        Assert.Contains("There is no checkpoint from step 56 or before; a smaller --save-every makes them.", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Rewinds_have_a_limit()
    {
        TrainerOptions options = Options with { MaxRewinds = 2 };

        var failure = Assert.Throws<TrainingException>(() => FakeRun.Train(temporary["run"], options, evaluate: false, data: new Garbage(FirstGarbage, 1000)));

        Assert.Contains("Training went back 2 times already (--max-rewinds 2).", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_default_says_it_once_and_goes_on()
    {
        var observer = new RecordingObserver();

        TrainingResult result = FakeRun.Train(temporary["run"], Options with { SpikeGuard = SpikePolicy.Report }, evaluate: false, data: new Garbage(), observer: observer);

        Assert.StartsWith("Step 64: the loss has a spike.", Assert.Single(observer.Messages), StringComparison.Ordinal);
        Assert.Equal((100, 0), (result.Steps, result.Rewinds.Count));
        Assert.Equal(SpikePolicy.Report, new TrainerOptions().SpikeGuard);
    }

    [Fact]
    public void The_loss_curve_forgets_what_was_left_out()
    {
        string folder = temporary["curve"];
        Directory.CreateDirectory(folder);
        using (var history = new LossHistory(folder, 0))
        {
            for (long step = 1; step <= 6; step++)
            {
                history.Add(new StepReport(step, step, 1, 1, step, 1, 1));
            }

            history.Rewind(3);
            history.Add(new StepReport(4, 9, 1, 1, 4, 1, 1));
            Assert.Equal([(1L, 1.0), (2, 2), (3, 3), (4, 9)], history.Training);
        }

        Assert.Equal(["1,1", "2,2", "3,3", "4,9"], File.ReadAllLines(Path.Combine(folder, "loss.csv")).Skip(1).Select(l => string.Join(',', l.Split(',').Take(2))));
    }

    private byte[] Bytes(string run, TrainerOptions options, IBatchSource data)
    {
        FakeRun.Train(temporary[run], options, evaluate: false, data: data);
        return File.ReadAllBytes(Newest(run));
    }

    private string Newest(string run) => RunFolder.Checkpoints(temporary[run])[0].Path;

    private static byte[] Tail(byte[] checkpoint) => checkpoint[(int)(8 + BitConverter.ToInt64(checkpoint))..];

    /// <summary>Text of a few tokens, and between two batches tokens that never follow each other in it.</summary>
    private sealed class Garbage(long first = FirstGarbage, long last = LastGarbage) : IBatchSource
    {
        private const int PerBatch = 2;
        private readonly List<int> batches = [];

        public IReadOnlyList<int> Batches => batches;

        public long SequencesPerEpoch => 1 << 20;

        public string Fingerprint => "garbage";

        public void Read(long number, Span<int> tokens, Span<int> labels, Span<float> weights)
        {
            long batch = (number / PerBatch) + 1;
            if (number % PerBatch == 0 && (batches.Count == 0 || batches[^1] != batch))
            {
                batches.Add((int)batch);
            }

            var random = new Random((int)number);
            bool garbage = batch >= first && batch <= last;
            for (int i = 0; i < tokens.Length; i++)
            {
                tokens[i] = garbage ? random.Next(256) : 60 + random.Next(4);
                labels[i] = garbage ? random.Next(256) : tokens[i] + 1;
                weights[i] = 1;
            }
        }
    }
}
