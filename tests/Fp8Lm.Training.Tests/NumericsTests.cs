using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using Fp8Lm.Cpu;
using Fp8Lm.Execution;
using Fp8Lm.Numerics;
using Fp8Lm.Training.Tests.Generated;
using Xunit;

namespace Fp8Lm.Training.Tests;

/// <summary>Numerics of casts in a compiled model: what is counted is true, changes nothing, and can be looked at.</summary>
public sealed class NumericsTests : NumericsRuns
{
    /// <summary>
    /// Every launch that casts, with scales that fit, that are far too small and far too large: elements, saturation and NaN as the bytes show them; where the kernel has the value
    /// in its sources, everything as a look at each value and its byte gives it; in products, whose results are hardly ever exactly zero, a zero byte is an underflow.
    /// </summary>
    [Theory]
    [InlineData("TransformerEngine", 1f)]
    [InlineData("TransformerEngine", 1f / 16384)]
    [InlineData("TransformerEngine", 16384f)]
    [InlineData("TransformerEngineCurrent", 1f)]
    [InlineData("Fp8LmO2", 1f)]
    [InlineData("Fp8LmO2", 16384f)]
    [InlineData("CurrentGradients", 1f)]
    [InlineData("CurrentGradients", 16384f)]
    [InlineData("BlockScaled", 1f)]
    [InlineData("Rowwise", 1f)]
    public void CountsAreThoseOfTheBytes(string recipe, float factor)
    {
        using CpuPool pool = new(2);
        using CpuSession session = Session(recipe, pool);
        var counting = new CountingSession(session);
        Prepare(session);
        float[] scales = session.Read<float>(session.ScaleArena, session.ScaleSlots);
        session.Write<float>([.. scales.Select(s => s * factor)], session.ScaleArena);
        session.Write<float>([.. scales.Select(s => 1 / (s * factor))], session.ScaleInverseArena);
        using (CastCounting.Begin(session, counts: true))
        {
            session.Plan.Program.CastWeights(counting);
            session.ClearGradients();
            session.Plan.Program.TrainMicroBatch(counting);
        }

        int products = 0, known = 0;
        foreach (CountedLaunch launch in counting.Launches)
        {
            byte largest = launch.Format == ElementFormat.E4M3 ? (byte)0x7E : (byte)0x7B;
            TensorNumerics counted = launch.Counted;
            bool whole = counted.Elements + counted.NonFinite == launch.Codes.Length;
            Assert.True(whole || launch.Codes.Length % (counted.Elements + counted.NonFinite) == 0, $"{launch.Kernel.Name}: {counted.Elements} of {launch.Codes.Length} elements");
            if (!whole)
            {
                continue;
            }

            Assert.Equal(launch.Codes.Count(c => (c & 0x7F) == largest), counted.Saturated);
            Assert.InRange(counted.Underflow, 0, launch.Codes.Count(c => (c & 0x7F) == 0));
            if (launch.Source is { } values && launch.Scale > 0)
            {
                TensorNumerics expected = TensorNumerics.Measure(values, launch.Codes, launch.Format, launch.Scale);
                Assert.Equal((expected.Elements, expected.NonFinite, expected.Underflow, expected.Saturated, expected.Amax), (counted.Elements, counted.NonFinite, counted.Underflow, counted.Saturated, launch.Amax));
                Assert.InRange(counted.Signal, expected.Signal * (1 - 1e-5), expected.Signal * (1 + 1e-5));
                Assert.InRange(counted.Noise, expected.Noise * (1 - 1e-5), expected.Noise * (1 + 1e-5));
                known++;
            }

            if (launch.Kernel.Kind == KernelKind.Gemm)
            {
                // With scales that fit hardly a sum is exactly zero; with others operands have so few values that many are.
                Assert.InRange(launch.Codes.Count(c => (c & 0x7F) == 0) - counted.Underflow, 0, factor == 1f ? launch.Codes.Length / 500 : launch.Codes.Length);
                products++;
                double stored = launch.Codes.Sum(c => Math.Pow((launch.Format == ElementFormat.E4M3 ? E4M3.ToSingle(c) : E5M2.ToSingle(c)) / launch.Scale, 2));
                Assert.True(factor != 1f || Math.Abs(stored - counted.Signal) < 0.02 * counted.Signal, $"{launch.Kernel.Name}: {stored} and {counted.Signal}");
                Assert.True(factor != 1f || counted.SignalToNoise is > 20 and < 40, $"{launch.Kernel.Name}: {counted.SignalToNoise} dB");
            }
        }

        // Casts of these are in epilogues, or read masters that are not F32.
        bool grouped = session.ScaleSlots == 0, current = recipe == "TransformerEngineCurrent", hidden = recipe == "Fp8LmO2";
        Assert.True(counting.Launches.Count >= 20, $"{counting.Launches.Count} launches");
        Assert.True(grouped || current || products >= (hidden ? 10 : 2), $"{products} casts in epilogues of products");
        Assert.True(grouped || hidden || known >= 4, $"{known} casts of known values");
        TensorNumerics all = counting.Launches.Select(l => l.Counted).Aggregate((a, b) => a + b);
        Assert.True(factor >= 1f || all.UnderflowShare > 0.05, $"underflow {all.UnderflowShare}");
        Assert.True(factor <= 1f || all.SaturatedShare > 0.2, $"saturated {all.SaturatedShare}");
    }

    [Theory]
    [InlineData("TransformerEngine")]
    [InlineData("BlockScaled")]
    [InlineData("Fp8LmO3")]
    [InlineData("Coat")]
    [InlineData("Bf16States")]
    public void TheNumberOfWorkersDoesNotMatter(string recipe)
    {
        byte[] Statistics(int workers)
        {
            using CpuPool pool = new(workers);
            using CpuSession session = Session(recipe, pool);
            Prepare(session);
            using (CastCounting.Begin(session, counts: true))
            {
                session.ClearGradients();
                session.WriteState(OneStep(session));
                session.Plan.Program.TrainMicroBatch(session);
                session.Plan.Program.Optimize(session);
            }

            return session.Read<byte>(session.Workspace(WorkspacePart.CastStatistics), session.Plan.CastSlots * System.Runtime.CompilerServices.Unsafe.SizeOf<CastStatistics>());
        }

        byte[] one = Statistics(1);
        Assert.Contains(one, b => b != 0);
        Assert.Equal(one, Statistics(3));
    }

    /// <summary>Every slot of a family that a kernel fills has a report, and what is not finite is in it.</summary>
    [Fact]
    public void AnInfiniteWeightIsCounted()
    {
        using CpuPool pool = new(2);
        using CpuSession session = Session("TransformerEngine", pool);
        Prepare(session);
        int parameter = Array.FindIndex(Drawn.Definition.Parameters, p => p.Name == "layers.*.up");
        float[] weights = session.ReadParameter(ArenaKind.Master, parameter, 1);
        (weights[3], weights[4], weights[5]) = (float.PositiveInfinity, float.NaN, 1e-30f);
        session.WriteParameter(ArenaKind.Master, parameter, 1, weights);
        using (CastCounting.Begin(session, counts: true))
        {
            session.Plan.Program.CastWeights(session);
        }

        IReadOnlyList<CastReport> reports = CastReport.Of(7, session.Plan, session.Read<CastStatistics>(session.Workspace(WorkspacePart.CastStatistics), session.Plan.CastSlots));
        Assert.Equal(8, reports.Count);    // four weights of two layers, nothing else was cast
        CastReport up = reports.Single(r => r.Tensor == "layers.1.up");
        Assert.Equal((7, "weight", 1, ElementFormat.E4M3, 2, weights.Length - 2), (up.Step, up.Role, up.Layer, up.Format, up.Numerics.NonFinite, up.Numerics.Elements));
        Assert.True(up.Numerics.Underflow >= 1);
        Assert.True(double.IsFinite(up.Numerics.SignalToNoise));
        Assert.All(reports.Where(r => r != up), r => Assert.Equal(0, r.Numerics.NonFinite));
    }

    [Theory]
    [InlineData("TransformerEngine")]
    [InlineData("TransformerEngineCurrent")]
    [InlineData("Rowwise")]
    [InlineData("BlockScaled")]
    [InlineData("Fp8LmO1")]
    [InlineData("Fp8LmO2")]
    [InlineData("Fp8LmO3")]
    [InlineData("Coat")]
    [InlineData("GroupedO2")]
    [InlineData("Bf16Master")]
    [InlineData("Fp8Master")]
    [InlineData("Fp8SecondMoment")]
    [InlineData("Bf16States")]
    public void CountingChangesNoByte(string recipe)
    {
        RecordingObserver with = Train("with", recipe, Options), without = Train("without", recipe, Options with { NumericsInterval = 0 });

        Assert.Equal(File.ReadAllBytes(Checkpoint("without")), File.ReadAllBytes(Checkpoint("with")));
        Assert.Empty(without.Casts);
        Assert.Equal([3L, 6, 9], with.Casts.Select(r => r.Step).Distinct());
        CastReport[] step = [.. with.Casts.Where(r => r.Step == 3)];
        Assert.Equal(step.Length, step.Select(r => (r.Tensor, r.Role)).Distinct().Count());
        Assert.All(step.Where(r => NumericsStateTests.IsSound(recipe, r)), r => Assert.True(r.Numerics.SignalToNoise is > 15 && r.Numerics.SignalToNoise < (r.Format == ElementFormat.F16 ? 80 : 60), r.ToString()));
        Assert.All(step, r => Assert.True(r.Numerics.Amax > 0 && r.Numerics.NonFinite == 0, r.ToString()));
        Assert.All(step.Where(r => r.Format == ElementFormat.F16), r => Assert.True(NumericsStateTests.StateRoles.Contains(r.Role) && r.Numerics.SignalToNoise > 65, r.ToString()));
        foreach (string role in (string[])["input", "weight", "gradient", .. recipe.StartsWith("Fp8Lm", StringComparison.Ordinal) ? ["weight_gradient"] : Array.Empty<string>()])
        {
            // Two layers of four linears have that many tensors of each role.
            Assert.True(step.Count(r => r.Role == role) >= 8, $"{recipe}: {step.Count(r => r.Role == role)} of role {role}");
        }

        // A weight of 64 x 32, cast once a step; or before each of its two products in each of two micro-batches.
        long casts = step.Single(r => r is { Tensor: "layers.0.up", Role: "weight" }).Numerics.Elements / (64 * 32);
        bool perUse = recipe is "Fp8LmO1" or "Fp8LmO2" or "GroupedO2" or "Bf16Master" or "Fp8Master" or "Fp8SecondMoment";
        Assert.Equal(perUse ? 4 : recipe == "Fp8LmO3" ? 3 : 1, casts);
        bool groupedMoments = recipe is "Coat" or "GroupedO2";
        Assert.All(step, r => Assert.Equal(
            NumericsStateTests.StateRoles.Contains(r.Role) ? groupedMoments && r.Role != "master" : recipe is "Rowwise" or "BlockScaled" && r.Role != "weight_gradient", float.IsNaN(r.Scale)));

        // What the optimizer stores, all of it and once; formats without a scale have the scale 1.
        Assert.Equal(NumericsStateTests.States(recipe).Order(), step.Where(r => NumericsStateTests.StateRoles.Contains(r.Role)).Select(r => (r.Tensor, r.Role, r.Format)).Order());
        Assert.All(step.Where(r => NumericsStateTests.StateRoles.Contains(r.Role)), r => Assert.Equal(NumericsStateTests.Elements(r.Name), r.Numerics.Elements));
        Assert.All(step.Where(r => r.Format == ElementFormat.BF16), r => Assert.Equal(1f, r.Scale));
    }

    /// <summary>With two steps on their way, reports belong to their steps.</summary>
    [Fact]
    public void QueuedStepsReportTheSame()
    {
        RecordingObserver once = Train("once", "TransformerEngine", Options with { NumericsInterval = 1 }), queued = Train("queued", "TransformerEngine", Options with { NumericsInterval = 1 }, queued: true);
        RecordingObserver some = Train("some", "TransformerEngine", Options with { NumericsInterval = 4 }, queued: true);

        Assert.NotEmpty(once.Casts);
        Assert.Equal(once.Casts, queued.Casts);
        Assert.Equal(once.Casts.Where(r => r.Step % 4 == 0), some.Casts);
    }

    /// <summary>A recipe without FP8 has nothing to count.</summary>
    [Fact]
    public void WithoutFp8NothingIsReported() => Assert.Empty(Train("bf16", "Bf16", Options).Casts);
}
