using System;
using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Cpu;
using Fp8Lm.Execution;
using Fp8Lm.Numerics;
using Fp8Lm.Training.Tests.Generated;
using Xunit;

namespace Fp8Lm.Training.Tests;

/// <summary>What the optimizer reports of the states that it stores, against an update in float64 of what stood in memory before, and the numbers and bytes that stand there behind it.</summary>
public sealed class StoredStateTests
{
    private static readonly StepState Step = new()
    {
        LearningRate = 1e-2f, Beta1 = 0.9f, Beta2 = 0.95f, Epsilon = 1e-8f, WeightDecay = 0.1f, BiasCorrection1 = 0.271f, BiasCorrection2 = 0.142625f, MaxGradientNorm = 1f,
    };

    private static readonly Dictionary<string, ArenaKind> Roles = new()
    {
        ["master"] = ArenaKind.Master, ["first_moment"] = ArenaKind.FirstMoment, ["second_moment"] = ArenaKind.SecondMoment,
    };

    [Theory]
    [InlineData("Fp8LmO1")]
    [InlineData("Fp8LmO2")]
    [InlineData("Fp8LmO3")]
    [InlineData("Coat")]
    [InlineData("Bf16Master")]
    [InlineData("Fp8Master")]
    [InlineData("Fp8SecondMoment")]
    [InlineData("SmallMoments")]
    [InlineData("GroupedO2")]
    [InlineData("GroupedSecondMoment")]
    [InlineData("GroupedE5M2")]
    [InlineData("Bf16States")]
    [InlineData("Fp16States")]
    public void ReportsAreThoseOfAnUpdateInFloat64(string recipe)
    {
        using CpuPool pool = new(2);
        using CpuSession session = Session(recipe, pool);
        MemoryPlan plan = session.Plan;
        Fill(session);
        Dictionary<(ArenaKind, int, long), float[]> before = Everything(session).ToDictionary(s => s, s => session.ReadParameter(s.Arena, s.Parameter, s.Layer));
        IReadOnlyList<CastReport> reports = Optimize(session);
        StepState state = session.ReadState();
        var byState = reports.Where(r => Roles.ContainsKey(r.Role)).ToDictionary(r => (Roles[r.Role], r.Tensor));
        int checkedStates = 0;
        long underflow = 0;
        foreach ((ArenaKind arena, int parameter, long layer) in Everything(session).Where(s => s.Arena != ArenaKind.Gradients))
        {
            ParameterInfo info = Drawn.Definition.Parameters[parameter];
            ParameterFormats formats = plan.Program.FormatsOf(parameter);
            ElementFormat format = formats.Of(arena);
            string tensor = info.InstanceName(layer);
            if (format == ElementFormat.F32)
            {
                Assert.DoesNotContain((arena, tensor), byState.Keys);
                continue;
            }

            CastReport report = byState[(arena, tensor)];
            double[] values = Updated(info, arena, parameter, layer, before, state);
            float[] read = session.ReadParameter(arena, parameter, layer);
            double[] numbers = Numbers(session, arena, parameter, layer);
            double largest = format switch { ElementFormat.E4M3 => 448, ElementFormat.E5M2 => 57344, ElementFormat.F16 => 65504, _ => 3.3895313892515355e38 };
            TensorNumerics n = report.Numerics;
            Assert.Equal((format, (long)values.Length, 0L), (report.Format, n.Elements, n.NonFinite));
            Assert.Equal(numbers.LongCount(x => Math.Abs(x) >= largest), n.Saturated);
            Assert.Equal(numbers.Zip(values).LongCount(x => x.First == 0 && x.Second != 0), n.Underflow);
            Assert.Equal(values.Max(Math.Abs), n.Amax, 1e-5 * values.Max(Math.Abs));
            double signal = values.Sum(v => v * v), noise = values.Zip(read).Sum(v => (v.First - v.Second) * (v.First - v.Second));
            Assert.InRange(n.Signal, signal * (1 - 1e-4), signal * (1 + 1e-4));
            Assert.InRange(n.Noise, noise * (1 - 5e-3), noise * (1 + 5e-3));
            bool scaled = formats.IsScaled(arena);
            Assert.Equal(scaled ? session.Read<float>(session.StateSlot(WorkspacePart.StateScale, arena, parameter, layer), 1)[0] : formats.IsGrouped(arena) ? float.NaN : 1f, report.Scale);
            Assert.Equal(info.Name.Contains('*', StringComparison.Ordinal) ? layer : -1, report.Layer);
            underflow += n.Underflow;
            checkedStates++;
        }

        Assert.Equal(checkedStates, byState.Count);
        Assert.True(checkedStates > 0);
        Assert.True(recipe is not ("Fp8SecondMoment" or "Fp8LmO2" or "Fp8Master") || underflow > 0, "nothing underflows: the test says little");
    }

    private static IReadOnlyList<CastReport> Optimize(CpuSession session)
    {
        session.WriteState(Step);
        using (CastCounting.Begin(session, counts: true))
        {
            session.Plan.Program.Optimize(session);
        }

        return CastReport.Of(1, session.Plan, session.Read<CastStatistics>(session.Workspace(WorkspacePart.CastStatistics), session.Plan.CastSlots));
    }

    private static double[] Updated(ParameterInfo info, ArenaKind arena, int parameter, long layer, Dictionary<(ArenaKind, int, long), float[]> before, StepState s)
    {
        float[] g = before[(ArenaKind.Gradients, parameter, layer)], w = before[(ArenaKind.Master, parameter, layer)], m = before[(ArenaKind.FirstMoment, parameter, layer)], v = before[(ArenaKind.SecondMoment, parameter, layer)];
        return
        [
            .. g.Select((slope, i) =>
            {
                double clipped = (double)slope * s.ClipFactor, first = (s.Beta1 * (double)m[i]) + ((1f - s.Beta1) * clipped), second = (s.Beta2 * (double)v[i]) + ((1f - s.Beta2) * clipped * clipped);
                double step = (first / s.BiasCorrection1 / (Math.Sqrt(second / s.BiasCorrection2) + s.Epsilon)) + (info.Decay ? s.WeightDecay * (double)w[i] : 0);
                return arena switch { ArenaKind.FirstMoment => first, ArenaKind.SecondMoment => second, _ => w[i] - (s.LearningRate * step) };
            }),
        ];
    }

    /// <summary>The stored numbers themselves, without scales or groups.</summary>
    private static double[] Numbers(CpuSession session, ArenaKind arena, int parameter, long layer)
    {
        int n = (int)session.Plan.Parameters[parameter].Elements;
        nint address = ParameterMemory.Address(session, arena, parameter, layer);
        return session.Plan.Program.FormatsOf(parameter).Of(arena) switch
        {
            ElementFormat.E4M3 => [.. session.Read<byte>(address, n).Select(b => (double)E4M3.ToSingle(b))],
            ElementFormat.E5M2 => [.. session.Read<byte>(address, n).Select(b => (double)E5M2.ToSingle(b))],
            ElementFormat.F16 => [.. session.Read<ushort>(address, n).Select(b => (double)Float16.ToSingle(b))],
            _ => [.. session.Read<ushort>(address, n).Select(b => (double)BFloat16.ToSingle(b))],
        };
    }

    /// <summary>States that spread over many binades, zeros among them.</summary>
    private static void Fill(CpuSession session)
    {
        foreach ((ArenaKind arena, int parameter, long layer) in Everything(session))
        {
            var random = new Random(((int)arena * 1000) + (parameter * 10) + (int)layer);
            session.WriteParameter(arena, parameter, layer, [.. Enumerable.Range(0, (int)session.Plan.Parameters[parameter].Elements).Select(i =>
            {
                double spread = Math.Pow(2, -random.Next(0, 20)), sign = random.Next(2) * 2 - 1;
                return i % 37 == 0 && arena != ArenaKind.Master ? 0f : (float)(arena switch
                {
                    ArenaKind.SecondMoment => 1e-4 * spread * (0.5 + random.NextDouble()),
                    ArenaKind.Gradients => sign * 1e-2 * Math.Sqrt(spread) * (0.5 + random.NextDouble()),
                    ArenaKind.FirstMoment => sign * 1e-2 * Math.Sqrt(spread) * (0.5 + random.NextDouble()),
                    _ => sign * 0.5 * Math.Sqrt(spread) * (0.5 + random.NextDouble()),
                });
            })]);
        }
    }

    private static IEnumerable<(ArenaKind Arena, int Parameter, long Layer)> Everything(CpuSession session) =>
        from arena in new[] { ArenaKind.Master, ArenaKind.Gradients, ArenaKind.FirstMoment, ArenaKind.SecondMoment }
        from p in Enumerable.Range(0, session.Plan.Parameters.Count)
        from layer in Enumerable.Range(0, (int)session.Plan.Parameters[p].Instances)
        select (arena, p, (long)layer);

    private static CpuSession Session(string recipe, CpuPool pool) =>
        new(MemoryPlan.Create(Drawn.Definition, Drawn.Definition.Program(recipe), new DimBinding([2, 32, .. Drawn.Definition.Sizes[0].Values]), checkpointing: false), pool);
}
