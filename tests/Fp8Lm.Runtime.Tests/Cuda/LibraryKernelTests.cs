using System;
using System.Linq;
using System.Runtime.CompilerServices;
using Fp8Lm.Cpu;
using Fp8Lm.Execution;
using Xunit;

namespace Fp8Lm.Runtime.Tests.Cuda;

public sealed class LibraryKernelTests
{
    [Theory]
    [InlineData(1, 40, 16)]
    [InlineData(3000, 50, 72)]
    [InlineData(700, 1, 300)]
    [InlineData(40000, 300, 16)]
    public void EmbeddingGradientsAddRowsByToken(int count, int vocabulary, int columns)
    {
        float[] rows = TestNumbers.Random(1, count * columns, ElementFormat.BF16, integers: false);
        float[] before = TestNumbers.Random(2, vocabulary * columns, ElementFormat.F32, integers: false);
        Random random = new(3);
        // Ids outside the table (padding) belong to no row.
        int[] tokens = [.. Enumerable.Range(0, count).Select(_ => random.Next(-1, vocabulary + 1))];
        double[] expected = [.. before.Select(x => (double)x)];
        for (int i = 0; i < count * columns; i++)
        {
            int token = tokens[i / columns];
            if (token >= 0 && token < vocabulary)
            {
                expected[(token * columns) + (i % columns)] += rows[i];
            }
        }

        using KernelHarness harness = Library(
            KernelKind.EmbeddingGradient, KernelTexts.EmbeddingGradient, ["tokens", "d_y", "grad", "count", "vocab", "columns"],
            new TestBuffer(ElementFormat.I32, count), new TestBuffer(ElementFormat.BF16, rows.Length), new TestBuffer(ElementFormat.F32, before.Length));
        harness.Upload(0, tokens);
        harness.Upload(1, TestNumbers.Encode(rows, ElementFormat.BF16));
        float[]? first = null;
        for (int repetition = 0; repetition < 3; repetition++)
        {
            harness.Upload(2, before);
            harness.Launch(harness[0], harness[1], harness[2], count, vocabulary, columns);
            float[] gradient = harness.Download<float>(2);
            TestNumbers.AssertClose(expected, gradient, 1e-6, "embedding gradient");
            Assert.Equal(first ??= gradient, gradient);
        }
    }

    [Fact]
    public void PositionGradientsAddOverTheBatch()
    {
        const int Batch = 5, Sequence = 37, Columns = 24;
        float[] rows = TestNumbers.Random(1, Batch * Sequence * Columns, ElementFormat.BF16, integers: false);
        double[] expected = new double[Sequence * Columns];
        for (int i = 0; i < rows.Length; i++)
        {
            expected[i % expected.Length] += rows[i];
        }

        using KernelHarness harness = Library(
            KernelKind.EmbeddingGradient, KernelTexts.PositionGradient, ["d_y", "grad", "batch", "sequence", "columns"],
            new TestBuffer(ElementFormat.BF16, rows.Length), new TestBuffer(ElementFormat.F32, expected.Length));
        harness.Upload(0, TestNumbers.Encode(rows, ElementFormat.BF16));
        harness.Upload(1, new float[expected.Length]);
        harness.Launch(harness[0], harness[1], Batch, Sequence, Columns);

        TestNumbers.AssertClose(expected, harness.Download<float>(1), 1e-6, "position gradient");
    }

    [Theory]
    [InlineData(1, 8)]
    [InlineData(333, 100)]
    [InlineData(9, 40000)]
    public void ColumnSumsAddSlabs(int slabs, int columns)
    {
        float[] partial = TestNumbers.Random(1, slabs * columns, ElementFormat.F32, integers: false);
        double[] expected = Enumerable.Repeat(1.0, columns).ToArray();
        for (int i = 0; i < partial.Length; i++)
        {
            expected[i % columns] += partial[i];
        }

        using KernelHarness harness = Library(
            KernelKind.ColumnSumFinish, KernelTexts.ColumnSumFinish, ["partial", "slabs", "cols", "grad"],
            new TestBuffer(ElementFormat.F32, partial.Length), new TestBuffer(ElementFormat.F32, columns));
        harness.Upload(0, partial);
        harness.Upload(1, Enumerable.Repeat(1f, columns).ToArray());
        harness.Launch(harness[0], slabs, columns, harness[1]);

        TestNumbers.AssertClose(expected, harness.Download<float>(1), 1e-6, "column sums");
    }

    [Theory]
    [InlineData(1)]
    [InlineData(5001)]
    public void LossesAndWeightsAddToTheState(int count)
    {
        float[] losses = TestNumbers.Random(1, count, ElementFormat.F32, integers: false);
        float[] weights = TestNumbers.Random(2, count, ElementFormat.F32, integers: false);
        StepState state = new() { LossSum = 10, WeightSum = 20 };
        using KernelHarness harness = Library(
            KernelKind.LossSum, KernelTexts.LossSum, ["row_loss", "row_weight", "count", "state"],
            new TestBuffer(ElementFormat.F32, count), new TestBuffer(ElementFormat.F32, count), State());
        harness.Upload(0, losses);
        harness.Upload(1, weights);
        harness.Upload(2, [state]);
        harness.Launch(harness[0], harness[1], count, harness[2]);

        state = harness.Download<StepState>(2)[0];
        Assert.Equal(10 + losses.Sum(x => (double)x), state.LossSum, 1e-9);
        Assert.Equal(20 + weights.Sum(x => (double)x), state.WeightSum, 1e-9);
    }

    [Theory]
    [InlineData(7, 0f)]
    [InlineData(3000001, 0.5f)]
    [InlineData(3000001, 1e9f)]
    public void TheNormClipsOnlyLargeGradients(int count, float maximum)
    {
        float[] gradient = TestNumbers.Random(1, count, ElementFormat.F32, integers: false);
        double norm = Math.Sqrt(gradient.Sum(x => (double)x * x));
        using KernelHarness harness = Norm(count);
        harness.Upload(0, gradient);
        float first = 0;
        for (int repetition = 0; repetition < 3; repetition++)
        {
            harness.Upload(1, [new StepState { MaxGradientNorm = maximum }]);
            harness.Launch(harness[0], count, harness[1], harness[2]);
            StepState state = harness.Download<StepState>(1)[0];
            Assert.Equal(norm, state.GradientNorm, norm * 1e-6);
            Assert.Equal(maximum > 0 ? Math.Min(1, maximum / (norm + 1e-6)) : 1, state.ClipFactor, 1e-6);
            Assert.Equal(0u, state.SkipStep);
            Assert.Equal(repetition == 0 ? first = state.GradientNorm : first, state.GradientNorm);
        }
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    public void ANormThatIsNotFiniteSkipsTheStep(float poison)
    {
        float[] gradient = TestNumbers.Random(1, 1000, ElementFormat.F32, integers: false);
        gradient[777] = poison;
        using KernelHarness harness = Norm(gradient.Length);
        harness.Upload(0, gradient);
        harness.Upload(1, [new StepState { MaxGradientNorm = 1 }]);
        harness.Launch(harness[0], gradient.Length, harness[1], harness[2]);

        Assert.Equal(StepState.Skipped, harness.Download<StepState>(1)[0].SkipStep);
        harness.Launch(harness[0], gradient.Length, harness[1], harness[2]);

        Assert.Equal(StepState.Halted, harness.Download<StepState>(1)[0].SkipStep);
    }

    /// <summary>Overflows, halted steps, a loss that is not finite, and growth: after every step the device has the scale and the state that the CPU has.</summary>
    [Fact]
    public void TheLossScaleFollowsTheRuleOfTheCpu()
    {
        Gpu.Require();
        const int Count = 1000, GrowthInterval = 3;
        using KernelHarness harness = Library(
            KernelKind.GradientNorm, KernelTexts.GradientNormOfScaledLoss, ["grad", "count", "state", "scratch", "loss_scale", "growth_interval"],
            F32(Count), State(), new TestBuffer(ElementFormat.E4M3, MemoryPlan.ReductionScratchBytes), new TestBuffer(ElementFormat.E4M3, Unsafe.SizeOf<LossScaleState>()));
        harness.Upload(2, new byte[MemoryPlan.ReductionScratchBytes]);
        LossScaleState expected = new() { Scale = 4 };
        harness.Upload(3, [expected]);
        // G: counts, O: overflow, H: behind an overflow, L: the loss is not finite.
        foreach (char step in "GGGGOHGOOOGGGGGGLG")
        {
            float[] gradient = TestNumbers.Random(step, Count, ElementFormat.F32, integers: false);
            gradient[7] = step is 'O' or 'H' ? float.PositiveInfinity : gradient[7];
            double norm = Math.Sqrt(gradient.Sum(x => (double)x * x)) / expected.Scale;
            harness.Upload(0, gradient);
            harness.Upload(1, [new StepState { MaxGradientNorm = 0.5f, SkipStep = step == 'H' ? StepState.Skipped : 0, LossSum = step == 'L' ? double.NaN : 1 }]);
            harness.Launch(harness[0], Count, harness[1], harness[2], harness[3], GrowthInterval);

            StepState state = harness.Download<StepState>(1)[0];
            Assert.Equal(step switch { 'G' => 0u, 'H' => StepState.Halted, _ => StepState.Skipped }, state.SkipStep);
            Assert.Equal(expected.Scale, state.DynamicLossScale);
            if (double.IsFinite(norm))
            {
                Assert.Equal(norm, state.GradientNorm, norm * 1e-6);
                Assert.Equal(Math.Min(1, 0.5 / (norm + 1e-6)) / expected.Scale, state.ClipFactor, 1e-6);
            }

            expected = step == 'H' ? expected : expected.Next(double.IsFinite(norm), step == 'G', GrowthInterval);
            Assert.Equal(expected, harness.Download<LossScaleState>(3)[0]);
        }
    }

    [Theory]
    [InlineData(0x3F800000u, StepState.Skipped, StepState.Skipped)]
    [InlineData(0x7F800000u, 0u, StepState.Skipped)]
    [InlineData(0x7FC00000u, 0u, StepState.Skipped)]
    [InlineData(0x7F800000u, StepState.Halted, StepState.Halted)]
    [InlineData(0x7F7FFFFFu, 0u, 0u)]
    public void AnAmaxThatIsNotFiniteSkipsTheStep(uint bits, uint before, uint after)
    {
        const int Slots = 1000;
        uint[] amax = new uint[Slots];
        amax[777] = bits;
        foreach (bool clears in new[] { false, true })
        {
            using KernelHarness harness = Library(
                KernelKind.ScaleUpdate, KernelTexts.AmaxCheck, ["amax", "slots", "clears", "state"], new TestBuffer(ElementFormat.F32, Slots), State());
            harness.Upload(0, amax);
            harness.Upload(1, [new StepState { SkipStep = before }]);
            harness.Launch(harness[0], Slots, clears ? 1 : 0, harness[1]);

            Assert.Equal(after, harness.Download<StepState>(1)[0].SkipStep);
            Assert.Equal(clears ? new uint[Slots] : amax, harness.Download<uint>(0));
        }
    }

    [Fact]
    public void ALossThatIsNotFiniteSkipsTheStep()
    {
        using KernelHarness harness = Norm(4);
        harness.Upload(0, [1f, 2f, 3f, 4f]);
        harness.Upload(1, [new StepState { LossSum = double.NaN }]);
        harness.Launch(harness[0], 4, harness[1], harness[2]);

        Assert.Equal(StepState.Skipped, harness.Download<StepState>(1)[0].SkipStep);
    }

    [Theory]
    [InlineData(true, 0u)]
    [InlineData(false, 0u)]
    [InlineData(true, 1u)]
    public void AdamWFollowsItsFormula(bool decay, uint skip)
    {
        const int Count = 4097;
        StepState s = new()
        {
            LearningRate = 0.01f, Beta1 = 0.9f, Beta2 = 0.95f, Epsilon = 1e-8f, WeightDecay = 0.1f, BiasCorrection1 = 0.19f, BiasCorrection2 = 0.1f,
            ClipFactor = 0.5f, SkipStep = skip,
        };
        float[] w = TestNumbers.Random(1, Count, ElementFormat.F32, integers: false);
        float[] g = TestNumbers.Random(2, Count, ElementFormat.F32, integers: false);
        float[] m = TestNumbers.Random(3, Count, ElementFormat.F32, integers: false);
        float[] v = [.. TestNumbers.Random(4, Count, ElementFormat.F32, integers: false).Select(x => x * x)];
        using KernelHarness harness = Library(
            KernelKind.AdamW, KernelTexts.AdamW, ["master", "grad", "m", "v", "count", "decay", "state"],
            F32(Count), F32(Count), F32(Count), F32(Count), State());
        harness.Upload(0, w);
        harness.Upload(1, g);
        harness.Upload(2, m);
        harness.Upload(3, v);
        harness.Upload(4, [s]);
        harness.Launch(harness[0], harness[1], harness[2], harness[3], Count, decay ? 1 : 0, harness[4]);

        if (skip != 0)
        {
            Assert.Equal(w, harness.Download<float>(0));
            Assert.Equal(m, harness.Download<float>(2));
            Assert.Equal(v, harness.Download<float>(3));
            return;
        }

        double[] nextM = [.. m.Zip(g, (a, b) => (0.9 * a) + (0.1 * 0.5 * b))];
        double[] nextV = [.. v.Zip(g, (a, b) => (0.95 * a) + (0.05 * 0.25 * b * b))];
        double[] nextW = new double[Count];
        for (int i = 0; i < Count; i++)
        {
            double step = nextM[i] / s.BiasCorrection1 / (Math.Sqrt(nextV[i] / s.BiasCorrection2) + s.Epsilon);
            nextW[i] = w[i] - (s.LearningRate * (step + (decay ? s.WeightDecay * w[i] : 0)));
        }

        TestNumbers.AssertClose(nextM, harness.Download<float>(2), 1e-6, "first moment");
        TestNumbers.AssertClose(nextV, harness.Download<float>(3), 1e-6, "second moment");
        TestNumbers.AssertClose(nextW, harness.Download<float>(0), 1e-6, "weights");
    }

    /// <summary>Scales decide every FP8 byte, so they are compared bit by bit with the CPU's, over several steps.</summary>
    [Theory]
    [InlineData(1, false, 0)]
    [InlineData(4, false, 1)]
    [InlineData(16, true, 0)]
    public unsafe void ScalesAreTheCpus(int length, bool powerOfTwo, int margin)
    {
        const int Slots = 300;
        float[] scale = [.. Enumerable.Repeat(1f, Slots)];
        float[] inverse = [.. scale];
        uint[] amax = new uint[Slots];
        float[] history = new float[length * Slots];
        float[] maximum = [.. Enumerable.Range(0, Slots).Select(i => i % 2 == 0 ? 448f : 57344f)];
        using KernelHarness harness = Library(
            KernelKind.ScaleUpdate, KernelTexts.ScaleUpdate,
            ["scale", "scale_inverse", "amax", "history", "maximum", "slots", "length", "power_of_two", "margin", "state"],
            F32(Slots), F32(Slots), new TestBuffer(ElementFormat.I32, Slots), F32(history.Length), F32(Slots), State());
        harness.Upload(0, scale);
        harness.Upload(1, inverse);
        harness.Upload(3, history);
        harness.Upload(4, maximum);
        Random random = new(1);
        for (int step = 0; step < 20; step++)
        {
            StepState state = new() { SkipStep = step % 3 == 2 ? StepState.Halted : (uint)(step % 2) };
            harness.Upload(5, [state]);
            for (int slot = 0; slot < Slots; slot++)
            {
                float value = (float)Math.Exp((random.NextDouble() * 180) - 100);
                amax[slot] = BitConverter.SingleToUInt32Bits(random.Next(8) switch
                {
                    0 => 0f,
                    1 => float.NaN,
                    2 => float.PositiveInfinity,
                    _ => value,
                });
            }

            harness.Upload(2, amax);
            harness.Launch(harness[0], harness[1], harness[2], harness[3], harness[4], Slots, length, powerOfTwo ? 1 : 0, margin, harness[5]);
            fixed (float* s = scale, i = inverse, h = history, m = maximum)
            fixed (uint* a = amax)
            {
                nint[] args = [(nint)s, (nint)i, (nint)a, (nint)h, (nint)m, Slots, length, powerOfTwo ? 1 : 0, margin, (nint)(&state)];
                fixed (nint* pointer = args)
                {
                    CpuKernels.ScaleUpdate(new DimBinding(1, 1), pointer, null!);
                }
            }

            Assert.Equal(scale, harness.Download<float>(0));
            Assert.Equal(inverse, harness.Download<float>(1));
            Assert.Equal(amax, harness.Download<uint>(2));
            Assert.Equal(history, harness.Download<float>(3));
        }
    }

    [Theory]
    [InlineData(1, 448)]
    [InlineData(16, 57344)]
    public unsafe void ScalesOfGradientsAreTheCpus(int length, int maximum)
    {
        const int Slots = 300;
        float[] scale = [.. Enumerable.Repeat(1f, Slots)], inverse = [.. scale], history = new float[length * Slots];
        using KernelHarness harness = Library(
            KernelKind.ScaleUpdate, KernelTexts.GradientScales, ["scale", "inverse", "amax", "history", "count", "length", "maximum", "state"],
            F32(Slots), F32(Slots), new TestBuffer(ElementFormat.I32, Slots), F32(history.Length), State());
        harness.Upload(0, scale);
        harness.Upload(1, inverse);
        harness.Upload(3, history);
        Random random = new(1);
        for (int step = 0; step < 20; step++)
        {
            StepState state = new() { SkipStep = step % 3 == 2 ? StepState.Halted : (uint)(step % 2) };
            uint[] amax = [.. Enumerable.Range(0, Slots).Select(_ => BitConverter.SingleToUInt32Bits(random.Next(8) switch
            {
                0 => 0f,
                1 => float.NaN,
                2 => float.PositiveInfinity,
                _ => (float)Math.Exp((random.NextDouble() * 180) - 100),
            }))];
            harness.Upload(2, amax);
            harness.Upload(4, [state]);
            harness.Launch(harness[0], harness[1], harness[2], harness[3], Slots, length, maximum, harness[4]);
            fixed (float* s = scale, i = inverse, h = history)
            fixed (uint* a = amax)
            {
                nint[] args = [(nint)s, (nint)i, (nint)a, (nint)h, Slots, length, maximum, (nint)(&state)];
                fixed (nint* pointer = args)
                {
                    CpuKernels.GradientScales(null!, pointer, null!);
                }
            }

            Assert.Equal(scale, harness.Download<float>(0));
            Assert.Equal(inverse, harness.Download<float>(1));
            Assert.Equal(amax, harness.Download<uint>(2));
            Assert.Equal(history, harness.Download<float>(3));
        }
    }

    private static KernelHarness Norm(int count)
    {
        KernelHarness harness = Library(
            KernelKind.GradientNorm, KernelTexts.GradientNorm, ["grad", "count", "state", "scratch"],
            F32(count), State(), new TestBuffer(ElementFormat.E4M3, MemoryPlan.ReductionScratchBytes));
        harness.Upload(2, new byte[MemoryPlan.ReductionScratchBytes]);
        return harness;
    }

    private static TestBuffer F32(long count) => new(ElementFormat.F32, count);

    private static TestBuffer State() => new(ElementFormat.E4M3, Unsafe.SizeOf<StepState>());

    private static KernelHarness Library(KernelKind kind, string source, string[] arguments, params TestBuffer[] buffers)
        => new(new KernelInfo("test", kind, source, null!, arguments, new object()), buffers);
}
