using System;
using System.IO;
using System.Linq;
using Fp8Lm.Checkpoints;
using Fp8Lm.Cuda;
using Fp8Lm.Data;
using Fp8Lm.Execution;
using Fp8Lm.Numerics;
using Fp8Lm.Training.Tests.Generated;
using Xunit;

namespace Fp8Lm.Training.Tests;

/// <summary>On a GPU, steps that are captured and queued are the steps that run one launch after another while the host waits.</summary>
public sealed class CudaTrainingTests : IDisposable
{
    private static readonly TrainerOptions Options = new()
    {
        Steps = 24, Accumulation = 2, EvaluationInterval = 10, EvaluationBatches = 2, CheckpointInterval = 7, NonFinite = NonFinitePolicy.Skip, LearningRate = 2e-3f,
    };

    private readonly TemporaryFolder temporary = new();

    public void Dispose() => temporary.Dispose();

    [Theory]
    [InlineData("TransformerEngine", -1)]
    [InlineData("TransformerEngineCurrent", -1)]
    [InlineData("Rowwise", -1)]
    [InlineData("BlockScaled", -1)]
    [InlineData("BlockO2", -1)]
    [InlineData("Bf16", -1)]
    [InlineData("Fp16", -1)]
    [InlineData("Fp32", -1)]
    [InlineData("Fp8LmO1", -1)]
    [InlineData("Fp8LmO2", -1)]
    [InlineData("Fp8LmO3", -1)]
    [InlineData("Fp8LmO2", 12)]
    [InlineData("TransformerEngine", 12)]
    [InlineData("TransformerEngineCurrent", 12)]
    [InlineData("Bf16", 13)]
    public void Captured_steps_write_the_bytes_of_a_run_that_waits(string recipe, long badStep)
    {
        (RecordingObserver queued, byte[] queuedBytes) = Train(recipe, badStep, session => session);
        (RecordingObserver waiting, byte[] waitingBytes) = Train(recipe, badStep, session => new Waiting(session));

        Assert.Equal(badStep < 0 ? 0 : 1, queued.Messages.Count);
        Assert.Equal(waiting.Messages, queued.Messages);
        Assert.Equal(waiting.Steps.Select(Numbers), queued.Steps.Select(Numbers));
        Assert.Equal(waiting.Evaluations, queued.Evaluations);
        Assert.Equal(waitingBytes, queuedBytes);
    }

    /// <summary>Overflows and growth inside captured steps: the same scales, messages and bytes as where every step is waited for.</summary>
    [Fact]
    public void A_loss_scale_in_captured_steps_is_that_of_a_run_that_waits()
    {
        (RecordingObserver queued, byte[] queuedBytes) = Train("EagerLossScale", -1, session => session);
        (RecordingObserver waiting, byte[] waitingBytes) = Train("EagerLossScale", -1, session => new Waiting(session));

        Assert.NotEmpty(queued.Messages);
        Assert.Equal(waiting.Messages, queued.Messages);
        Assert.Equal(waiting.Steps.Select(s => (s.LossScale, Numbers(s))), queued.Steps.Select(s => (s.LossScale, Numbers(s))));
        Assert.Equal(waitingBytes, queuedBytes);
    }

    /// <summary>Counting on sampled steps, captured or waited for, leaves the bytes of a run that does not count, and reports the same.</summary>
    [Theory]
    [InlineData("TransformerEngine")]
    [InlineData("TransformerEngineCurrent")]
    [InlineData("BlockScaled")]
    [InlineData("Rowwise")]
    [InlineData("Fp8LmO1")]
    [InlineData("Fp8LmO2")]
    [InlineData("Coat")]
    [InlineData("GroupedO2")]
    [InlineData("Bf16Master")]
    [InlineData("Fp8Master")]
    [InlineData("Fp8SecondMoment")]
    [InlineData("Bf16States")]
    public void Counted_steps_write_the_bytes_of_a_run_that_does_not_count(string recipe)
    {
        (_, byte[] plain) = Train(recipe, -1, session => session);
        (RecordingObserver queued, byte[] queuedBytes) = Train(recipe, -1, session => session, numerics: 3);
        (RecordingObserver waiting, byte[] waitingBytes) = Train(recipe, -1, session => new Waiting(session), numerics: 3);

        Assert.Equal(plain, queuedBytes);
        Assert.Equal(plain, waitingBytes);
        Assert.Equal(Enumerable.Range(1, 8).Select(i => 3L * i), queued.Casts.Select(c => c.Step).Distinct());
        Assert.Equal(waiting.Casts, queued.Casts);
        Assert.All(queued.Casts, c => Assert.Equal(0, c.Numerics.NonFinite));
        Assert.All(
            queued.Casts.Where(c => NumericsStateTests.IsSound(recipe, c)),
            c => Assert.True(c.Numerics.SignalToNoise > 15 && c.Numerics.SignalToNoise < (NumericsStateTests.StateRoles.Contains(c.Role) ? 90 : 60), c.ToString()));

        // Every state in fewer than 32 bits, once a step, with all of its elements.
        CastInfo[] states = [.. Drawn.Definition.Program(recipe).Casts.Where(c => c.State is not null)];
        var dims = new DimBinding([2, 32, .. Drawn.Definition.Sizes[0].Values]);
        Assert.All(states, s => Assert.Equal(
            8 * s.Layers(dims) * Drawn.Definition.Parameters[s.State!.Value.Parameter].Elements(dims), queued.Casts.Where(c => c.Name == s.Name && c.Role == s.Role).Sum(c => c.Numerics.Elements)));
    }

    /// <summary>Equal masters are cast to equal bytes, so both back ends count the same; sums of squares are added in another order.</summary>
    [Theory]
    [InlineData("TransformerEngine")]
    [InlineData("BlockScaled")]
    [InlineData("Rowwise")]
    public void Casts_of_weights_count_what_the_CPU_counts(string recipe)
    {
        if (CudaDevice.Find(out string problem) is not { } device)
        {
            Assert.Skip(problem);
            return;
        }

        MemoryPlan plan = MemoryPlan.Create(Drawn.Definition, Drawn.Definition.Program(recipe), new DimBinding([2, 32, .. Drawn.Definition.Sizes[0].Values]), checkpointing: false);
        using var pool = new Cpu.CpuPool(2);
        using var cpu = new CpuSession(plan, pool);
        using var gpu = new CudaSession(plan, device);
        CastReport[] Count(Session session)
        {
            ParameterInitializer.Initialize(session, Drawn.Definition, 3);
            float[] scales = [.. Enumerable.Repeat(2000f, (int)session.ScaleSlots)];
            session.Write<float>(scales, session.ScaleArena);
            using (CastCounting.Begin(session, counts: true))
            {
                plan.Program.CastWeights(session);
            }

            return [.. CastReport.Of(1, plan, session.Read<CastStatistics>(session.Workspace(WorkspacePart.CastStatistics), plan.CastSlots))];
        }

        CastReport[] expected = Count(cpu), actual = Count(gpu);
        Assert.Equal(8, expected.Length);
        Assert.Equal(expected.Select(WithoutSums), actual.Select(WithoutSums));
        Assert.All(expected.Zip(actual), pair =>
        {
            Assert.Equal(pair.First.Numerics.Signal, pair.Second.Numerics.Signal, 1e-5 * pair.First.Numerics.Signal);
            Assert.Equal(pair.First.Numerics.Noise, pair.Second.Numerics.Noise, 1e-5 * pair.First.Numerics.Noise);
        });

        static CastReport WithoutSums(CastReport report) => report with { Numerics = report.Numerics with { Signal = 0, Noise = 0 } };
    }

    /// <summary>
    /// One optimizer step from equal bytes on both back ends: equal scales, and bytes that differ only where the last bit of the float32 arithmetic (the device fuses
    /// multiplications and additions) decides a rounding.
    /// </summary>
    [Theory]
    [InlineData("Fp8LmO1")]
    [InlineData("Fp8LmO2")]
    [InlineData("Fp8LmO3")]
    [InlineData("Bf16Master")]
    [InlineData("Fp8Master")]
    [InlineData("Fp8SecondMoment")]
    [InlineData("SmallMoments")]
    [InlineData("Fp16States")]
    [InlineData("TransformerEngine")]
    [InlineData("Bf16States")]
    [InlineData("Fp16Bf16Gradients")]
    [InlineData("Coat")]
    [InlineData("GroupedO2")]
    [InlineData("GroupedE5M2")]
    public void A_step_of_the_segmented_optimizer_stores_what_the_CPU_stores(string recipe)
    {
        if (CudaDevice.Find(out string problem) is not { } device)
        {
            Assert.Skip(problem);
            return;
        }

        MemoryPlan plan = MemoryPlan.Create(Drawn.Definition, Drawn.Definition.Program(recipe), new DimBinding([2, 32, .. Drawn.Definition.Sizes[0].Values]), checkpointing: false);
        using var pool = new Cpu.CpuPool(2);
        using var cpu = new CpuSession(plan, pool);
        using var gpu = new CudaSession(plan, device);
        foreach (ArenaKind arena in new[] { ArenaKind.Master, ArenaKind.Gradients, ArenaKind.FirstMoment, ArenaKind.SecondMoment })
        {
            var random = new Random((int)arena);
            for (int p = 0; p < plan.Parameters.Count; p++)
            {
                for (long layer = 0; layer < plan.Parameters[p].Instances; layer++)
                {
                    float[] values = [.. Enumerable.Range(0, (int)plan.Parameters[p].Elements).Select(_ => (float)(random.NextDouble() - (arena == ArenaKind.SecondMoment ? 0 : 0.5)) * 0.01f)];
                    cpu.WriteParameter(arena, p, layer, values);
                    gpu.WriteParameter(arena, p, layer, values);
                    Assert.Equal(Bytes(cpu, arena, p, layer), Bytes(gpu, arena, p, layer));
                }
            }
        }

        foreach (Session session in new Session[] { cpu, gpu })
        {
            session.WriteState(new StepState
            {
                LearningRate = 1e-2f, Beta1 = 0.9f, Beta2 = 0.95f, Epsilon = 1e-8f, WeightDecay = 0.1f, BiasCorrection1 = 0.271f, BiasCorrection2 = 0.142625f, MaxGradientNorm = 0.1f,
            });
            using (CastCounting.Begin(session, counts: true))
            {
                plan.Program.Optimize(session);
            }

            session.Synchronize();
        }

        CountedAlike(States(cpu), States(gpu));
        Assert.Equal(cpu.ReadState().GradientNorm, gpu.ReadState().GradientNorm, 1e-6);
        foreach (WorkspacePart part in plan.ScaledStates ? new[] { WorkspacePart.StateScale, WorkspacePart.StateScaleInverse } : [])
        {
            Assert.Equal(cpu.Read<float>(cpu.Workspace(part), 4 * plan.StateInstances), gpu.Read<float>(gpu.Workspace(part), 4 * plan.StateInstances));
        }

        long bytes = 0, different = 0;
        foreach (ArenaKind arena in new[] { ArenaKind.Master, ArenaKind.FirstMoment, ArenaKind.SecondMoment })
        {
            for (int p = 0; p < plan.Parameters.Count; p++)
            {
                float[] expected = cpu.ReadParameter(arena, p, 0), actual = gpu.ReadParameter(arena, p, 0);
                float largest = expected.Max(MathF.Abs);
                if (plan.Program.FormatsOf(p).Of(arena) == ElementFormat.F32)
                {
                    Assert.All(expected.Zip(actual), v => Assert.Equal(v.First, v.Second, 1e-5f * largest));
                    continue;
                }

                (byte[] one, byte[] two) = (Bytes(cpu, arena, p, 0), Bytes(gpu, arena, p, 0));
                bytes += one.Length;
                different += one.Zip(two).Count(b => b.First != b.Second);
                Assert.All(expected.Zip(actual), v => Assert.Equal(v.First, v.Second, (MathF.Abs(v.First) / 4) + (1e-2f * largest)));
            }
        }

        Assert.True(different <= bytes / 500, $"{different} of {bytes} bytes differ");
    }

    private static byte[] Bytes(Session session, ArenaKind arena, int parameter, long layer) => session.Read<byte>(
        ParameterMemory.Address(session, arena, parameter, layer), session.Plan.Parameters[parameter].Elements * ParameterMemory.Format(session, arena, parameter).Bytes());

    private static (long, double, float, float) Numbers(StepReport s) => (s.Step, s.Loss, s.LearningRate, s.GradientNorm);

    private (RecordingObserver Observer, byte[] Checkpoint) Train(string recipe, long badStep, Func<Session, Session> wrap, long numerics = 0)
    {
        if (CudaDevice.Find(out string problem) is not { } device)
        {
            Assert.Skip(problem);
            return default;
        }

        string path = temporary[Path.GetRandomFileName()];
        ModelProgram program = Drawn.Definition.Program(recipe);
        var dims = new DimBinding([2, 32, .. Drawn.Definition.Sizes[0].Values]);
        using var session = new CudaSession(MemoryPlan.Create(Drawn.Definition, program, dims, checkpointing: false), device);
        var observer = new RecordingObserver();
        using (RunFolder folder = RunFolder.Open(path))
        {
            var trainer = new Trainer(
                Drawn.Definition, program, wrap(session), Options with { NumericsInterval = numerics }, new Letters(badStep), new Letters(badStep: -1), folder, observer);
            trainer.Start();
            trainer.Run(TestContext.Current.CancellationToken);
        }

        return (observer, File.ReadAllBytes(RunFolder.Checkpoints(path)[0].Path));
    }

    private static CastReport[] States(ArenaSession session) =>
        [.. CastReport.Of(1, session.Plan, session.Read<CastStatistics>(session.Workspace(WorkspacePart.CastStatistics), session.Plan.CastSlots)).Where(r => NumericsStateTests.StateRoles.Contains(r.Role))];

    /// <summary>Stores of both back ends count the same, but for the last bit of the float32 arithmetic at the edges of underflow and saturation.</summary>
    private static void CountedAlike(CastReport[] expected, CastReport[] actual)
    {
        Assert.Equal(expected.Select(r => (r.Tensor, r.Role, r.Format, r.Scale, r.Numerics.Elements, r.Numerics.NonFinite)), actual.Select(r => (r.Tensor, r.Role, r.Format, r.Scale, r.Numerics.Elements, r.Numerics.NonFinite)));
        Assert.All(expected.Zip(actual), pair =>
        {
            (TensorNumerics cpu, TensorNumerics gpu) = (pair.First.Numerics, pair.Second.Numerics);
            Assert.InRange(Math.Abs(cpu.Underflow - gpu.Underflow), 0, 1 + (cpu.Elements / 500));
            Assert.InRange(Math.Abs(cpu.Saturated - gpu.Saturated), 0, 1 + (cpu.Elements / 500));
            Assert.Equal(cpu.Amax, gpu.Amax, 1e-5 * cpu.Amax);
            Assert.Equal(cpu.Signal, gpu.Signal, 1e-4 * cpu.Signal);
            Assert.Equal(cpu.SignalToNoise, gpu.SignalToNoise, 0.2);
        });
    }

    /// <summary>Without a step runner of the device's own: every step is waited for.</summary>
    private sealed class Waiting(Session inner) : SessionDecorator(inner);

    /// <summary>Random letters; in the bad step one label has no weight that is a number.</summary>
    private sealed class Letters(long badStep) : IBatchSource
    {
        private const int SequencesPerStep = 4;

        public long SequencesPerEpoch => 1000;

        public string Fingerprint => "letters";

        public void Read(long number, Span<int> tokens, Span<int> labels, Span<float> weights)
        {
            var random = new Random((int)number);
            for (int i = 0; i < tokens.Length; i++)
            {
                tokens[i] = 97 + random.Next(26);
                labels[i] = 97 + ((tokens[i] + 3) % 26);
            }

            weights.Fill(1f);
            if (number == ((badStep - 1) * SequencesPerStep) + 1)
            {
                weights[5] = float.NaN;
            }
        }
    }
}
