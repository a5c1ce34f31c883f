using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Linq;
using Fp8Lm.Checkpoints;
using Fp8Lm.Collectives;
using Fp8Lm.CommandLine;
using Fp8Lm.Cpu;
using Fp8Lm.Data;
using Fp8Lm.Execution;
using Fp8Lm.Training.Tests.Fake;
using Fp8Lm.Training.Tests.Generated;
using Spectre.Console;
using Xunit;

namespace Fp8Lm.Training.Tests;

/// <summary>Training over simulated data-parallel replicas, from a compiled model.</summary>
public sealed class ReplicaTests : IDisposable
{
    private const string Auto = "auto";

    private static readonly TrainerOptions Options = new()
    {
        Steps = 12, LearningRate = 3e-3f, WarmupSteps = 5, CheckpointInterval = 1000, EvaluationInterval = 0, Seed = 1, ReductionInterval = 1,
    };

    private readonly TemporaryFolder temporary = new();

    public void Dispose() => temporary.Dispose();

    /// <summary>The replicas' micro-batches are those of one process that accumulates, dropout included.</summary>
    [Theory]
    [InlineData("Fp32", 2, 1e-6)]
    [InlineData("Fp32", 3, 1e-6)]
    [InlineData("Fp32", 8, 1e-6)]
    [InlineData("Bf16", 5, 3e-3)]
    public void Replicas_in_F32_train_like_one_process_that_accumulates(string recipe, int replicas, double tolerance)
    {
        StepReport[] expected = [.. Train("accumulated", recipe, Options with { Accumulation = replicas }).Steps];
        StepReport[] actual = [.. Train("replicas", recipe, Options with { Replicas = replicas }).Steps];
        Assert.Equal(expected[0].Loss, actual[0].Loss);
        Compare(expected, actual, tolerance, tolerance);
        Assert.Equal(expected[^1].Tokens, actual[^1].Tokens);
    }

    /// <summary>Both ways round: accumulation once a micro-batch, the exchange once a sum.</summary>
    [Theory]
    [InlineData("CurrentGradients", 3)]
    [InlineData("Fp8LmO1", 6)]
    public void The_exchange_of_FP8_gradients_trains_like_one_process_that_accumulates(string recipe, int replicas)
    {
        StepReport[] expected = [.. Train("accumulated", recipe, Options with { Accumulation = replicas }).Steps];
        StepReport[] actual = [.. Train("replicas", recipe, Options with { Replicas = replicas, Reduction = Mode("exchange") }).Steps];
        Assert.Equal(expected[0].Loss, actual[0].Loss);
        Assert.Equal(expected[0].GradientNorm, actual[0].GradientNorm, 0.005 * expected[0].GradientNorm);

        // By the last step the roundings of twelve have added up.
        Compare(expected, actual, 2e-3, 0.05);
    }

    [Theory]
    [InlineData(Auto)]
    [InlineData("pre")]
    [InlineData("post")]
    public void Every_mode_learns_with_accumulation_inside_replicas(string mode)
    {
        TrainerOptions options = Options with { Steps = 60, Accumulation = 2, Replicas = 5, Reduction = Mode(mode) };
        double expected = Train("exact", "Fp8LmO2", options with { Reduction = Mode("exchange") }).Steps.TakeLast(10).Average(s => s.Loss);
        double actual = Train(mode, "Fp8LmO2", options).Steps.TakeLast(10).Average(s => s.Loss);

        // Sums that are clipped, as post-scaling's are, do not keep pace.
        Assert.InRange(actual, expected * 0.98, expected * (mode == "post" ? 1.2 : 1.02));
    }

    /// <summary>Without mu, codes of a gradient travel as they are, and the mean of equal gradients is that gradient, in the same bytes where its scale is that of its amax.</summary>
    [Theory]
    [InlineData("CurrentGradients", true)]
    [InlineData("Fp8LmO2", false)]
    public void The_mean_of_equal_replicas_is_one_of_them(string recipe, bool fits)
    {
        using CpuPool pool = new(2);
        using CpuSession session = Session(recipe, pool);
        Step(session);
        GradientPlace place = new ReplicaGradients(session, 2, ReductionOrder.Tree, Mode("exchange")).Travelling[0];
        byte[] Codes() => session.Read<byte>(session.Gradient(place.Parameter, place.Layer), place.Elements);
        byte[] one = Codes();
        float[] expected = session.ReadParameter(ArenaKind.Gradients, place.Parameter, place.Layer), head = session.ReadParameter(ArenaKind.Gradients, 0, 0);
        foreach (int replicas in new[] { 2, 3, 16 })
        {
            var gradients = new ReplicaGradients(session, replicas, ReductionOrder.Tree, Mode("exchange"));
            for (int r = 0; r < replicas; r++)
            {
                gradients.Take(r);
                Assert.Equal(one, gradients.Reducer!.Payloads[r].Tensor(0).ToArray());
            }

            gradients.Reduce();
            float[] mean = session.ReadParameter(ArenaKind.Gradients, place.Parameter, place.Layer);

            // One rounding: a sixteenth of a normal number, half a unit of a subnormal one.
            double least = Math.ScaleB(1, -10) / gradients.Reducer!.Mean.Scale(0);
            Assert.All(expected.Zip(mean), pair => Assert.Equal(pair.First, pair.Second, 1e-12 + Math.Max(Math.Abs(pair.First) / 16.0, least)));
            Assert.All(head.Zip(session.ReadParameter(ArenaKind.Gradients, 0, 0)), pair => Assert.Equal(pair.First, pair.Second, 1e-6f * Math.Abs(pair.First)));

            // Where no code has to be rounded, not even the sum of codes was.
            if (replicas is 2 or 16)
            {
                Assert.Equal(expected, session.ReadParameter(ArenaKind.Gradients, place.Parameter, place.Layer));
                Assert.Equal(fits, one.AsSpan().SequenceEqual(Codes()));
            }

            Step(session);
        }
    }

    /// <summary>Fact sheet 2.3 and 2.6: half where more than 1e-5 of the elements saturate, else 2^(1/1000) more; 1/sqrt(N) at first.</summary>
    [Fact]
    public void Mu_halves_where_a_gradient_overflows_and_grows_elsewhere()
    {
        // All replicas have the same data, so sums are N times as long as a gradient: beyond 448 with mu = 1/4.
        RecordingObserver observer = Train("run", "Fp8LmO2", Options with { Steps = 30, Replicas = 16 }, data: new Repeating(FakeModel.Data(sequence: 32)));
        Assert.Equal(30, observer.Reductions.Count);
        Assert.All(observer.Reductions[0].Numerics, n => Assert.Equal(0.25f, n.Mu));
        int halved = 0, grown = 0;
        for (int step = 1; step < observer.Reductions.Count; step++)
        {
            foreach ((ReductionNumerics before, ReductionNumerics after) in observer.Reductions[step - 1].Numerics.Zip(observer.Reductions[step].Numerics))
            {
                bool saturates = before.Saturation > 1e-5;
                Assert.Equal(saturates ? before.Mu / 2 : before.Mu * Math.Pow(2, 1 / 1000.0), after.Mu, 1e-6 * after.Mu);
                (halved, grown) = (halved + (saturates ? 1 : 0), grown + (saturates ? 0 : 1));
            }
        }

        Assert.True(halved > 0 && grown > 0, $"halved {halved} times, grown {grown} times");
        Assert.All(observer.Reductions[^1].Numerics, n => Assert.True(n.Mu < 0.2f, $"{n.Tensor} {n.Mu}"));
    }

    [Fact]
    public void A_gradient_of_one_replica_that_is_not_finite_skips_the_step_and_leaves_mu()
    {
        using CpuPool pool = new(2);
        using CpuSession session = Session("Fp8LmO2", pool);
        var gradients = new ReplicaGradients(session, 3, ReductionOrder.Tree, Mode(Auto));
        float[] mu = [.. gradients.Travelling.Select((_, t) => gradients.Reducer!.Factors[t])];
        for (int r = 0; r < 3; r++)
        {
            Step(session);
            if (r == 1)
            {
                session.Write<float>([float.NaN], session.GradientAmax(gradients.Travelling[0].Parameter, gradients.Travelling[0].Layer));
            }

            gradients.Take(r);
        }

        byte[] before = session.Read<byte>(session.MasterArena, session.Plan.Bytes(ArenaKind.Master));
        gradients.Reduce();
        session.Plan.Program.Optimize(session);
        Assert.Equal(StepState.Skipped, session.ReadState().SkipStep);
        Assert.Equal(before, session.Read<byte>(session.MasterArena, session.Plan.Bytes(ArenaKind.Master)));
        Assert.Equal(mu[0], gradients.Reducer!.Factors[0]);
        Assert.NotEqual(mu[1], gradients.Reducer.Factors[1]);
        Assert.Equal(float.PositiveInfinity, gradients.Numerics[0].Amax);
    }

    [Theory]
    [InlineData("Fp8LmO2", Auto)]
    [InlineData("Fp8LmO3", "exchange")]
    [InlineData("Bf16", null)]
    public void A_resumed_run_ends_with_the_bytes_of_a_straight_one(string recipe, string? mode)
    {
        TrainerOptions options = Options with { Steps = 15, Replicas = 6, Accumulation = 2, Reduction = mode is null ? null : Mode(mode) };
        Train("straight", recipe, options);
        Train("broken", recipe, options with { Steps = 4, ScheduleSteps = 15 });
        RecordingObserver observer = Train("broken", recipe, options with { Steps = 9, ScheduleSteps = 15 }, resume: true);
        Train("broken", recipe, options, resume: true);
        Assert.Empty(observer.Messages);
        Assert.Equal(File.ReadAllBytes(Newest("straight")), File.ReadAllBytes(Newest("broken")));
    }

    /// <summary>How often a reduction is looked at changes no byte.</summary>
    [Fact]
    public void Measuring_changes_nothing()
    {
        Train("measured", "Fp8LmO2", Options with { Replicas = 3 });
        Assert.Empty(Train("plain", "Fp8LmO2", Options with { Replicas = 3, ReductionInterval = 0 }).Reductions);
        Assert.Equal(File.ReadAllBytes(Newest("measured")), File.ReadAllBytes(Newest("plain")));
    }

    [Fact]
    public void A_checkpoint_has_mu_of_every_matrix_and_layer()
    {
        Train("run", "Fp8LmO2", Options with { Replicas = 3 });
        SavedReduction saved = Load("run", "Fp8LmO2");
        Assert.Equal((3, Auto, 12L), (saved.Ranks, saved.Mode, saved.Steps));
        Assert.Equal(["layers.*.down", "layers.*.o", "layers.*.qkv", "layers.*.up"], saved.Tensors.Keys.Order(StringComparer.Ordinal));
        Assert.All(saved.Tensors.Values, t => Assert.Equal((2, 2), (t.Mu.Length, t.Scale.Length)));

        // 12 steps from 1/sqrt(3), some of which halved it.
        Assert.All(saved.Tensors.Values.SelectMany(t => t.Mu), m => Assert.Contains(Enumerable.Range(0, 12), h => Math.Abs((m * Math.Sqrt(3) * Math.Pow(2, h - ((12 - h) / 1000.0))) - 1) < 1e-9));
        using SafetensorsFile file = SafetensorsFile.Open(Newest("run"));
        Assert.Equal("1", file.Header.Metadata["reduction.version"]);
        file.Require("reduction.mu.layers.*.qkv", "F64", 2);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(double.NaN)]
    public void A_mu_that_is_no_factor_is_refused(double mu)
    {
        string damaged = temporary["damaged.safetensors"];
        var saved = new SavedReduction(2, Auto, 1, new Dictionary<string, ReductionFactors> { ["layers.*.o"] = new([0.5, mu], [1, 1]) });
        SafetensorsWriter.Write(damaged, [.. saved.ToWrite()], new Dictionary<string, string>(saved.Metadata()));
        using SafetensorsFile file = SafetensorsFile.Open(damaged);
        string message = Assert.Throws<CheckpointException>(() => SavedReduction.Read(file)).Message;
        Assert.Contains("'layers.*.o' is not a positive number", message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_version_that_is_not_known_is_refused()
    {
        string other = temporary["other.safetensors"];
        SafetensorsWriter.Write(other, [], new Dictionary<string, string> { ["reduction.version"] = "2" });
        using SafetensorsFile file = SafetensorsFile.Open(other);
        string message = Assert.Throws<CheckpointException>(() => SavedReduction.Read(file)).Message;
        Assert.Contains("has version '2'; this program reads version 1", message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_checkpoint_of_before_there_were_replicas_starts_mu_afresh()
    {
        Train("run", "Fp8LmO2", Options with { Steps = 3, Accumulation = 4 });
        RecordingObserver observer = Train("run", "Fp8LmO2", Options with { Steps = 5, Replicas = 4 }, resume: true);
        Assert.Contains(observer.Messages, m => m.EndsWith("has no mu; it starts at 0.5 for 4 replicas.", StringComparison.Ordinal));
        Assert.Contains(observer.Messages, m => m.Contains("replicas = 1 instead of 4", StringComparison.Ordinal));
        Assert.All(observer.Reductions[0].Numerics, n => Assert.Equal(0.5f, n.Mu));
    }

    [Fact]
    public void Another_number_of_replicas_rescales_mu_and_says_so()
    {
        Train("run", "Fp8LmO2", Options with { Steps = 6, Replicas = 2 });
        SavedReduction saved = Load("run", "Fp8LmO2");
        RecordingObserver observer = Train("run", "Fp8LmO2", Options with { Steps = 7, Replicas = 8 }, resume: true);
        Assert.Contains(observer.Messages, m => m.EndsWith("has mu of 2 replicas; for 8 it is multiplied by sqrt(2 / 8).", StringComparison.Ordinal));
        foreach (ReductionNumerics numerics in observer.Reductions[0].Numerics)
        {
            string[] parts = numerics.Tensor.Split('.');
            double before = saved.Tensors[$"layers.*.{parts[2]}"].Mu[int.Parse(parts[1], CultureInfo.InvariantCulture)];
            Assert.Equal(before / 2, numerics.Mu, 1e-6);
        }

        observer = Train("run", "Fp8LmO2", Options with { Steps = 8 }, resume: true);
        Assert.Contains(observer.Messages, m => m.EndsWith("has factors of gradient scaling 'auto' over 8 replicas; there are none now, so they are dropped.", StringComparison.Ordinal));
        Assert.Contains(observer.Messages, m => m.Contains("replicas = 8 instead of 1", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(Auto, "pre", "has factors of gradient scaling 'auto' over 4 replicas; with 'pre' the factor is 0.25, and they are dropped.", 0.25f)]
    [InlineData("post", Auto, "has factors of gradient scaling 'post' over 4 replicas, which are fixed; mu starts at 0.5 for 4 replicas.", 0.5f)]
    [InlineData("pre", "exchange", "has factors of gradient scaling 'pre' over 4 replicas; with 'exchange' the factor is 1, and they are dropped.", 1f)]
    public void Another_mode_says_what_becomes_of_mu(string first, string second, string message, float factor)
    {
        Train("run", "Fp8LmO2", Options with { Steps = 3, Replicas = 4, Reduction = Mode(first) });
        RecordingObserver observer = Train("run", "Fp8LmO2", Options with { Steps = 4, Replicas = 4, Reduction = Mode(second) }, resume: true);
        Assert.Contains(observer.Messages, m => m.EndsWith(message, StringComparison.Ordinal));
        Assert.All(observer.Reductions[0].Numerics, n => Assert.Equal(factor, n.Mu));
    }

    [Fact]
    public void Mu_goes_with_the_run_to_another_recipe_that_has_FP8_gradients()
    {
        TrainerOptions options = Options with { Replicas = 3 };
        Train("run", "Fp8LmO1", options with { Steps = 8 });
        SavedReduction saved = Load("run", "Fp8LmO1");
        RecordingObserver observer = Train("run", "Fp8LmO3", options with { Steps = 9 }, resume: true);
        Assert.Equal(saved.Tensors.Values.SelectMany(t => t.Mu).Select(m => (float)m).Order(), observer.Reductions[0].Numerics.Select(n => n.Mu).Order());
        Assert.DoesNotContain(observer.Messages, m => m.Contains(" mu", StringComparison.Ordinal));

        observer = Train("run", "Bf16", options with { Steps = 10 }, resume: true);
        Assert.Contains(observer.Messages, m => m.EndsWith("here no gradient travels in FP8, so they are dropped.", StringComparison.Ordinal));
        observer = Train("run", "Fp8LmO2", options with { Steps = 11 }, resume: true);
        Assert.Contains(observer.Messages, m => m.Contains("has no mu; it starts at 0.5774 for 3 replicas.", StringComparison.Ordinal));
        Assert.All(observer.Steps, s => Assert.True(double.IsFinite(s.Loss)));
    }

    [Fact]
    public void A_rewind_brings_mu_back()
    {
        using CpuPool pool = new(2);
        using CpuSession session = Session("Fp8LmO2", pool);
        var gradients = new ReplicaGradients(session, 3, ReductionOrder.Tree, Mode(Auto));
        SavedReduction saved = gradients.Save()!;
        for (int r = 0; r < 3; r++)
        {
            Step(session);
            gradients.Take(r);
        }

        gradients.Reduce();
        Assert.NotEqual(saved.Tensors["layers.*.qkv"].Mu, gradients.Save()!.Tensors["layers.*.qkv"].Mu);
        Assert.Null(gradients.Restore(saved));
        Assert.Equal(saved.Tensors["layers.*.qkv"].Mu, gradients.Save()!.Tensors["layers.*.qkv"].Mu);
        Assert.Equal(0, gradients.Save()!.Steps);
    }

    [Fact]
    public void Replicas_come_in_order_and_all_of_them()
    {
        using CpuPool pool = new(2);
        using CpuSession session = Session("Fp8LmO2", pool);
        Step(session);
        var gradients = new ReplicaGradients(session, 2, ReductionOrder.Tree, Mode(Auto));
        Assert.Contains("next is 0 of 2", Assert.Throws<InvalidOperationException>(() => gradients.Take(1)).Message, StringComparison.Ordinal);
        gradients.Take(0);
        Assert.Contains("Gradients of 1 replicas were taken; there are 2", Assert.Throws<InvalidOperationException>(gradients.Reduce).Message, StringComparison.Ordinal);
        gradients.Take(1);
        Assert.Contains("next is 2 of 2", Assert.Throws<InvalidOperationException>(() => gradients.Take(2)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Options_that_cannot_work_are_refused()
    {
        Assert.Contains("Replicas is 0; it must be from 1 to 128", Refused(Options with { Replicas = 0 }), StringComparison.Ordinal);
        Assert.Contains("Replicas is 129; it must be from 1 to 128", Refused(Options with { Replicas = 129 }), StringComparison.Ordinal);
        Assert.Contains("Replicas is 1; it must be at least 2 when Reduction", Refused(Options with { Reduction = Mode("pre") }), StringComparison.Ordinal);
        Assert.Contains("recipe Bf16 stores no gradients in FP8", Refused(Options with { Replicas = 2, Reduction = Mode("pre") }, "Bf16"), StringComparison.Ordinal);
        string message = Assert.Throws<DataException>(() => Train("run", "Bf16", Options with { Replicas = 128, Accumulation = 3 })).Message;
        Assert.Contains("A step of 128 replicas reads 768 different sequences (128 x 3 micro-batches x 2); the data has ", message, StringComparison.Ordinal);

        string Refused(TrainerOptions options, string recipe = "Fp8LmO2") => Assert.ThrowsAny<ArgumentException>(() => Train("run", recipe, options)).Message;
    }

    [Theory]
    [InlineData("--replicas 0", "--replicas takes a whole number from 1 to 128, not '0'.")]
    [InlineData("--replicas 129", "--replicas takes a whole number from 1 to 128, not '129'.")]
    [InlineData("--replicas many", "--replicas takes a whole number from 1 to 128, not 'many'.")]
    [InlineData("--replicas 2 --gradient-scaling mean", "--gradient-scaling 'mean' is not known. Allowed: auto, pre, post, exchange.")]
    [InlineData("--gradient-scaling pre", "but there is one replica. Add --replicas with a number from 2 to 128.")]
    [InlineData("--replicas 2 --gradient-scaling auto --recipe Bf16", "but recipe Bf16 has no FP8 gradients; its replicas are averaged in F32. Leave --gradient-scaling out, or use one of the recipes that have: Fp8LmO1, Fp8LmO2")]
    [InlineData("--replicas 128 --accumulate 9 --recipe Fp32", "reads 2304 different sequences (128 x 9 micro-batches x 2); the data has")]
    public void The_command_line_says_what_is_wrong(string arguments, string message)
    {
        (int code, string _, string errors) = CommandLine([.. arguments.Split(' '), "--out", temporary["run"]]);
        Assert.NotEqual(0, code);
        Assert.Contains(message, errors, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", errors, StringComparison.Ordinal);
        Assert.False(Directory.Exists(temporary["run"]));
    }

    [Fact]
    public void The_command_line_trains_over_replicas_and_reports_the_reduction()
    {
        (int code, string output, string errors) = CommandLine(
            "--out", temporary["run"], "--recipe", "Fp8LmO2", "--replicas", "3", "--gradient-scaling", Auto, "--steps", "4", "--reduction-every", "2", "--length", "0");
        Assert.True(code == 0, errors);
        Assert.Contains("3 replicas, gradients of 8 matrices reduced in FP8 (auto), the others averaged in F32", output, StringComparison.Ordinal);
        Assert.Contains("step 2  reduction: lowest SNR ", output, StringComparison.Ordinal);
        Assert.Contains("step 4  reduction: lowest SNR ", output, StringComparison.Ordinal);
        Assert.DoesNotContain("step 3  reduction", output, StringComparison.Ordinal);
        Assert.Contains(", mu 0.", output, StringComparison.Ordinal);
    }

    private static void Compare(StepReport[] expected, StepReport[] actual, double loss, double norm)
    {
        Assert.Equal(expected.Length, actual.Length);
        Assert.All(expected.Zip(actual), pair =>
        {
            Assert.Equal(pair.First.Loss, pair.Second.Loss, loss * pair.First.Loss);
            Assert.Equal(pair.First.GradientNorm, pair.Second.GradientNorm, norm * pair.First.GradientNorm);
        });
        Assert.True(actual[^1].Loss < actual[0].Loss - 0.05);
    }

    private static GradientReductionOptions Mode(string name) => ReductionMode.All.Single(m => m.Name == name).Options;

    private static CpuSession Session(string recipe, CpuPool pool) =>
        new(MemoryPlan.Create(Drawn.Definition, Drawn.Definition.Program(recipe), new DimBinding([2, 32, .. Drawn.Definition.Sizes[0].Values]), checkpointing: false), pool);

    /// <summary>Gradients of a micro-batch from initial weights.</summary>
    private static void Step(CpuSession session)
    {
        ParameterInitializer.Initialize(session, Drawn.Definition, 3);
        var batch = new StepBatch(session.Dims, 1, 256);
        batch.Read(FakeModel.Data(sequence: 32), 0);
        batch.Load(session, 0);
        session.WriteState(new StepState { LossScale = 1f / session.Dims.Tokens, Training = 1, SeedLow = 1, BiasCorrection1 = 0.1f, BiasCorrection2 = 0.05f, LearningRate = 1e-3f, Epsilon = 1e-8f });
        session.Plan.Program.CastWeights(session);
        for (int i = 0; i < 3; i++)
        {
            session.ClearGradients();
            session.Plan.Program.TrainMicroBatch(session);
            session.Plan.Program.UpdateScales(session);
        }
    }

    private SavedReduction Load(string run, string recipe)
    {
        using CpuPool pool = new(1);
        using CpuSession session = Session(recipe, pool);
        return TrainingCheckpoint.Load(Newest(run), session, Drawn.Definition, session.Plan.Program).Reduction!;
    }

    private string Newest(string run) => RunFolder.Checkpoints(temporary[run])[0].Path;

    private RecordingObserver Train(string run, string recipe, TrainerOptions options, bool resume = false, IBatchSource? data = null)
    {
        RecordingObserver observer = new();
        using CpuPool pool = new(2);
        using CpuSession session = Session(recipe, pool);
        using RunFolder folder = RunFolder.Open(temporary[run]);
        var trainer = new Trainer(Drawn.Definition, session.Plan.Program, session, options, data ?? FakeModel.Data(sequence: 32), null, folder, observer);
        if (!resume || !trainer.Resume(temporary[run]))
        {
            trainer.Start();
        }

        trainer.Run();
        return observer;
    }

    private (int Code, string Output, string Errors) CommandLine(params string[] arguments)
    {
        File.WriteAllText(temporary["text.txt"], string.Concat(Enumerable.Repeat("All work and no play makes Jack a dull boy.\n", 200)));
        using StringWriter output = new(), errors = new();
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(output), Ansi = AnsiSupport.No, Interactive = InteractionSupport.No });
        console.Profile.Width = 1000;
        int code = Fp8App.Run(Drawn.Definition, [.. arguments, "--data", temporary["text.txt"], "--device", "cpu"], new AppDefaults { MicroBatch = 2, Sequence = 32 }, console, errors);
        return (code, output.ToString(), errors.ToString());
    }

    /// <summary>Every sequence is the first of the step.</summary>
    private sealed class Repeating(SequenceSource source) : IBatchSource
    {
        public long SequencesPerEpoch => source.SequencesPerEpoch;

        public string Fingerprint => source.Fingerprint;

        public void Read(long number, Span<int> tokens, Span<int> labels, Span<float> weights) => source.Read(0, tokens, labels, weights);
    }
}
