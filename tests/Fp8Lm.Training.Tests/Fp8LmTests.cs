using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using Fp8Lm.Checkpoints;
using Fp8Lm.Cpu;
using Fp8Lm.Execution;
using Fp8Lm.Training.Tests.Fake;
using Fp8Lm.Training.Tests.Generated;
using Xunit;

namespace Fp8Lm.Training.Tests;

/// <summary>The levels of FP8-LM and the variants of its Table 6, from a compiled model.</summary>
public sealed class Fp8LmTests : IDisposable
{
    private static readonly TrainerOptions Options = new()
    {
        Steps = 60, LearningRate = 3e-3f, WarmupSteps = 5, CheckpointInterval = 1000, EvaluationInterval = 0, EvaluationBatches = 2, Seed = 1, Accumulation = 2,
    };

    private readonly TemporaryFolder temporary = new();

    public void Dispose() => temporary.Dispose();

    /// <summary>Table 3.1 of the fact sheet: what a parameter of a linear in a layer takes, copies for products included.</summary>
    [Theory]
    [InlineData("Fp32", 16)]
    [InlineData("Bf16", 16)]
    [InlineData("TransformerEngine", 16)]
    [InlineData("TransformerEngineCurrent", 16)]
    [InlineData("F32Gradients", 18)]
    [InlineData("Fp16Bf16Gradients", 16)]
    [InlineData("Bf16States", 10)]
    [InlineData("Fp16", 18)]
    [InlineData("Fp16States", 12)]
    [InlineData("Fp8LmO1", 11)]
    [InlineData("Fp8LmO2", 6)]
    [InlineData("Fp8LmO3", 7)]
    [InlineData("BlockO2", 6)]
    [InlineData("Bf16Master", 6)]
    [InlineData("Fp8Master", 5)]
    [InlineData("Fp8SecondMoment", 5)]
    [InlineData("Coat", 10)]
    [InlineData("GroupedO2", 5)]
    public void A_linear_weight_takes_the_bytes_of_the_table(string recipe, double bytes)
    {
        using CpuPool pool = new(1);
        using CpuSession session = Session(recipe, pool, layers: 3);
        MemoryPlan plan = session.Plan;
        ModelProgram program = plan.Program;
        int[] linear = [.. Enumerable.Range(0, Drawn.Definition.Parameters.Length).Where(p => Drawn.Definition.Parameters[p] is { Repeated: true } i && i.Shape(plan.Dims).Length == 2)];
        ArenaKind[] arenas = [ArenaKind.Master, ArenaKind.Gradients, ArenaKind.FirstMoment, ArenaKind.SecondMoment];
        long elements = linear.Sum(p => plan.Parameters[p].Elements);
        int[] copies = [.. Enumerable.Range(0, program.Buffers.Count).Where(b => program.Buffers[b] is { Category: BufferCategory.Weights, Scope: BufferScope.PerLayerAlways })];

        // As planned, and as the addresses of adjacent layers say.
        long planned = linear.Sum(p => arenas.Sum(a => plan.ParameterOffset(a, p, 1) - plan.ParameterOffset(a, p, 0))) + copies.Sum(b => plan.Buffers[b].Stride);
        long allocated = linear.Sum(p => arenas.Sum(a => ParameterMemory.Address(session, a, p, 2) - ParameterMemory.Address(session, a, p, 1)))
            + copies.Sum(b => session.Buffer(b, 2) - session.Buffer(b, 1));
        Assert.Equal(bytes, planned / (double)elements);
        Assert.Equal(bytes, allocated / (double)elements);

        // One more layer makes the arenas larger by just that; vectors of a layer are the rest.
        using CpuSession larger = Session(recipe, pool, layers: 35);
        long vectors = Enumerable.Range(0, Drawn.Definition.Parameters.Length).Where(p => Drawn.Definition.Parameters[p].Repeated).Except(linear)
            .Sum(p => arenas.Sum(a => plan.Parameters[p].Stride * program.FormatsOf(p).Of(a).Bytes()));
        long grown = arenas.Append(ArenaKind.Weights).Sum(a => larger.Plan.Bytes(a) - plan.Bytes(a));
        Assert.InRange((grown / 32.0) - vectors - planned, -64, 64);
    }

    [Theory]
    [InlineData("Fp8LmO1", 0.01)]
    [InlineData("Fp8LmO2", 0.01)]
    [InlineData("Fp8LmO3", 0.01)]
    [InlineData("Bf16Master", 0.02)]
    [InlineData("SmallMoments", 0.02)]
    [InlineData("Coat", 0.01)]
    [InlineData("GroupedO2", 0.01)]
    [InlineData("GroupedSecondMoment", 0.01)]
    [InlineData("GroupedE5M2", 0.01)]
    public void It_trains_like_Bf16(string recipe, double tolerance)
    {
        double expected = Losses("Bf16").TakeLast(10).Average(), actual = Losses(recipe).TakeLast(10).Average();
        TestContext.Current.TestOutputHelper?.WriteLine(FormattableString.Invariant($"{recipe} {actual:F4}, Bf16 {expected:F4}"));
        Assert.InRange(actual, expected * (1 - tolerance), expected * (1 + tolerance));
    }

    /// <summary>Where weights are cast, once or at every use, is no difference in numbers.</summary>
    [Fact]
    public void O3_computes_what_O2_does() => Assert.Equal(Losses("Fp8LmO2"), Losses("Fp8LmO3"));

    [Theory]
    [InlineData("Fp8LmO1")]
    [InlineData("Fp8LmO2")]
    [InlineData("Fp8LmO3")]
    [InlineData("Fp8Master")]
    [InlineData("Coat")]
    [InlineData("GroupedO2")]
    public void A_resumed_run_ends_with_the_bytes_of_a_straight_one(string recipe)
    {
        Train("straight", recipe, Options with { Steps = 12 });
        Train("broken", recipe, Options with { Steps = 5, ScheduleSteps = 12 });
        Train("broken", recipe, Options with { Steps = 12 }, resume: true);
        Assert.Equal(File.ReadAllBytes(Checkpoint("straight")), File.ReadAllBytes(Checkpoint("broken")));
    }

    [Theory]
    [InlineData("Bf16", "Fp8LmO2", 0.02)]
    [InlineData("Fp8LmO2", "Bf16", 0.02)]
    [InlineData("Fp8LmO1", "Fp8LmO3", 0.02)]
    [InlineData("Fp8LmO2", "Coat", 0.02)]
    [InlineData("Coat", "Bf16", 0.02)]
    [InlineData("GroupedO2", "Coat", 0.02)]
    public void A_run_goes_on_with_another_recipe(string first, string second, double tolerance)
    {
        RecordingObserver observer = new();
        double[] straight = [.. Train("straight", first, Options).Steps.Select(s => s.Loss)];
        Train("crossed", first, Options with { Steps = 30, ScheduleSteps = 60 });
        Train("crossed", second, Options, resume: true, observer);
        Assert.Contains(observer.Messages, m => m.Contains($"was trained with recipe {first}", StringComparison.Ordinal));
        Assert.Equal(30, observer.Steps.Count);
        double expected = straight.TakeLast(10).Average(), actual = observer.Steps.Select(s => s.Loss).TakeLast(10).Average();
        Assert.InRange(actual, expected * (1 - tolerance), expected * (1 + tolerance));
    }

    [Fact]
    public void Converted_states_are_casts_of_the_numbers_in_the_checkpoint()
    {
        Train("run", "Bf16", Options with { Steps = 5 });
        using CpuPool pool = new(2);
        using CpuSession exact = Session("Bf16", pool), cast = Session("Fp8LmO2", pool);
        TrainingCheckpoint.Load(Checkpoint("run"), exact, Drawn.Definition, exact.Plan.Program);
        TrainingCheckpoint.Load(Checkpoint("run"), cast, Drawn.Definition, cast.Plan.Program);
        foreach ((ArenaKind arena, double error) in new[] { (ArenaKind.Master, Half16), (ArenaKind.FirstMoment, 1 / 16.0), (ArenaKind.SecondMoment, Half16) })
        {
            for (int p = 0; p < Drawn.Definition.Parameters.Length; p++)
            {
                float[] expected = exact.ReadParameter(arena, p, 0), actual = cast.ReadParameter(arena, p, 0);
                double amax = expected.Max(MathF.Abs);
                Assert.All(expected.Zip(actual), pair => Assert.True(Math.Abs(pair.First - pair.Second) <= Math.Max(error * Math.Abs(pair.First), amax * 1e-5), $"{pair.Second} for {pair.First}"));
            }
        }
    }

    private const double Half16 = 1 / 2048.0;

    /// <summary>Two micro-batches: each adds one E4M3 rounding to the sum, at a scale that fits the sum.</summary>
    [Theory]
    [InlineData("CurrentGradients")]
    [InlineData("Fp8LmO2")]
    public void Micro_batches_accumulate_and_are_requantised(string recipe)
    {
        using CpuPool pool = new(2);
        using CpuSession exact = Session("F32Gradients", pool), scaled = Session(recipe, pool);
        Dictionary<string, float[][]> sums = [];
        foreach (CpuSession session in new[] { exact, scaled })
        {
            Start(session);
            List<float[]> found = [];
            for (int times = 1; times <= 2; times++)
            {
                session.ClearGradients();
                for (int i = 0; i < times; i++)
                {
                    session.Plan.Program.TrainMicroBatch(session);
                }

                found.AddRange(Linear.Select(p => session.ReadParameter(ArenaKind.Gradients, p, 1)));
            }

            sums[session.Plan.Program.Recipe] = [.. found];
        }

        int count = Linear.Count();
        for (int i = 0; i < 2 * count; i++)
        {
            float[] reference = sums["F32Gradients"][i], actual = sums[recipe][i];
            double norm = Math.Sqrt(reference.Sum(v => (double)v * v)), error = Math.Sqrt(reference.Zip(actual).Sum(p => Math.Pow(p.First - p.Second, 2)));
            Assert.True(error < 0.3 * norm, $"gradient {i % count} after {1 + (i / count)} passes is off by {error / norm:P1}");
        }

        // The second pass adds the same numbers, up to the rounding of the sum.
        for (int i = 0; i < count; i++)
        {
            float[] once = sums[recipe][i], twice = sums[recipe][count + i];
            double norm = Math.Sqrt(once.Sum(v => (double)v * v)), error = Math.Sqrt(once.Zip(twice).Sum(p => Math.Pow((2 * p.First) - p.Second, 2)));
            Assert.True(error < 0.07 * 2 * norm, $"gradient {i}: twice is off by {error / (2 * norm):P1}");
        }

        // A current scale fits: the largest magnitude is in the upper half of the format's range. A delayed one leaves room, and was known before the sum was.
        foreach (int p in Linear)
        {
            float scale = scaled.Read<float>(scaled.GradientScale(p, 1), 1)[0], amax = scaled.ReadParameter(ArenaKind.Gradients, p, 1).Max(MathF.Abs);
            Assert.True(MathF.Log2(scale) % 1 == 0 && amax * scale <= 448 && amax * scale >= (recipe == "Fp8LmO2" ? 52 : 208), $"scale {scale} for {amax}");
        }
    }

    /// <summary>The scale of the next step is that of the largest sum that a gradient held in the last steps, with one to two binades in reserve; what is larger saturates for one step.</summary>
    [Fact]
    public void Delayed_scales_of_gradients_follow_the_largest_sum_of_the_last_steps()
    {
        using CpuPool pool = new(2);
        using CpuSession session = Session("Fp8LmO2", pool);
        Start(session);
        int p = Linear.First();
        float Scale() => session.Read<float>(session.GradientScale(p, 1), 1)[0];
        float Amax() => session.Read<float>(session.GradientAmax(p, 1), 1)[0];
        void Step()
        {
            session.ClearGradients();
            session.Plan.Program.TrainMicroBatch(session);
        }

        for (int i = 0; i < 16; i++)
        {
            Step();
            session.Plan.Program.UpdateScales(session);
        }

        float usual = Amax(), fitting = Scale();
        Assert.InRange(usual * fitting, 112, 224);

        session.Write<float>([64 * fitting], session.GradientScale(p, 1));
        session.Write<float>([1 / (64 * fitting)], session.GradientInverse(p, 1));
        Step();
        byte[] codes = session.Read<byte>(session.Gradient(p, 1), session.Plan.Parameters[p].Elements);
        Assert.Contains(codes, c => (c & 0x7F) == 0x7E);
        Assert.DoesNotContain(codes, c => (c & 0x7F) == 0x7F);
        Assert.Equal(usual, Amax());
        session.Plan.Program.UpdateScales(session);
        Assert.Equal(fitting, Scale());

        // A larger sum stays in sight for 16 steps.
        session.Write<float>([64 * usual], session.GradientAmax(p, 1));
        for (int i = 0; i < 16; i++)
        {
            session.Plan.Program.UpdateScales(session);
            Assert.Equal(fitting / 64, Scale());
            Step();
        }

        session.Plan.Program.UpdateScales(session);
        Assert.Equal(fitting, Scale());
        Assert.Equal(1f / fitting, session.Read<float>(session.GradientInverse(p, 1), 1)[0]);
    }

    /// <summary>Scales are calibrated on one micro-batch; the first step's sum of several still fits, and from the second step on scales are those of sums.</summary>
    [Theory]
    [InlineData(2, 2)]
    [InlineData(5, 8)]
    public void Calibration_leaves_room_for_the_sum_of_a_step(int microBatches, float factor)
    {
        using CpuPool pool = new(2);
        using CpuSession session = Session("Fp8LmO2", pool);
        Start(session);
        nint first = session.StateSlot(WorkspacePart.StateScale, ArenaKind.Gradients, 0, 0), inverses = session.StateSlot(WorkspacePart.StateScaleInverse, ArenaKind.Gradients, 0, 0);
        float[] before = session.Read<float>(first, session.Plan.StateInstances);
        byte[] others = session.Read<byte>(session.StateSlot(WorkspacePart.StateScale, ArenaKind.Master, 0, 0), 3 * session.Plan.StateInstances * sizeof(float));
        GradientScales.MakeRoom(session, 1);
        Assert.Equal(before, session.Read<float>(first, session.Plan.StateInstances));
        Assert.Contains(session.Read<float>(session.Workspace(WorkspacePart.GradientHistory), session.Plan.GradientHistory), a => a > 0);

        GradientScales.MakeRoom(session, microBatches);
        float[] after = session.Read<float>(first, session.Plan.StateInstances);
        Assert.Equal(before.Select(s => s / factor), after);
        Assert.Equal(after.Select(s => 1 / s), session.Read<float>(inverses, session.Plan.StateInstances));
        Assert.Equal(others, session.Read<byte>(session.StateSlot(WorkspacePart.StateScale, ArenaKind.Master, 0, 0), 3 * session.Plan.StateInstances * sizeof(float)));
        Assert.All(session.Read<float>(session.Workspace(WorkspacePart.GradientHistory), session.Plan.GradientHistory), a => Assert.Equal(0f, a));
    }

    /// <summary>The bytes of a gradient are finite whatever happened; its amax stops the step, and the next step starts afresh.</summary>
    [Fact]
    public void Overflow_in_one_gradient_skips_one_step_and_clipping_rewrites_no_byte()
    {
        using CpuPool pool = new(2);
        using CpuSession session = Session("Fp8LmO2", pool);
        Start(session);
        ArenaKind[] kept = [ArenaKind.Master, ArenaKind.FirstMoment, ArenaKind.SecondMoment];
        byte[][] Bytes(params ArenaKind[] arenas) => [.. arenas.Select(a => session.Read<byte>(session.Layout.Arena(a), session.Plan.Bytes(a)))];
        StepState Step(Action spoil)
        {
            session.ClearGradients();
            session.WriteState(new StepState
            {
                LossScale = 1f / session.Dims.Tokens, Training = 1, SeedLow = 1, LearningRate = 1e-3f, Beta1 = 0.9f, Beta2 = 0.95f, Epsilon = 1e-8f, BiasCorrection1 = 0.1f,
                BiasCorrection2 = 0.05f, MaxGradientNorm = 0.01f,
            });
            session.Plan.Program.TrainMicroBatch(session);
            spoil();
            byte[][] gradients = Bytes(ArenaKind.Gradients);
            session.Plan.Program.Optimize(session);
            Assert.Equal(gradients, Bytes(ArenaKind.Gradients));
            return session.ReadState();
        }

        byte[][] before = Bytes(kept);
        Assert.Equal(StepState.Skipped, Step(() => session.Write<float>([float.PositiveInfinity], session.GradientAmax(Linear.First(), 1))).SkipStep);
        Assert.Equal(before, Bytes(kept));
        StepState state = Step(() => { });
        Assert.Equal(0u, state.SkipStep);
        Assert.InRange(state.ClipFactor, 1e-6f, 0.9f);
        Assert.All(before.Zip(Bytes(kept)), pair => Assert.NotEqual(pair.First, pair.Second));
    }

    private static IEnumerable<int> Linear => Enumerable.Range(0, Drawn.Definition.Parameters.Length).Where(p => Drawn.Definition.Program("Fp8LmO2").FormatsOf(p).Linear);

    private static void Start(CpuSession session)
    {
        ParameterInitializer.Initialize(session, Drawn.Definition, 3);
        Random random = new(5);
        int tokens = (int)session.Dims.Tokens;
        session.Write<int>([.. Enumerable.Range(0, tokens).Select(_ => random.Next(256))], session.Tokens);
        session.Write<int>([.. Enumerable.Range(0, tokens).Select(_ => random.Next(256))], session.Labels);
        session.Write<float>([.. Enumerable.Repeat(1f, tokens)], session.LabelWeights);
        session.WriteState(new StepState { LossScale = 1f / tokens, Training = 1, SeedLow = 1 });
        session.Plan.Program.CastWeights(session);
        for (int i = 0; i < 3; i++)
        {
            session.Plan.Program.TrainMicroBatch(session);
            session.Plan.Program.UpdateScales(session);
            session.Plan.Program.CastWeights(session);
        }
    }

    private static CpuSession Session(string recipe, CpuPool pool, long layers = 2)
    {
        long[] size = [.. Drawn.Definition.Sizes[0].Values];
        size[^1] = layers;
        return new CpuSession(MemoryPlan.Create(Drawn.Definition, Drawn.Definition.Program(recipe), new DimBinding([2, 32, .. size]), checkpointing: false), pool);
    }

    private double[] Losses(string recipe) => [.. Train(recipe, recipe, Options).Steps.Select(s => s.Loss)];

    private string Checkpoint(string run) => RunFolder.Checkpoints(temporary[run])[0].Path;

    private RecordingObserver Train(string run, string recipe, TrainerOptions options, bool resume = false, RecordingObserver? observer = null)
    {
        observer ??= new RecordingObserver();
        using CpuPool pool = new(2);
        using CpuSession session = Session(recipe, pool);
        using RunFolder folder = RunFolder.Open(temporary[run]);
        var trainer = new Trainer(Drawn.Definition, session.Plan.Program, session, options, FakeModel.Data(sequence: 32), null, folder, observer);
        if (!resume || !trainer.Resume(temporary[run]))
        {
            trainer.Start();
        }

        trainer.Run();
        return observer;
    }
}
