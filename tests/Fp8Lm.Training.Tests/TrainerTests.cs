using System;
using System.IO;
using System.Linq;
using Fp8Lm.Checkpoints;
using Fp8Lm.Data;
using Fp8Lm.Execution;
using Fp8Lm.Training.Tests.Fake;
using Xunit;

namespace Fp8Lm.Training.Tests;

public sealed class TrainerTests : IDisposable
{
    private readonly TemporaryFolder temporary = new();

    public void Dispose() => temporary.Dispose();

    [Fact]
    public void The_loss_falls_and_is_reported()
    {
        var observer = new RecordingObserver();

        TrainingResult result = FakeRun.Train(temporary["run"], FakeRun.Options with { Steps = 150, EvaluationInterval = 50 }, observer: observer);

        Assert.Equal(150, observer.Steps.Count);
        Assert.InRange(observer.Steps[0].Loss, 5.0, 6.0);
        Assert.InRange(result.TrainLoss, 0.5, 3.5);
        Assert.Equal([50L, 100, 150], observer.Evaluations.Select(e => e.Step));
        Assert.Equal(result.ValidationLoss, observer.Evaluations[^1].Loss);
        Assert.Equal(150 * 32, result.Tokens);
        Assert.False(result.Interrupted);
    }

    [Fact]
    public void Accumulation_over_two_micro_batches_equals_one_of_twice_the_size()
    {
        double[] Losses(long microBatch, int accumulation)
        {
            var program = new FakeProgram();
            using CpuSession session = FakeModel.Session(program, FakeModel.Dims(microBatch));
            var observer = new RecordingObserver();
            TrainerOptions options = FakeRun.Options with { Steps = 5, Accumulation = accumulation, CalibrationPasses = 0 };
            var trainer = new Trainer(FakeModel.Definition, program, session, options, new WithoutShuffle(), null, null, observer);
            trainer.Start();
            trainer.Run(TestContext.Current.CancellationToken);
            return [.. observer.Steps.Select(s => s.Loss)];
        }

        // Dropout masks differ between the two layouts, so the data below repeat one token whose loss does not depend on the mask's place.
        double[] split = Losses(2, 2), whole = Losses(4, 1);

        for (int i = 0; i < split.Length; i++)
        {
            Assert.Equal(whole[i], split[i], 0.05);
        }
    }

    [Fact]
    public void Calibration_sets_scales_before_the_first_step()
    {
        var program = new FakeProgram();
        using CpuSession session = FakeModel.Session(program);
        var trainer = new Trainer(FakeModel.Definition, program, session, FakeRun.Options, FakeModel.Data(), null, null, null);

        trainer.Start();

        Assert.All(session.Read<float>(session.ScaleArena, session.ScaleSlots), scale => Assert.InRange(scale, 50f, 2000f));
    }

    [Fact]
    public void A_non_finite_value_stops_with_step_tensor_and_kernel()
    {
        var program = new FakeProgram { PoisonedMicroStep = 4 };

        var failure = Assert.Throws<TrainingException>(() => FakeRun.Train(temporary["run"], FakeRun.Options, program: program));

        Assert.StartsWith("Step 5: the loss is not finite (NaN).", failure.Message, StringComparison.Ordinal);
        Assert.Contains("The first tensor that is not finite is x[1] (activation, F32), after kernel fake_layer.", failure.Message, StringComparison.Ordinal);
        Assert.Contains("Gradients that are not finite:", failure.Message, StringComparison.Ordinal);
        Assert.Contains("tokens, blocks[0].gain", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_non_finite_step_can_be_skipped()
    {
        var program = new FakeProgram { PoisonedMicroStep = 4 };
        var observer = new RecordingObserver();

        TrainingResult result = FakeRun.Train(
            temporary["run"], FakeRun.Options with { NonFinite = NonFinitePolicy.Skip }, program: program, observer: observer);

        Assert.Equal(20, result.Steps);
        Assert.Contains("Step 5", Assert.Single(observer.Messages), StringComparison.Ordinal);
        Assert.All(observer.Steps.Skip(5), s => Assert.True(double.IsFinite(s.Loss)));
    }

    [Fact]
    public void A_failed_save_in_between_is_reported_and_training_goes_on()
    {
        // A folder in the place of the file makes the rename fail.
        Directory.CreateDirectory(Path.Combine(temporary["run"], "checkpoint-00000004.safetensors"));
        var observer = new RecordingObserver();

        TrainingResult result = FakeRun.Train(temporary["run"], FakeRun.Options with { Steps = 6, CheckpointInterval = 2 }, observer: observer);

        Assert.Equal(6, result.Steps);
        Assert.Contains("Could not save after step 4", Assert.Single(observer.Messages), StringComparison.Ordinal);
        Assert.Equal([6L, 2], RunFolder.Checkpoints(temporary["run"]).Select(c => c.Step));
    }

    [Fact]
    public void A_failed_last_save_is_an_error()
    {
        Directory.CreateDirectory(Path.Combine(temporary["run"], "checkpoint-00000004.safetensors"));

        Exception? failure = Record.Exception(() => FakeRun.Train(temporary["run"], FakeRun.Options with { Steps = 4, CheckpointInterval = 2 }));

        Assert.True(failure is IOException or UnauthorizedAccessException, failure?.ToString());
        Assert.Equal([2L], RunFolder.Checkpoints(temporary["run"]).Select(c => c.Step));
    }

    [Fact]
    public void A_token_outside_the_vocabulary_is_an_error_not_a_crash()
    {
        var program = new FakeProgram();
        using CpuSession session = FakeModel.Session(program);
        var trainer = new Trainer(FakeModel.Definition, program, session, FakeRun.Options, new WithoutShuffle { Token = 256 }, null, null, null);

        var failure = Assert.Throws<DataException>(trainer.Start);

        Assert.Contains("token 256", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Ignored_labels_leave_loss_and_weights_alone()
    {
        var program = new FakeProgram();
        using CpuSession session = FakeModel.Session(program);
        var observer = new RecordingObserver();
        TrainerOptions options = FakeRun.Options with { Steps = 1, WeightDecay = 0 };
        var trainer = new Trainer(FakeModel.Definition, program, session, options, new WithoutShuffle { Label = -1 }, null, null, observer);
        trainer.Start();
        float[] before = session.Read<float>(session.MasterArena, session.ParameterElements);

        trainer.Run(TestContext.Current.CancellationToken);

        Assert.Equal(0, observer.Steps[0].Loss);
        Assert.Equal(before, session.Read<float>(session.MasterArena, session.ParameterElements));
    }

    [Fact]
    public void Options_out_of_range_are_named()
    {
        var failure = Assert.Throws<ArgumentException>(() => (new TrainerOptions { Beta2 = 1.5f }).Validate());

        Assert.Contains("Beta2 is 1.5; it must be at least 0 and below 1.", failure.Message, StringComparison.Ordinal);
    }

    private sealed class WithoutShuffle : IBatchSource
    {
        public int Token { get; init; } = 65;

        public int? Label { get; init; }

        public long SequencesPerEpoch => 100;

        public string Fingerprint => "constant";

        public void Read(long number, Span<int> tokens, Span<int> labels, Span<float> weights)
        {
            tokens.Fill(Token);
            labels.Fill(Label ?? Token);
            weights.Fill(1);
        }
    }
}
