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

/// <summary>Scales per row and per block on a compiled model: they train, need no history, and take the memory that the plan says.</summary>
public sealed class GroupedScalingTests : IDisposable
{
    private static readonly TrainerOptions Options = new()
    {
        Steps = 60, LearningRate = 3e-3f, WarmupSteps = 5, CheckpointInterval = 1000, EvaluationInterval = 0, EvaluationBatches = 2, Seed = 1, Accumulation = 2,
    };

    private readonly TemporaryFolder temporary = new();

    public void Dispose() => temporary.Dispose();

    [Theory]
    [InlineData("Rowwise")]
    [InlineData("BlockScaled")]
    [InlineData("BlockO2")]
    public void It_trains_like_Bf16(string recipe)
    {
        double expected = Losses("Bf16").TakeLast(10).Average(), actual = Losses(recipe).TakeLast(10).Average();
        TestContext.Current.TestOutputHelper?.WriteLine(FormattableString.Invariant($"{recipe} {actual:F4}, Bf16 {expected:F4}"));
        Assert.InRange(actual, expected * 0.99, expected * 1.01);
    }

    [Theory]
    [InlineData("Rowwise")]
    [InlineData("BlockScaled")]
    [InlineData("BlockO2")]
    public void A_resumed_run_ends_with_the_bytes_of_a_straight_one(string recipe)
    {
        Train("straight", recipe, Options with { Steps = 12 });
        Train("broken", recipe, Options with { Steps = 5, ScheduleSteps = 12 });
        Train("broken", recipe, Options with { Steps = 12 }, resume: true);
        Assert.Equal(File.ReadAllBytes(Checkpoint("straight")), File.ReadAllBytes(Checkpoint("broken")));
    }

    /// <summary>Scales follow from the numbers at every cast, so a checkpoint has none, and one with another recipe's says what is missing to nobody.</summary>
    [Theory]
    [InlineData("Rowwise", "TransformerEngine")]
    [InlineData("TransformerEngine", "BlockScaled")]
    [InlineData("BlockScaled", "Fp8LmO2")]
    public void A_run_goes_on_with_another_recipe(string first, string second)
    {
        double[] straight = [.. Train("straight", first, Options).Steps.Select(s => s.Loss)];
        Train("crossed", first, Options with { Steps = 30, ScheduleSteps = 60 });
        RecordingObserver observer = Train("crossed", second, Options, resume: true);
        Assert.Contains(observer.Messages, m => m.Contains($"was trained with recipe {first}", StringComparison.Ordinal));
        Assert.InRange(observer.Steps.Select(s => s.Loss).TakeLast(10).Average(), straight.TakeLast(10).Average() * 0.98, straight.TakeLast(10).Average() * 1.02);
    }

    /// <summary>Bytes saturate, so nothing but the inverse scale can tell that a group held an infinity.</summary>
    [Theory]
    [InlineData("Rowwise")]
    [InlineData("BlockScaled")]
    public void An_infinity_shows_in_the_loss(string recipe)
    {
        using CpuPool pool = new(2);
        using CpuSession session = Session(recipe, pool);
        ParameterInitializer.Initialize(session, Drawn.Definition, 3);
        int tokens = (int)session.Dims.Tokens, linear = Enumerable.Range(0, Drawn.Definition.Parameters.Length).First(p => Drawn.Definition.Parameters[p] is { Repeated: true } i && i.Shape(session.Dims).Length == 2);
        session.Write<int>(new int[tokens], session.Tokens);
        session.Write<int>(new int[tokens], session.Labels);
        session.Write<float>([.. Enumerable.Repeat(1f, tokens)], session.LabelWeights);
        double Loss()
        {
            session.WriteState(new StepState { LossScale = 1f / tokens });
            session.Plan.Program.CastWeights(session);
            session.Plan.Program.Forward(session);
            session.Plan.Program.Loss(session, train: false);
            return session.ReadState().LossSum;
        }

        Assert.True(double.IsFinite(Loss()));
        float[] weights = session.ReadParameter(ArenaKind.Master, linear, 1);
        weights[5] = float.PositiveInfinity;
        session.WriteParameter(ArenaKind.Master, linear, 1, weights);
        Assert.True(double.IsNaN(Loss()));
    }

    /// <summary>F32 per row of the copy and per column of the other; per 128 of either for what flows, one per 128 x 128 for weights.</summary>
    [Theory]
    [InlineData("Rowwise")]
    [InlineData("BlockScaled")]
    public void The_plan_counts_the_scales(string recipe)
    {
        using CpuPool pool = new(1);
        using CpuSession session = Session(recipe, pool);
        MemoryPlan plan = session.Plan;
        IReadOnlyList<BufferInfo> buffers = plan.Program.Buffers;
        Assert.Equal(0, plan.ScaleSlots);
        long tokens = plan.Dims.Tokens;
        static long Blocks(long extent) => (extent + 127) / 128;
        int found = 0;
        for (int i = 0; i < buffers.Count; i++)
        {
            if (!buffers[i].Name.EndsWith("_scales", StringComparison.Ordinal) && buffers[i].Format is ElementFormat.E4M3 or ElementFormat.E5M2)
            {
                string[] name = buffers[i].Name.Split('~');    // the second of a name is name~2
                bool over = name[0].EndsWith(".transposed", StringComparison.Ordinal), weight = buffers[i].Category == BufferCategory.Weights;
                int scales = Enumerable.Range(0, buffers.Count).FirstOrDefault(b => buffers[b].Name == string.Join('~', [name[0] + "_scales", .. name[1..]]), -1);
                if (recipe == "BlockScaled" && weight && over)
                {
                    Assert.Equal(-1, scales);    // squares serve both copies
                    continue;
                }

                long elements = buffers[i].Elements(plan.Dims), rows = weight ? Rows(buffers[i].Name, plan.Dims) : tokens, columns = elements / rows;
                long expected = (recipe, weight, over) switch
                {
                    ("Rowwise", _, false) => rows,
                    ("Rowwise", _, true) => columns,
                    (_, true, _) => Blocks(rows) * Blocks(columns),
                    (_, _, false) => Blocks(columns) * rows,
                    _ => Blocks(rows) * columns,
                };
                Assert.True(scales >= 0, $"{buffers[i].Name} has no scales");
                Assert.Equal((ElementFormat.F32, expected, buffers[i].Category), (buffers[scales].Format, buffers[scales].Elements(plan.Dims), buffers[scales].Category));
                Assert.Equal(plan.Buffers[i].Instances, plan.Buffers[scales].Instances);
                Assert.True(plan.Buffers[scales].Stride >= 4 * expected);
                found++;
            }
        }

        Assert.True(found >= 8, $"{found} copies with scales");
    }

    /// <summary>Rows of the weight that a copy's name ends in: <c>layers.up.fp8</c>.</summary>
    private static long Rows(string copy, DimBinding dims)
    {
        string weight = copy.Split('.')[^2].Split('~')[0];
        return Drawn.Definition.Parameters.First(p => p.Repeated && p.Name.EndsWith("." + weight, StringComparison.Ordinal)).Shape(dims)[0];
    }

    private double[] Losses(string recipe) => [.. Train(recipe, recipe, Options).Steps.Select(s => s.Loss)];

    private string Checkpoint(string run) => RunFolder.Checkpoints(temporary[run])[0].Path;

    private static CpuSession Session(string recipe, CpuPool pool) =>
        new(MemoryPlan.Create(Drawn.Definition, Drawn.Definition.Program(recipe), new DimBinding([2, 32, .. Drawn.Definition.Sizes[0].Values]), checkpointing: false), pool);

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
