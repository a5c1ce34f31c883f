using System;
using System.IO;
using System.Linq;
using Fp8Lm.Checkpoints;
using Fp8Lm.Cpu;
using Fp8Lm.Execution;
using Fp8Lm.Training.Tests.Fake;
using Fp8Lm.Training.Tests.Generated;
using Xunit;

namespace Fp8Lm.Training.Tests;

/// <summary>What is said and done about numbers that are not finite, by injection into a compiled model.</summary>
public sealed class NonFiniteTests : IDisposable
{
    private const int BadStep = 3, Accumulation = 2;
    private static readonly byte[] Nan16 = [0xC0, 0x7F], Nan32 = [0, 0, 0xC0, 0x7F], Infinity16 = [0x80, 0x7F], Infinity32 = [0, 0, 0x80, 0x7F];

    private static readonly TrainerOptions Options = new()
    {
        Steps = 5, LearningRate = 3e-3f, WarmupSteps = 2, CheckpointInterval = 1, EvaluationInterval = 0, Seed = 1, Accumulation = Accumulation, NonFinite = NonFinitePolicy.Skip,
    };

    private readonly TemporaryFolder temporary = new();

    public void Dispose() => temporary.Dispose();

    /// <summary>Recipe, kernel, which of its launches in the second micro-batch (backward goes from the last layer down), what it writes, the bits; what the message says.</summary>
    public static TheoryData<string, string, int, string, byte[], string, string> Injections => new()
    {
        { "Fp32", "forward_layers_up_fprop", 1, "silu:", Infinity32, "the loss is not finite", "layers[1].silu (activation, F32), the input of layers[1].down, after kernel drawn_forward_layers_up_fprop" },
        { "Bf16", "forward_layers_up_fprop", 0, "silu:", Nan16, "the loss is not finite", "layers[0].silu (activation, BF16), the input of layers[0].down, after kernel drawn_forward_layers_up_fprop" },
        { "Bf16", "backward_layers_down_dgrad", 0, "d_silu", Nan16, "the gradient is not finite", "layers[1].silu (gradient, BF16), the output gradient of layers[1].up, after kernel drawn_backward_layers_down_dgrad" },
        { "Bf16", "forward_layers_attention", 1, "lse", Nan32, "the gradient is not finite", "layers[1].attention.lse (activation, F32), after kernel drawn_forward_layers_attention" },
        { "Fp32", "backward_layers_up_wgrad", 1, "up_gradient", Infinity32, "the gradient is not finite", "gradient of layers[0].up, after kernel drawn_backward_layers_up_wgrad" },
        { "TransformerEngine", "forward_layers_qkv_fprop", 1, "qkv:", Infinity16, "the loss is not finite", "layers[1].qkv (activation, BF16), after kernel drawn_forward_layers_qkv_fprop" },
        { "TransformerEngine", "backward_layers_down_dgrad", 1, "silu_amax", Infinity32, "an amax of what is cast to FP8 is not finite", "layers[0].silu (gradient, before the cast to E5M2), the output gradient of layers[0].up, after kernel drawn_backward_layers_down_dgrad" },
        { "TransformerEngine", "forward_layers_rms_norm_2", 1, "rms_norm_amax", Infinity32, "an amax of what is cast to FP8 is not finite", "layers[1].rms_norm (input, before the cast to E4M3), the input of layers[1].up, after kernel drawn_forward_layers_rms_norm_2" },
        { "TransformerEngineCurrent", "backward_layers_down_dgrad", 0, "silu_amax", Infinity32, "an amax of what is cast to FP8 is not finite", "layers[1].silu (gradient, before the cast to E5M2), the output gradient of layers[1].up, after kernel drawn_backward_layers_down_dgrad" },
        { "Fp8LmO2", "backward_layers_up_dgrad", 1, "d_up", Nan16, "the gradient is not finite", "layers[0].up (gradient, BF16), after kernel drawn_backward_layers_up_dgrad" },
        { "Fp8LmO2", "backward_layers_down_dgrad", 0, "silu_amax", Infinity32, "an amax of what is cast to FP8 is not finite", "layers[1].silu (gradient, before the cast to E5M2), the output gradient of layers[1].up, after kernel drawn_backward_layers_down_dgrad" },
        { "Fp8LmO3", "backward_layers_qkv_wgrad", 0, "qkv_gradient_amax", Infinity32, "the gradient is not finite", "gradient of layers[1].qkv (amax), after kernel drawn_backward_layers_qkv_wgrad" },
    };

    [Theory]
    [MemberData(nameof(Injections))]
    public void The_first_tensor_is_named_and_the_step_is_skipped(string recipe, string kernel, int occurrence, string argument, byte[] bits, string what, string tensor)
    {
        (RecordingObserver observer, byte[] before, byte[] after) = Run(recipe, micro => micro == ((BadStep - 1) * Accumulation) + 1, kernel, occurrence, argument, bits);

        string message = Assert.Single(observer.Messages);
        TestContext.Current.TestOutputHelper?.WriteLine(message);
        Assert.StartsWith($"Step {BadStep}: {what}", message, StringComparison.Ordinal);
        Assert.Contains($"The first tensor that is not finite is {tensor}.", message, StringComparison.Ordinal);
        Assert.EndsWith("The step is skipped.", message, StringComparison.Ordinal);
        Assert.Equal(before, after);
        Assert.Equal(Options.Steps, observer.Steps.Count);
        Assert.All(observer.Steps.Skip(BadStep), s => Assert.True(double.IsFinite(s.Loss) && float.IsFinite(s.GradientNorm)));
    }

    [Theory]
    [InlineData("Fp32", "layers.*.qkv", 1, "layers[1].qkv")]
    [InlineData("Bf16", "layers.*.down", 0, "layers[0].down")]
    [InlineData("TransformerEngine", "layers.*.up", 1, "layers[1].up")]
    [InlineData("Fp8LmO2", "layers.*.o", 0, "layers[0].o")]
    [InlineData("Fp8Master", "layers.*.up", 1, "layers[1].up")]
    [InlineData("Fp8LmO3", "tokens", 0, "tokens")]
    public void A_weight_is_named_before_what_it_spoils(string recipe, string parameter, long layer, string name)
    {
        using CpuPool pool = new(2);
        using CpuSession session = Session(recipe, pool);
        var trainer = new Trainer(Drawn.Definition, session.Plan.Program, session, Options with { NonFinite = NonFinitePolicy.Stop }, FakeModel.Data(sequence: 32), null, null, null);
        int number = Array.FindIndex(Drawn.Definition.Parameters, p => p.Name == parameter);
        trainer.Start();
        ElementFormat format = ParameterMemory.Format(session, ArenaKind.Master, number);
        byte[] nan = format switch { ElementFormat.F32 => Nan32, ElementFormat.F16 => [0, 0x7E], _ => [0x7F] };
        session.CopyFromHost(nan, session.Master(number, layer));
        session.Plan.Program.CastWeights(session);

        var failure = Assert.Throws<TrainingException>(() => trainer.Run(TestContext.Current.CancellationToken));

        Assert.StartsWith("Step 1: ", failure.Message, StringComparison.Ordinal);
        Assert.Contains($"The first tensor that is not finite is weight {name}, before any kernel of the step.", failure.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Too_many_skipped_steps_in_a_row_stop_and_lose_nothing()
    {
        TrainerOptions options = Options with { Steps = 20, MaxSkippedSteps = 3 };
        var failure = Assert.Throws<TrainingException>(
            () => Run("Bf16", micro => micro >= (BadStep - 1) * Accumulation, "forward_layers_up_fprop", 0, "silu:", Nan16, options));

        Assert.StartsWith("Step 5: the loss is not finite", failure.Message, StringComparison.Ordinal);
        Assert.Contains("3 steps in a row were skipped; at most 2 may be (--max-skipped 3). Training stops; weights and checkpoints are those from before step 3.", failure.Message, StringComparison.Ordinal);
        Assert.Equal(4, RunFolder.Checkpoints(temporary["run"])[0].Step);
    }

    /// <summary>The count goes on where the checkpoint says, and one good step ends it.</summary>
    [Fact]
    public void A_resumed_run_counts_on()
    {
        TrainerOptions options = Options with { Steps = 4, ScheduleSteps = 9, MaxSkippedSteps = 3 };
        Func<uint, bool> bad = micro => micro / Accumulation is 2 or 3 or 5 or 6 or 7;
        Run("Bf16", bad, "forward_layers_up_fprop", 0, "silu:", Nan16, options);

        var failure = Assert.Throws<TrainingException>(() => Run("Bf16", bad, "forward_layers_up_fprop", 0, "silu:", Nan16, options with { Steps = 9 }, resume: true));
        Assert.StartsWith("Step 8: ", failure.Message, StringComparison.Ordinal);

        Directory.Delete(temporary["run"], recursive: true);
        Func<uint, bool> four = micro => micro / Accumulation is >= 2 and <= 5;
        Run("Bf16", four, "forward_layers_up_fprop", 0, "silu:", Nan16, options);
        failure = Assert.Throws<TrainingException>(() => Run("Bf16", four, "forward_layers_up_fprop", 0, "silu:", Nan16, options with { Steps = 9 }, resume: true));
        Assert.StartsWith("Step 5: ", failure.Message, StringComparison.Ordinal);
    }

    private (RecordingObserver Observer, byte[] Before, byte[] After) Run(
        string recipe, Func<uint, bool> microStep, string kernel, int occurrence, string argument, byte[] bits, TrainerOptions? options = null, bool resume = false)
    {
        using CpuPool pool = new(2);
        using CpuSession session = Session(recipe, pool);
        byte[][] weights = new byte[3][];
        var observer = new RecordingObserver
        {
            Stepped = report => weights[Math.Clamp(report.Step - BadStep + 1, 0, 2)] = Weights(session),
        };
        using RunFolder folder = RunFolder.Open(temporary["run"]);
        var poisoned = new PoisonedSession(session, session.Plan.Program, microStep, kernel, occurrence, argument, bits);
        var trainer = new Trainer(Drawn.Definition, session.Plan.Program, poisoned, options ?? Options, FakeModel.Data(sequence: 32), null, folder, observer);
        if (!resume || !trainer.Resume(temporary["run"]))
        {
            trainer.Start();
        }

        trainer.Run(TestContext.Current.CancellationToken);
        return (observer, weights[0], weights[1]);
    }

    private static byte[] Weights(CpuSession session)
    {
        byte[] bytes = new byte[session.Plan.Bytes(ArenaKind.Master)];
        session.CopyToHost(session.MasterArena, bytes);
        return bytes;
    }

    private static CpuSession Session(string recipe, CpuPool pool) =>
        new(MemoryPlan.Create(Drawn.Definition, Drawn.Definition.Program(recipe), new DimBinding([2, 32, .. Drawn.Definition.Sizes[0].Values]), checkpointing: false), pool);
}
