using System;
using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Execution;
using Fp8Lm.Numerics;
using Xunit;

namespace Fp8Lm.Runtime.Tests.Cuda;

public sealed class AttentionKernelTests
{
    // P and dS are rounded to 16 bits before the second products; f16 has three bits more of significand.
    private const double Bf16Tolerance = 5e-3, F16Tolerance = Bf16Tolerance / 8;
    private const double F32Tolerance = 3e-6;

    // Every head size; groups of query heads; windows shorter and longer than a block; sequences that end inside a block or a slab.
    internal static readonly (int HeadSize, int Heads, int KvHeads, int Batch, int Sequence, int Window)[] Shapes =
    [
        (64, 4, 2, 2, 208, 0), (128, 2, 2, 1, 256, 0), (32, 4, 1, 2, 136, 50), (96, 2, 1, 1, 144, 0), (256, 2, 1, 1, 170, 0),
        (128, 4, 2, 1, 333, 100), (16, 2, 2, 1, 65, 2), (192, 1, 1, 2, 40, 0), (64, 2, 2, 1, 1000, 300),
    ];

    public static TheoryData<AttentionCase> Cases
    {
        get
        {
            TheoryData<AttentionCase> data = [];
            foreach (ElementFormat format in new[] { ElementFormat.BF16, ElementFormat.F16, ElementFormat.F32 })
            {
                foreach ((int headSize, int heads, int kvHeads, int batch, int sequence, int window) in Shapes)
                {
                    data.Add(new AttentionCase(format, headSize, heads, kvHeads, batch, sequence, window));
                }
            }

            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void ForwardMatchesTheDefinition(AttentionCase c)
    {
        Gpu.Require();
        Problem problem = new(c);
        int outputs = c.Tokens * c.Heads * c.HeadSize;
        int slabs = (c.Tokens + 15) / 16;
        using KernelHarness harness = problem.Harness(
            KernelKind.AttentionForward, KernelTexts.AttentionForward(c), ["q", "k", "v", "lse", "y", "q8", "q_t", "amax", "sums"],
            new TestBuffer(ElementFormat.F32, c.Tokens * c.Heads), new TestBuffer(ElementFormat.F32, outputs),
            new TestBuffer(ElementFormat.E4M3, outputs), new TestBuffer(ElementFormat.E4M3, outputs), new TestBuffer(ElementFormat.I32, 1),
            new TestBuffer(ElementFormat.F32, slabs * c.Heads * c.HeadSize));
        harness.Upload(7, new uint[1]);
        harness.LaunchOnBuffers();

        float[] y = harness.Download<float>(4);
        TestNumbers.AssertClose(problem.Reference.O, y, Tolerance(c), $"O of {c}");
        TestNumbers.AssertClose(problem.Reference.Lse, harness.Download<float>(3), 1e-5, $"log-sum-exp of {c}");
        if (c.Sums)
        {
            int columns = c.Heads * c.HeadSize;
            double[] sums = new double[slabs * columns];
            byte[] q = harness.Download<byte>(5);
            byte[] transposed = harness.Download<byte>(6);
            for (int i = 0; i < y.Length; i++)
            {
                sums[(i / columns / 16 * columns) + (i % columns)] += y[i];
                byte code = E4M3.FromSingle(y[i] * 0.25f);
                Assert.True(code == q[i] && code == transposed[(i % columns * c.Tokens) + (i / columns)], $"FP8 copies of {c} at {i}");
            }

            TestNumbers.AssertClose(sums, harness.Download<float>(8), 1e-6, $"column sums of {c}");
            Assert.Equal(y.Max(Math.Abs), BitConverter.UInt32BitsToSingle(harness.Download<uint>(7)[0]));
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void BackwardKeyValueMatchesTheDefinition(AttentionCase c)
    {
        Gpu.Require();
        Problem problem = new(c);
        int outputs = c.Tokens * c.KvHeads * c.HeadSize;
        using KernelHarness harness = problem.Harness(
            KernelKind.AttentionBackwardKeyValue, KernelTexts.AttentionBackwardKeyValue(c), ["q", "k", "v", "d_o", "lse", "delta", "dk", "dv"],
            [.. problem.BackwardInputs, new TestBuffer(ElementFormat.F32, outputs), new TestBuffer(ElementFormat.F32, outputs)]);
        problem.UploadBackwardInputs(harness);
        harness.LaunchOnBuffers();

        TestNumbers.AssertClose(problem.Reference.DK, harness.Download<float>(6), Tolerance(c), $"dK of {c}");
        TestNumbers.AssertClose(problem.Reference.DV, harness.Download<float>(7), Tolerance(c), $"dV of {c}");
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void BackwardQueryMatchesTheDefinition(AttentionCase c)
    {
        Gpu.Require();
        Problem problem = new(c);
        using KernelHarness harness = problem.Harness(
            KernelKind.AttentionBackwardQuery, KernelTexts.AttentionBackwardQuery(c), ["q", "k", "v", "d_o", "lse", "delta", "dq"],
            [.. problem.BackwardInputs, new TestBuffer(ElementFormat.F32, c.Tokens * c.Heads * c.HeadSize)]);
        problem.UploadBackwardInputs(harness);
        harness.LaunchOnBuffers();

        TestNumbers.AssertClose(problem.Reference.DQ, harness.Download<float>(6), Tolerance(c), $"dQ of {c}");
    }

    private static double Tolerance(AttentionCase c) => c.Format == ElementFormat.BF16 ? Bf16Tolerance : c.Format == ElementFormat.F16 ? F16Tolerance : F32Tolerance;

    private sealed class Problem
    {
        private readonly AttentionCase c;
        private readonly float[] q;
        private readonly float[] k;
        private readonly float[] v;
        private readonly float[] dO;

        public Problem(AttentionCase c)
        {
            this.c = c;
            long queries = (long)c.Tokens * c.Heads * c.HeadSize;
            long keys = (long)c.Tokens * c.KvHeads * c.HeadSize;
            q = TestNumbers.Random(1, queries, c.Format, integers: false);
            k = TestNumbers.Random(2, keys, c.Format, integers: false);
            v = TestNumbers.Random(3, keys, c.Format, integers: false);
            dO = TestNumbers.Random(4, queries, c.Format, integers: false);
            Reference = new AttentionReference(c, q, k, v, dO);
        }

        public AttentionReference Reference { get; }

        public IEnumerable<TestBuffer> BackwardInputs =>
        [
            new TestBuffer(c.Format, dO.Length), new TestBuffer(ElementFormat.F32, c.Tokens * c.Heads),
            new TestBuffer(ElementFormat.F32, c.Tokens * c.Heads),
        ];

        public KernelHarness Harness(KernelKind kind, string source, string[] arguments, params TestBuffer[] others)
        {
            AttentionGeometry geometry = new(_ => c.Heads, _ => c.KvHeads, _ => c.HeadSize);
            KernelHarness harness = new(
                new KernelInfo("test", kind, source, null!, arguments, geometry), new DimBinding(c.Batch, c.Sequence),
                [new TestBuffer(c.Format, q.Length), new TestBuffer(c.Format, k.Length), new TestBuffer(c.Format, v.Length), .. others]);
            harness.Upload(0, TestNumbers.Encode(q, c.Format));
            harness.Upload(1, TestNumbers.Encode(k, c.Format));
            harness.Upload(2, TestNumbers.Encode(v, c.Format));
            return harness;
        }

        public void UploadBackwardInputs(KernelHarness harness)
        {
            harness.Upload(3, TestNumbers.Encode(dO, c.Format));
            harness.Upload(4, Reference.Lse.Select(x => (float)x).ToArray());
            harness.Upload(5, Reference.Delta.Select(x => (float)x).ToArray());
        }
    }
}
