using System;
using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Checkpoints;
using Fp8Lm.Cpu;
using Fp8Lm.Execution;
using Fp8Lm.Training.Tests.Fake;
using Fp8Lm.Training.Tests.Generated;
using Xunit;

namespace Fp8Lm.Training.Tests;

/// <summary>Moments in groups with scales and exponents (COAT, arXiv 2410.19313, section 4), from a compiled model.</summary>
public sealed class GroupedMomentTests : IDisposable
{
    private static readonly ArenaKind[] Moments = [ArenaKind.FirstMoment, ArenaKind.SecondMoment];

    private readonly TemporaryFolder temporary = new();

    public void Dispose() => temporary.Dispose();

    /// <summary>Table 6 #4 of FP8-LM is a second moment in E4M3 with a scale per tensor. In groups the losses stay beside those of a second moment in F32.</summary>
    [Fact]
    public void Losses_stay_closer_to_those_of_F32_moments_than_with_a_scale_per_tensor()
    {
        double[] exact = Losses("Bf16");
        double Distance(string recipe) => Losses(recipe).Zip(exact, (a, b) => Math.Abs(a - b)).Skip(10).Average();
        double grouped = Distance("GroupedSecondMoment"), perTensor = Distance("ScaledSecondMoment");
        TestContext.Current.TestOutputHelper?.WriteLine(FormattableString.Invariant($"grouped {grouped:F5}, per tensor {perTensor:F5}"));
        Assert.InRange(grouped, 0, 0.4 * perTensor);
    }

    /// <summary>Moments of a run in F32, converted: what share of second moments becomes zero, and what becomes of m / sqrt(v).</summary>
    [Fact]
    public void Second_moments_of_a_run_do_not_underflow()
    {
        Train("run", "Bf16", 20);
        using CpuPool pool = new(2);
        using CpuSession exact = Load("run", "Bf16", pool), grouped = Load("run", "GroupedO2", pool), perTensor = Load("run", "Fp8SecondMoment", pool);
        (double zeros, double error) = Compare(exact, grouped);
        (double zerosPerTensor, double errorPerTensor) = Compare(exact, perTensor);
        TestContext.Current.TestOutputHelper?.WriteLine(FormattableString.Invariant($"grouped {zeros:P2} zeros, error {error:P2}; per tensor {zerosPerTensor:P2}, {errorPerTensor:P2}"));
        Assert.Equal(0, zeros);
        Assert.InRange(error, 0, 0.03);
        Assert.True(zerosPerTensor > 0.05 && errorPerTensor > 10 * error);
    }

    /// <summary>Numbers of a checkpoint in groups are those that the run had, whatever recipe reads it; in other groups they become the same bytes.</summary>
    [Fact]
    public void Checkpoints_carry_groups_to_other_recipes()
    {
        Train("run", "Coat", 5);
        using CpuPool pool = new(2);
        using CpuSession own = Load("run", "Coat", pool), wide = Load("run", "Bf16", pool), other = Load("run", "GroupedO2", pool);
        using (SafetensorsFile file = SafetensorsFile.Open(Checkpoint("run")))
        {
            Assert.Equal(("F32", "64, 2"), Entry(file, "fp8.groups.adam.v.tokens"));
            Assert.Equal(("F8_E4M3", "256, 32"), Entry(file, "adam.v.tokens"));
            Assert.Equal(("F32", "1, 2"), Entry(file, "fp8.groups.adam.m.layers.1.bias"));
            Assert.DoesNotContain("fp8.state_scale", file.Header.Tensors.Keys);
        }

        foreach (ArenaKind arena in Moments)
        {
            foreach ((int p, long layer) in Instances(own.Plan))
            {
                Assert.Equal(own.ReadParameter(arena, p, layer), wide.ReadParameter(arena, p, layer));
                Assert.Equal(Bytes(own, arena, p, layer), Bytes(other, arena, p, layer));
            }
        }
    }

    /// <summary>Eight bytes for every 128 elements of each moment, which count as the optimizer's; generation has none.</summary>
    [Fact]
    public void Groups_take_an_eighth_of_a_byte_a_parameter()
    {
        long[] sizes = [1024, 512, 8, 4];
        MemoryPlan grouped = Plan("GroupedO2", sizes), perTensor = Plan("Fp8SecondMoment", sizes);
        Assert.Equal(1 / 8.0, (grouped.Bytes(BufferCategory.Optimizer) - perTensor.Bytes(BufferCategory.Optimizer)) / (double)grouped.ParameterCount, 2e-3);
        Assert.Equal(perTensor.Bytes(BufferCategory.Workspace), grouped.Bytes(BufferCategory.Workspace));
        Assert.Equal(grouped.TotalBytes, Enum.GetValues<BufferCategory>().Sum(grouped.Bytes));
        MemoryPlan one = Plan("GroupedSecondMoment", sizes);
        Assert.Equal(grouped.MomentGroups * MomentGroup.Bytes, one.Bytes(ArenaKind.Workspace) - one.Offset(WorkspacePart.SecondGroups));
        MemoryPlan generation = MemoryPlan.Create(Drawn.Definition, Drawn.Definition.Program("Coat"), new DimBinding([2, 32, .. sizes]), checkpointing: false, training: false);
        Assert.Equal(generation.Bytes(ArenaKind.Workspace), generation.Offset(WorkspacePart.SecondGroups));
    }

    /// <summary>Share of second moments that are zero though they were not, and error of m / sqrt(v) beside its norm, both over all parameters.</summary>
    private static (double Zeros, double Error) Compare(CpuSession exact, CpuSession cast)
    {
        long zeros = 0, count = 0;
        double error = 0, norm = 0;
        foreach ((int p, long layer) in Instances(exact.Plan))
        {
            float[][] from = [.. Moments.Select(a => exact.ReadParameter(a, p, layer))], to = [.. Moments.Select(a => cast.ReadParameter(a, p, layer))];
            for (int i = 0; i < from[1].Length; i++)
            {
                if (from[1][i] > 0)
                {
                    double before = from[0][i] / (Math.Sqrt(from[1][i]) + 1e-8), after = to[0][i] / (Math.Sqrt(to[1][i]) + 1e-8);
                    (zeros, count, error, norm) = (zeros + (to[1][i] == 0 ? 1 : 0), count + 1, error + ((after - before) * (after - before)), norm + (before * before));
                }
            }
        }

        return (zeros / (double)count, Math.Sqrt(error / norm));
    }

    private static IEnumerable<(int Parameter, long Layer)> Instances(MemoryPlan plan) =>
        Enumerable.Range(0, plan.Parameters.Count).SelectMany(p => Enumerable.Range(0, (int)plan.Parameters[p].Instances).Select(layer => (p, (long)layer)));

    private static (string Type, string Shape) Entry(SafetensorsFile file, string name) => (file.Header.Tensors[name].DataType, string.Join(", ", file.Header.Tensors[name].Shape));

    private static byte[] Bytes(CpuSession session, ArenaKind arena, int parameter, long layer) =>
        session.Read<byte>(ParameterMemory.Address(session, arena, parameter, layer), session.Plan.Parameters[parameter].Elements);

    private string Checkpoint(string run) => RunFolder.Checkpoints(temporary[run])[0].Path;

    private CpuSession Load(string run, string recipe, CpuPool pool)
    {
        CpuSession session = Session(recipe, pool);
        TrainingCheckpoint.Load(Checkpoint(run), session, Drawn.Definition, session.Plan.Program);
        return session;
    }

    private double[] Losses(string recipe) => [.. Train(recipe, recipe, 60).Steps.Select(s => s.Loss)];

    private RecordingObserver Train(string run, string recipe, int steps)
    {
        var observer = new RecordingObserver();
        using CpuPool pool = new(2);
        using CpuSession session = Session(recipe, pool);
        using RunFolder folder = RunFolder.Open(temporary[run]);
        TrainerOptions options = new()
        {
            Steps = steps, LearningRate = 3e-3f, WarmupSteps = 5, CheckpointInterval = 1000, EvaluationInterval = 0, EvaluationBatches = 2, Seed = 1, Accumulation = 2,
        };
        var trainer = new Trainer(Drawn.Definition, session.Plan.Program, session, options, FakeModel.Data(sequence: 32), null, folder, observer);
        trainer.Start();
        trainer.Run();
        return observer;
    }

    private static CpuSession Session(string recipe, CpuPool pool) => new(Plan(recipe, Drawn.Definition.Sizes[0].Values), pool);

    private static MemoryPlan Plan(string recipe, long[] sizes) => MemoryPlan.Create(Drawn.Definition, Drawn.Definition.Program(recipe), new DimBinding([2, 32, .. sizes]), checkpointing: false);
}
