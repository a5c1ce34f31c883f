using System;
using System.IO;
using System.Linq;
using Fp8Lm.Checkpoints;
using Fp8Lm.Cpu;
using Fp8Lm.Data;
using Fp8Lm.Execution;
using Fp8Lm.Training.Tests.Fake;
using Fp8Lm.Training.Tests.Generated;
using Xunit;

namespace Fp8Lm.Training.Tests;

/// <summary>FP16 with dynamic loss scaling on a compiled model.</summary>
public sealed class LossScalingTests : IDisposable
{
    private static readonly TrainerOptions Options = new()
    {
        Steps = 60, LearningRate = 3e-3f, WarmupSteps = 5, CheckpointInterval = 1000, EvaluationInterval = 0, EvaluationBatches = 2, Seed = 1, Accumulation = 2,
    };

    private readonly TemporaryFolder temporary = new();

    public void Dispose() => temporary.Dispose();

    [Theory]
    [InlineData("Fp16", 0.01)]
    [InlineData("Fp16States", 0.02)]
    public void It_trains_like_Bf16(string recipe, double tolerance)
    {
        double expected = Train("Bf16", "Bf16", Options).Steps.TakeLast(10).Average(s => s.Loss);
        RecordingObserver observer = Train(recipe, recipe, Options);
        double actual = observer.Steps.TakeLast(10).Average(s => s.Loss);
        TestContext.Current.TestOutputHelper?.WriteLine(FormattableString.Invariant($"{recipe} {actual:F4}, Bf16 {expected:F4}"));
        Assert.InRange(actual, expected * (1 - tolerance), expected * (1 + tolerance));
        Assert.All(observer.Steps, s => Assert.NotNull(s.LossScale));
    }

    /// <summary>The scale of every step follows from that of the step before and whether its norm was finite; skipped steps do not stop the run, although its policy is to stop.</summary>
    [Fact]
    public void Overflows_halve_the_scale_and_steps_without_let_it_grow()
    {
        RecordingObserver observer = Train("eager", "EagerLossScale", Options with { Steps = 30, NonFinite = NonFinitePolicy.Stop });
        float scale = 1 << 24;
        int good = 0, overflows = 0, growths = 0;
        foreach (StepReport step in observer.Steps)
        {
            Assert.Equal(scale, step.LossScale);
            if (!float.IsFinite(step.GradientNorm))
            {
                (scale, good) = (scale / 2, 0);
                overflows++;
            }
            else if (++good == 3)
            {
                (scale, good) = (scale * 2, 0);
                growths++;
            }
        }

        Assert.InRange(overflows, 2, 20);
        Assert.InRange(growths, 2, 20);
        Assert.Equal(overflows, observer.Messages.Count(m => m.Contains("overflows at loss scale", StringComparison.Ordinal)));
        Assert.Equal(overflows, observer.Messages.Count);
        Assert.Equal(30 - overflows, TrainingCheckpoint.ReadState(Checkpoint("eager")).Updates);
    }

    /// <summary>Two steps on their way, as on a GPU: the one behind an overflow changes nothing and runs again with half the scale.</summary>
    [Fact]
    public void Steps_that_are_queued_behind_an_overflow_change_nothing()
    {
        RecordingObserver waiting = Train("waiting", "EagerLossScale", Options with { Steps = 20 }), queued = new();
        QueueingSession? session = null;
        Train("queued", "EagerLossScale", Options with { Steps = 20 }, observer: queued, wrap: inner => session = new QueueingSession(inner));
        Assert.Equal(2, session!.MostPending);
        Assert.Equal(waiting.Messages, queued.Messages);
        Assert.Equal(waiting.Steps.Select(s => (s.Loss, s.GradientNorm, s.LossScale)), queued.Steps.Select(s => (s.Loss, s.GradientNorm, s.LossScale)));
        Assert.Equal(File.ReadAllBytes(Checkpoint("waiting")), File.ReadAllBytes(Checkpoint("queued")));
    }

    [Theory]
    [InlineData("Fp16", 5)]
    [InlineData("Fp16States", 5)]
    [InlineData("EagerLossScale", 4)]
    [InlineData("EagerLossScale", 5)]
    public void A_resumed_run_ends_with_the_bytes_of_a_straight_one(string recipe, int broken)
    {
        Train("straight", recipe, Options with { Steps = 12 });
        Train("broken", recipe, Options with { Steps = broken, ScheduleSteps = 12 });
        Train("broken", recipe, Options with { Steps = 12 }, resume: true);
        Assert.Equal(File.ReadAllBytes(Checkpoint("straight")), File.ReadAllBytes(Checkpoint("broken")));
    }

    /// <summary>A run without a loss scale goes on with that of step 1, one that has a scale keeps it.</summary>
    [Theory]
    [InlineData("Bf16", "Fp16", 65536)]
    [InlineData("WithoutLossScale", "LeastLossScale", 1)]
    [InlineData("LeastLossScale", "Fp16", 1)]
    [InlineData("Fp16", "Bf16", -1)]
    [InlineData("Fp8LmO2", "Fp16", 65536)]
    public void A_run_goes_on_with_another_recipe(string first, string second, double scale)
    {
        double[] straight = [.. Train("straight", first, Options).Steps.Select(s => s.Loss)];
        Train("crossed", first, Options with { Steps = 30, ScheduleSteps = 60 });
        RecordingObserver observer = Train("crossed", second, Options, resume: true);
        Assert.Contains(observer.Messages, m => m.Contains($"was trained with recipe {first}", StringComparison.Ordinal));
        Assert.Equal(scale < 0 ? null : (float)scale, observer.Steps[0].LossScale);
        Assert.InRange(observer.Steps.TakeLast(10).Average(s => s.Loss), straight.TakeLast(10).Average() * 0.98, straight.TakeLast(10).Average() * 1.02);
    }

    /// <summary>Gradients of the loss around 1e-7, below what FP16 resolves: without a scale most of them round to zero.</summary>
    [Fact]
    public void Tiny_gradients_survive_with_a_loss_scale()
    {
        const float Shrink = 1e-5f;
        double[] exact = Gradients("Fp32", Shrink), scaled = Gradients("Fp16", Shrink), plain = Gradients("WithoutLossScale", Shrink);
        double scaledError = Error(exact, [.. scaled.Select(g => g / 65536)]), plainError = Error(exact, plain);
        TestContext.Current.TestOutputHelper?.WriteLine(FormattableString.Invariant($"with a scale {scaledError:E2}, without {plainError:E2}"));
        Assert.InRange(scaledError, 0, 0.02);
        Assert.InRange(plainError, 0.2, 10);
    }

    /// <summary>Norm and clipping are those of gradients without the scale, and the clip factor takes it out of them: weights move as in FP32.</summary>
    [Theory]
    [InlineData("Fp16", "Fp32")]
    [InlineData("Fp16States", "Fp32")]
    [InlineData("Fp16Bf16Gradients", "Fp32")]
    public void Norm_and_clipping_do_not_see_the_scale(string recipe, string reference)
    {
        (StepState expected, _) = Step(reference);
        (StepState actual, LossScaleState scale) = Step(recipe);
        Assert.Equal(65536f, actual.DynamicLossScale);
        Assert.Equal(expected.GradientNorm, actual.GradientNorm, 0.01 * expected.GradientNorm);
        Assert.Equal(expected.ClipFactor, actual.ClipFactor * 65536, 0.01 * expected.ClipFactor);
        Assert.Equal(new LossScaleState { Scale = 65536, GoodSteps = 1 }, scale);
        Assert.Equal(0f, expected.DynamicLossScale);

        static (StepState, LossScaleState) Step(string recipe)
        {
            using CpuPool pool = new(2);
            using CpuSession session = Session(recipe, pool);
            Start(session, 1f, maximum: 0.1f);
            session.Plan.Program.Optimize(session);
            return (session.ReadState(), session.Plan.Program.LossScaling is null ? default : session.ReadLossScale());
        }
    }

    /// <summary>At scale 1, or when the loss itself is not finite, no scale helps: the run ends as with other recipes.</summary>
    [Fact]
    public void A_loss_that_is_not_finite_ends_the_run()
    {
        using CpuPool pool = new(2);
        using CpuSession session = Session("Fp16", pool);
        var trainer = new Trainer(Drawn.Definition, session.Plan.Program, session, Options with { NonFinite = NonFinitePolicy.Stop }, new Unsound(), null, null, null);
        trainer.Start();
        Assert.StartsWith("Step 1: ", Assert.Throws<TrainingException>(() => trainer.Run(TestContext.Current.CancellationToken)).Message, StringComparison.Ordinal);
    }

    /// <summary>A resumed run keeps the lines up to its first step; recipes without loss scaling have no such file.</summary>
    [Fact]
    public void The_log_has_the_scale_of_every_step()
    {
        string path = Path.Combine(temporary.Path, "loss_scale.csv");
        Log(0, (1, null));
        Assert.False(File.Exists(path));
        Log(0, (1, 65536f), (2, 65536f), (3, 32768f));
        Log(2, (3, 16384f));
        Assert.Equal(["step,loss_scale", "1,65536", "2,65536", "3,16384"], File.ReadAllLines(path));

        void Log(long completed, params (long Step, float? Scale)[] steps)
        {
            using var history = new LossHistory(temporary.Path, completed);
            foreach ((long step, float? scale) in steps)
            {
                history.Add(new StepReport(step, 1, 1, 1, 1, 1, 1) { LossScale = scale });
            }
        }
    }

    [Theory]
    [InlineData(0.5f)]
    [InlineData(3f)]
    [InlineData(float.NaN)]
    public void A_scale_that_is_none_is_refused(float scale)
    {
        using CpuPool pool = new(2);
        using CpuSession session = Session("Fp16", pool);
        using RunFolder folder = RunFolder.Open(temporary["run"]);
        var trainer = new Trainer(Drawn.Definition, session.Plan.Program, session, Options with { Steps = 1 }, FakeModel.Data(sequence: 32), null, folder, null);
        trainer.Start();
        trainer.Run(TestContext.Current.CancellationToken);
        string path = Path.Combine(temporary["run"], "wrong.safetensors");
        session.WriteLossScale(new LossScaleState { Scale = scale });
        TrainingCheckpoint.Save(path, session, Drawn.Definition, session.Plan.Program, TrainingCheckpoint.ReadState(Checkpoint("run")));
        string message = Assert.Throws<CheckpointException>(() => TrainingCheckpoint.Load(path, session, Drawn.Definition, session.Plan.Program)).Message;
        Assert.Contains("expected a power of two from 1 to 2^126", message, StringComparison.Ordinal);
    }

    private static double Error(double[] expected, double[] actual) =>
        Math.Sqrt(expected.Zip(actual, (e, a) => (e - a) * (e - a)).Sum() / expected.Sum(e => e * e));

    private static double[] Gradients(string recipe, float lossFactor)
    {
        using CpuPool pool = new(2);
        using CpuSession session = Session(recipe, pool);
        Start(session, lossFactor, maximum: 0);
        return [.. Enumerable.Range(0, Drawn.Definition.Parameters.Length).SelectMany(p => session.ReadParameter(ArenaKind.Gradients, p, 0)).Select(g => (double)g)];
    }

    /// <summary>Weights, a batch, and its gradients.</summary>
    private static void Start(CpuSession session, float lossFactor, float maximum)
    {
        ParameterInitializer.Initialize(session, Drawn.Definition, 3);
        Random random = new(5);
        int tokens = (int)session.Dims.Tokens;
        session.Write<int>([.. Enumerable.Range(0, tokens).Select(_ => random.Next(256))], session.Tokens);
        session.Write<int>([.. Enumerable.Range(0, tokens).Select(_ => random.Next(256))], session.Labels);
        session.Write<float>([.. Enumerable.Repeat(1f, tokens)], session.LabelWeights);
        session.WriteState(new StepState
        {
            LossScale = lossFactor / tokens, Training = 1, SeedLow = 1, LearningRate = 1e-3f, Beta1 = 0.9f, Beta2 = 0.95f, Epsilon = 1e-8f, BiasCorrection1 = 0.1f,
            BiasCorrection2 = 0.05f, MaxGradientNorm = maximum,
        });
        session.ClearGradients();
        session.Plan.Program.CastWeights(session);
        session.Plan.Program.TrainMicroBatch(session);
    }

    private static CpuSession Session(string recipe, CpuPool pool) => new(
        MemoryPlan.Create(Drawn.Definition, Drawn.Definition.Program(recipe), new DimBinding([2, 32, .. Drawn.Definition.Sizes[0].Values]), checkpointing: false), pool);

    private string Checkpoint(string run) => RunFolder.Checkpoints(temporary[run])[0].Path;

    private RecordingObserver Train(string run, string recipe, TrainerOptions options, bool resume = false, RecordingObserver? observer = null, Func<Session, Session>? wrap = null)
    {
        observer ??= new RecordingObserver();
        using CpuPool pool = new(2);
        using CpuSession session = Session(recipe, pool);
        using RunFolder folder = RunFolder.Open(temporary[run]);
        var trainer = new Trainer(
            Drawn.Definition, session.Plan.Program, wrap is null ? session : wrap(session), options, FakeModel.Data(sequence: 32), null, folder, observer);
        if (!resume || !trainer.Resume(temporary[run]))
        {
            trainer.Start();
        }

        trainer.Run(TestContext.Current.CancellationToken);
        return observer;
    }

    /// <summary>A label whose weight is no number.</summary>
    private sealed class Unsound : IBatchSource
    {
        public long SequencesPerEpoch => 1000;

        public string Fingerprint => "unsound";

        public void Read(long number, Span<int> tokens, Span<int> labels, Span<float> weights)
        {
            tokens.Fill(97);
            labels.Fill(98);
            weights.Fill(1f);
            weights[3] = float.NaN;
        }
    }
}
