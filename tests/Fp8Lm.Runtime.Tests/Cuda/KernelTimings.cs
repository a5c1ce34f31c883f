using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Linq;
using Fp8Lm.Execution;
using Xunit;

namespace Fp8Lm.Runtime.Tests.Cuda;

/// <summary>Rates of the large kernels, on request (<c>-explicit only</c>): numbers to read, not limits to meet.</summary>
public sealed class KernelTimings(ITestOutputHelper output)
{
    public static TheoryData<ElementFormat, bool, bool, bool, int, int, int> Gemms => new()
    {
        { ElementFormat.E4M3, true, true, false, 8192, 4096, 4096 },
        { ElementFormat.E4M3, true, true, true, 8192, 4096, 4096 },
        { ElementFormat.E4M3, true, true, false, 8192, 16384, 4096 },
        { ElementFormat.BF16, true, true, false, 8192, 4096, 4096 },
        { ElementFormat.BF16, false, false, false, 4096, 4096, 8192 },
        { ElementFormat.F32, true, true, false, 4096, 2048, 1024 },
    };

    [Theory(Explicit = true)]
    [MemberData(nameof(Gemms))]
    public void Gemm(ElementFormat format, bool aKMajor, bool bKMajor, bool promote, int m, int n, int k)
    {
        int aPitch = aKMajor ? k : m;
        int bPitch = bKMajor ? k : n;
        GemmGeometry geometry = new(
            _ => m, _ => n, _ => k, new GemmOperandInfo(format, aKMajor, _ => aPitch), new GemmOperandInfo(format, bKMajor, _ => bPitch));
        foreach (bool full in new[] { false, true })
        {
            KernelInfo kernel = new(
                "test", KernelKind.Gemm, KernelTexts.Gemm(format, format, aKMajor, bKMajor, promote, m, n, k, aPitch, bPitch, full), null!,
                ["a", "b", "y", "q", "q_t", "amax", "sums"], geometry);
            using KernelHarness harness = new(
                kernel, new TestBuffer(format, (long)m * k), new TestBuffer(format, (long)n * k), new TestBuffer(ElementFormat.F32, (long)m * n),
                new TestBuffer(ElementFormat.E4M3, (long)m * n), new TestBuffer(ElementFormat.E4M3, (long)m * n), new TestBuffer(ElementFormat.I32, 1),
                new TestBuffer(ElementFormat.F32, (long)((m + 15) / 16) * n));
            harness.Upload(0, Noise(1, (long)m * k, format));
            harness.Upload(1, Noise(2, (long)n * k, format));
            Report($"GEMM {format} {m} x {n} x {k} K-major {aKMajor}/{bKMajor} promote {promote} {(full ? "full epilogue" : "bf16 store")}", harness, 2.0 * m * n * k, 7);
        }
    }

    [Theory(Explicit = true)]
    [InlineData(64)]
    [InlineData(128)]
    public void Attention(int headSize)
    {
        AttentionCase c = new(ElementFormat.BF16, headSize, 2048 / headSize, 2048 / headSize, 4, 2048, 0);
        AttentionGeometry geometry = new(_ => c.Heads, _ => c.KvHeads, _ => c.HeadSize);
        long elements = (long)c.Tokens * c.Heads * c.HeadSize;
        double product = 2.0 * c.Batch * c.Heads * c.Sequence * c.Sequence * c.HeadSize / 2;
        (KernelKind Kind, string Source, int Halves, double Products)[] kernels =
        [
            (KernelKind.AttentionForward, KernelTexts.AttentionForward(c), 3, 2),
            (KernelKind.AttentionBackwardKeyValue, KernelTexts.AttentionBackwardKeyValue(c), 4, 4),
            (KernelKind.AttentionBackwardQuery, KernelTexts.AttentionBackwardQuery(c), 4, 3),
        ];
        foreach ((KernelKind kind, string source, int halves, double products) in kernels)
        {
            List<TestBuffer> buffers = [.. Enumerable.Repeat(new TestBuffer(ElementFormat.BF16, elements), halves)];
            int arguments = kind switch { KernelKind.AttentionForward => 9, KernelKind.AttentionBackwardKeyValue => 8, _ => 7 };
            buffers.AddRange(Enumerable.Repeat(new TestBuffer(ElementFormat.F32, elements), arguments - halves));
            using KernelHarness harness = new(
                new KernelInfo("test", kind, source, null!, [.. Enumerable.Range(0, arguments).Select(i => $"{i}")], geometry),
                new DimBinding(c.Batch, c.Sequence), [.. buffers]);
            for (int i = 0; i < halves; i++)
            {
                harness.Upload(i, Noise(i, elements, ElementFormat.BF16));
            }

            Report($"{kind} head {headSize}, {c.Heads} heads, {c.Batch} x {c.Sequence}", harness, products * product, arguments);
        }
    }

    [Fact(Explicit = true)]
    public void Row()
    {
        const int Rows = 16384, Columns = 4096;
        KernelInfo kernel = new(
            "test", KernelKind.Row, KernelTexts.Row(Rows, Columns), null!, ["x", "norms", "y", "y_t", "y_amax", "partial"],
            new RowGeometry(_ => Rows, _ => Columns));
        using KernelHarness harness = new(
            kernel, new TestBuffer(ElementFormat.BF16, Rows * Columns), new TestBuffer(ElementFormat.F32, Rows),
            new TestBuffer(ElementFormat.E4M3, Rows * Columns), new TestBuffer(ElementFormat.E4M3, Rows * Columns), new TestBuffer(ElementFormat.I32, 1),
            new TestBuffer(ElementFormat.F32, Rows / 16 * Columns));
        harness.Upload(0, Noise(1, Rows * Columns, ElementFormat.BF16));
        Report($"row kernel {Rows} x {Columns}, 4 bytes per element (rate in T bytes/s)", harness, 4.0 * Rows * Columns, 6);
    }

    private void Report(string what, KernelHarness harness, double work, int arguments)
    {
        const int Repetitions = 10;
        nint[] args = [.. Enumerable.Range(0, arguments).Select(i => harness[i])];
        harness.Launch(args);
        double best = double.MaxValue;
        for (int round = 0; round < 3; round++)
        {
            long start = Stopwatch.GetTimestamp();
            for (int i = 0; i < Repetitions; i++)
            {
                harness.Session.Launch(0, args);
            }

            harness.Session.Synchronize();
            best = Math.Min(best, Stopwatch.GetElapsedTime(start).TotalSeconds / Repetitions);
        }

        output.WriteLine($"{what}: {best * 1e6:F1} us, {work / best / 1e12:F1} T/s");
    }

    /// <summary>Random bits without NaN, infinities or large magnitudes.</summary>
    private static byte[] Noise(int seed, long elements, ElementFormat format)
    {
        byte[] bytes = new byte[elements * format.Bytes()];
        new Random(seed).NextBytes(bytes);
        int step = format.Bytes();
        for (long i = step - 1; i < bytes.LongLength; i += step)
        {
            bytes[i] &= 0xBF;
        }

        return bytes;
    }
}
