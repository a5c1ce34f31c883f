using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using Fp8Lm.Checkpoints;
using Fp8Lm.Cpu;
using Fp8Lm.Execution;
using Fp8Lm.Numerics;
using Fp8Lm.Training.Tests.Fake;
using Fp8Lm.Training.Tests.Generated;
using Xunit;

namespace Fp8Lm.Training.Tests;

/// <summary>Gradients of the layers' weights in BF16, which need no scale, from a compiled model.</summary>
public sealed class Bf16GradientTests : IDisposable
{
    private static readonly TrainerOptions Options = new()
    {
        Steps = 60, LearningRate = 3e-3f, WarmupSteps = 5, CheckpointInterval = 1000, EvaluationInterval = 0, EvaluationBatches = 2, Seed = 1, Accumulation = 4,
    };

    private readonly TemporaryFolder temporary = new();

    public void Dispose() => temporary.Dispose();

    /// <summary>Every micro-batch adds in F32 and rounds once, to nearest even; the first assigns. All other gradients are those of the recipe with F32.</summary>
    [Fact]
    public void Micro_batches_add_in_F32_and_round_once()
    {
        const int MicroBatches = 5;
        using CpuPool pool = new(2);
        using CpuSession exact = Session("F32Gradients", pool), rounded = Session("TransformerEngine", pool);
        Start(exact);
        Start(rounded);
        ParameterInfo[] parameters = [.. Drawn.Definition.Parameters];
        var sums = parameters.Select(_ => new float[2][]).ToArray();

        // Each product on its own, so that the sums can be made here.
        for (int i = 0; i < MicroBatches; i++)
        {
            exact.ClearGradients();
            Run(exact, i);
            foreach (int p in Linear(rounded))
            {
                for (int layer = 0; layer < 2; layer++)
                {
                    float[] product = exact.ReadParameter(ArenaKind.Gradients, p, layer);
                    float[] before = sums[p][layer] ?? new float[product.Length];
                    sums[p][layer] = [.. product.Zip(before, (a, b) => BFloat16.ToSingle(BFloat16.FromSingle(b + a)))];
                }
            }
        }

        foreach (CpuSession session in new[] { exact, rounded })
        {
            session.ClearGradients();
            for (int i = 0; i < MicroBatches; i++)
            {
                Run(session, i);
            }
        }

        for (int p = 0; p < parameters.Length; p++)
        {
            for (int layer = 0; layer < parameters[p].Layers(rounded.Dims); layer++)
            {
                float[] actual = rounded.ReadParameter(ArenaKind.Gradients, p, layer), expected = exact.ReadParameter(ArenaKind.Gradients, p, layer);
                if (!rounded.Plan.Program.FormatsOf(p).Linear)
                {
                    Assert.Equal(expected, actual);
                    continue;
                }

                Assert.Equal(sums[p][layer], actual);
                double norm = Math.Sqrt(expected.Sum(v => (double)v * v)), error = Math.Sqrt(expected.Zip(actual).Sum(pair => Math.Pow(pair.First - pair.Second, 2)));
                Assert.InRange(error / norm, 1e-5, MicroBatches * Math.Pow(2, -8));
            }
        }
    }

    /// <summary>What frameworks hold in BF16 is BF16; DeepSeek-V3 and mixed FP16 accumulate in FP32.</summary>
    [Theory]
    [InlineData("Fp32", ElementFormat.F32)]
    [InlineData("Fp16", ElementFormat.F32)]
    [InlineData("BlockScaled", ElementFormat.F32)]
    [InlineData("F32Gradients", ElementFormat.F32)]
    [InlineData("Bf16", ElementFormat.BF16)]
    [InlineData("TransformerEngine", ElementFormat.BF16)]
    [InlineData("TransformerEngineCurrent", ElementFormat.BF16)]
    [InlineData("Rowwise", ElementFormat.BF16)]
    public void Matrices_of_layers_have_the_gradients_of_the_recipe(string recipe, ElementFormat format)
    {
        ModelProgram program = Drawn.Definition.Program(recipe);
        for (int p = 0; p < Drawn.Definition.Parameters.Length; p++)
        {
            bool matrix = Drawn.Definition.Parameters[p] is { Repeated: true } parameter && !parameter.Name.EndsWith("bias", StringComparison.Ordinal);
            Assert.Equal(matrix ? format : ElementFormat.F32, program.FormatsOf(p).Gradient);
        }
    }

    /// <summary>Nothing has a scale, so there is one pass over the states, and neither memory nor checkpoint has scales of states.</summary>
    [Theory]
    [InlineData("Bf16")]
    [InlineData("TransformerEngine")]
    [InlineData("Rowwise")]
    [InlineData("Bf16States")]
    [InlineData("Fp16Bf16Gradients")]
    public void States_without_scales_take_one_pass(string recipe)
    {
        string[] kernels = [.. Drawn.Definition.Program(recipe).Kernels.Select(k => k.Name)];
        Assert.Single(kernels, "adamw");
        Assert.DoesNotContain(kernels, k => k is "adamw_amax" or "adamw_store" or "state_scales" or "gradient_amax");
        Train("run", recipe, Options with { Steps = 2 });
        using SafetensorsFile file = SafetensorsFile.Open(Checkpoint("run"));
        Assert.DoesNotContain(file.Header.Tensors.Keys, name => name.StartsWith("fp8.state", StringComparison.Ordinal));
        using CpuPool pool = new(1);
        using CpuSession session = Session(recipe, pool);
        Assert.Equal(session.Workspace(WorkspacePart.StateScale), session.Workspace(WorkspacePart.Segments));
        Assert.NotEqual(session.Workspace(WorkspacePart.Segments), session.Workspace(WorkspacePart.LossScale));
    }

    [Theory]
    [InlineData("TransformerEngine", 0.01)]
    [InlineData("F32Gradients", 0.01)]
    [InlineData("Fp16Bf16Gradients", 0.01)]
    [InlineData("Rowwise", 0.01)]
    public void It_trains_like_Fp32(string recipe, double tolerance)
    {
        double expected = Losses("Fp32").TakeLast(10).Average(), actual = Losses(recipe).TakeLast(10).Average();
        TestContext.Current.TestOutputHelper?.WriteLine(FormattableString.Invariant($"{recipe} {actual:F4}, Fp32 {expected:F4}"));
        Assert.InRange(actual, expected * (1 - tolerance), expected * (1 + tolerance));
    }

    [Theory]
    [InlineData("Bf16")]
    [InlineData("TransformerEngine")]
    [InlineData("Bf16States")]
    [InlineData("Fp16Bf16Gradients")]
    public void A_resumed_run_ends_with_the_bytes_of_a_straight_one(string recipe)
    {
        Train("straight", recipe, Options with { Steps = 12 });
        Train("broken", recipe, Options with { Steps = 5, ScheduleSteps = 12 });
        Train("broken", recipe, Options with { Steps = 12 }, resume: true);
        Assert.Equal(File.ReadAllBytes(Checkpoint("straight")), File.ReadAllBytes(Checkpoint("broken")));
    }

    [Theory]
    [InlineData("F32Gradients", "TransformerEngine")]
    [InlineData("Fp8LmO2", "TransformerEngine")]
    [InlineData("TransformerEngine", "Fp8LmO1")]
    [InlineData("Bf16States", "Fp32")]
    public void A_run_goes_on_with_another_recipe(string first, string second)
    {
        double[] straight = [.. Train("straight", first, Options).Steps.Select(s => s.Loss)];
        Train("crossed", first, Options with { Steps = 30, ScheduleSteps = 60 });
        RecordingObserver observer = Train("crossed", second, Options, resume: true);
        Assert.Contains(observer.Messages, m => m.Contains($"was trained with recipe {first}", StringComparison.Ordinal));
        double expected = straight.TakeLast(10).Average(), actual = observer.Steps.Select(s => s.Loss).TakeLast(10).Average();
        Assert.InRange(actual, expected * 0.98, expected * 1.02);
    }

    private static IEnumerable<int> Linear(CpuSession session) => Enumerable.Range(0, Drawn.Definition.Parameters.Length).Where(p => session.Plan.Program.FormatsOf(p).Linear);

    private static void Start(CpuSession session)
    {
        ParameterInitializer.Initialize(session, Drawn.Definition, 3);
        session.Plan.Program.CastWeights(session);
        for (int i = 0; i < 3; i++)
        {
            Run(session, 0);
            session.Plan.Program.UpdateScales(session);
            session.Plan.Program.CastWeights(session);
        }
    }

    /// <summary>Micro-batch number <paramref name="batch"/>.</summary>
    private static void Run(CpuSession session, int batch)
    {
        Random random = new(5 + batch);
        int tokens = (int)session.Dims.Tokens;
        session.Write<int>([.. Enumerable.Range(0, tokens).Select(_ => random.Next(256))], session.Tokens);
        session.Write<int>([.. Enumerable.Range(0, tokens).Select(_ => random.Next(256))], session.Labels);
        session.Write<float>([.. Enumerable.Repeat(1f, tokens)], session.LabelWeights);
        session.WriteState(new StepState { LossScale = 1f / tokens, Training = 1, SeedLow = 1 });
        session.Plan.Program.TrainMicroBatch(session);
    }

    private static CpuSession Session(string recipe, CpuPool pool) =>
        new(MemoryPlan.Create(Drawn.Definition, Drawn.Definition.Program(recipe), new DimBinding([2, 32, .. Drawn.Definition.Sizes[0].Values]), checkpointing: false), pool);

    private double[] Losses(string recipe) => [.. Train(recipe, recipe, Options).Steps.Select(s => s.Loss)];

    private string Checkpoint(string run) => RunFolder.Checkpoints(temporary[run])[0].Path;

    private RecordingObserver Train(string run, string recipe, TrainerOptions options, bool resume = false)
    {
        RecordingObserver observer = new();
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
