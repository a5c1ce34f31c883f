using System;
using System.Linq;
using System.Threading.Tasks;
using Fp8Lm.Execution;
using Fp8Lm.Numerics;
using Xunit;

namespace Fp8Lm.Runtime.Tests.Cuda;

public sealed class GemmKernelTests
{
    // M, N, K: one tile; tails in every direction; less than a tile; one k block; more tiles than multiprocessors and a short last group.
    private static readonly (int M, int N, int K)[] Shapes =
        [(128, 128, 128), (129, 144, 272), (16, 16, 16), (8, 128, 2048), (144, 400, 64), (2320, 1168, 272)];

    public static TheoryData<ElementFormat, ElementFormat, bool, bool, bool> Operands => new()
    {
        { ElementFormat.E4M3, ElementFormat.E4M3, true, true, false },
        { ElementFormat.E4M3, ElementFormat.E4M3, true, true, true },
        { ElementFormat.E5M2, ElementFormat.E4M3, true, true, true },
        { ElementFormat.E4M3, ElementFormat.E5M2, true, true, false },
        { ElementFormat.E5M2, ElementFormat.E5M2, true, true, true },
        { ElementFormat.BF16, ElementFormat.BF16, true, true, false },
        { ElementFormat.BF16, ElementFormat.BF16, true, false, false },
        { ElementFormat.BF16, ElementFormat.BF16, false, true, false },
        { ElementFormat.BF16, ElementFormat.BF16, false, false, false },
        { ElementFormat.F16, ElementFormat.F16, true, true, false },
        { ElementFormat.F16, ElementFormat.F16, true, false, false },
        { ElementFormat.F16, ElementFormat.F16, false, true, false },
        { ElementFormat.F16, ElementFormat.F16, false, false, false },
        { ElementFormat.F32, ElementFormat.F32, true, true, false },
        { ElementFormat.F32, ElementFormat.F32, true, false, false },
        { ElementFormat.F32, ElementFormat.F32, false, true, false },
        { ElementFormat.F32, ElementFormat.F32, false, false, false },
    };

    /// <summary>Small integers: every product and sum is exact in any order, so the result must be equal to the bit.</summary>
    [Theory]
    [MemberData(nameof(Operands))]
    public void IntegersAreExact(ElementFormat a, ElementFormat b, bool aKMajor, bool bKMajor, bool promote)
    {
        Gpu.Require();
        foreach ((int m, int n, int k) in Shapes)
        {
            Check(a, b, aKMajor, bKMajor, promote, m, n, k, integers: true, tolerance: 0);
        }
    }

    /// <summary>Normal numbers against double; Hopper's FP8 accumulator keeps about 14 bits unless partial sums are promoted.</summary>
    [Theory]
    [MemberData(nameof(Operands))]
    public void RandomNumbersAreClose(ElementFormat a, ElementFormat b, bool aKMajor, bool bKMajor, bool promote)
    {
        Gpu.Require();
        bool fp8 = a is ElementFormat.E4M3 or ElementFormat.E5M2;
        Check(a, b, aKMajor, bKMajor, promote, 328, 272, 1040, integers: false, tolerance: !fp8 ? 2e-6 : promote ? 2e-4 : 2e-3);
    }

    public static TheoryData<int, ElementFormat, bool, bool, bool> Tiles => new()
    {
        { 0, ElementFormat.E4M3, true, true, false },
        { 1, ElementFormat.E4M3, true, true, false },
        { 2, ElementFormat.E4M3, true, true, false },
        { 0, ElementFormat.BF16, true, true, false },
        { 2, ElementFormat.BF16, true, true, false },
        { 0, ElementFormat.BF16, false, false, false },
        { 2, ElementFormat.BF16, false, false, false },
        { 0, ElementFormat.F16, true, true, false },
        { 2, ElementFormat.F16, true, true, false },
        { 0, ElementFormat.F16, false, false, false },
        { 2, ElementFormat.F16, false, false, false },
        { 3, ElementFormat.E4M3, true, true, true },
        { 4, ElementFormat.E4M3, true, true, true },
        { 5, ElementFormat.E4M3, true, true, true },
    };

    /// <summary>Every tile of the table in <c>gemm/tile.cuh</c>, whichever the shape would choose; also with more of K than stages.</summary>
    [Theory]
    [MemberData(nameof(Tiles))]
    public void TilesAreExact(int tile, ElementFormat format, bool aKMajor, bool bKMajor, bool promote)
    {
        Gpu.Require();
        foreach ((int m, int n, int k) in Shapes.Append((1168, 2320, 1168)))
        {
            Check(format, format, aKMajor, bKMajor, promote, m, n, k, integers: true, tolerance: 0, tile: $"#define FP8LM_TILE {tile}\n");
        }
    }

    public static TheoryData<int, int, ElementFormat, bool> Splits => new()
    {
        { 3, 2, ElementFormat.E4M3, true },
        { 3, 8, ElementFormat.E4M3, true },
        { 4, 5, ElementFormat.E4M3, true },
        { 5, 3, ElementFormat.E4M3, true },
        { 6, 4, ElementFormat.E4M3, true },
        { 6, 5, ElementFormat.E5M2, true },
        { 0, 2, ElementFormat.BF16, true },
        { 0, 5, ElementFormat.BF16, false },
        { 0, 8, ElementFormat.F16, false },
    };

    /// <summary>K over the blocks of a cluster, with every kind of output: one tile and many, more tiles than clusters run at a time, tails, a block of K each and unequal shares.</summary>
    [Theory]
    [MemberData(nameof(Splits))]
    public void SplitsAreExact(int tile, int split, ElementFormat format, bool kMajor)
    {
        Gpu.Require();
        foreach ((int m, int n, int k) in new[] { (128, 128, 1024), (129, 144, 1040), (16, 16, 4096), (2320, 1168, 1040) })
        {
            Check(format, format, kMajor, kMajor, promote: format is ElementFormat.E4M3 or ElementFormat.E5M2, m, n, k, integers: true, tolerance: 0, tile: $"#define FP8LM_TILE {tile}\n#define FP8LM_SPLIT {split}\n");
        }
    }

    private static void Check(
        ElementFormat a, ElementFormat b, bool aKMajor, bool bKMajor, bool promote, int m, int n, int k, bool integers, double tolerance,
        string tile = "")
    {
        // Pitches of more than the extent, and multiples of 16 bytes as the copy engine wants them.
        int aPitch = ((aKMajor ? k : m) + 15) / 16 * 16 + 16;
        int bPitch = ((bKMajor ? k : n) + 15) / 16 * 16 + 16;
        int aRows = aKMajor ? m : k;
        int bRows = bKMajor ? n : k;
        float[] left = TestNumbers.Random(1, (long)aRows * aPitch, a, integers);
        float[] right = TestNumbers.Random(2, (long)bRows * bPitch, b, integers);
        double[] expected = Multiply(left, right, aKMajor, bKMajor, m, n, k, aPitch, bPitch);

        GemmGeometry geometry = new(_ => m, _ => n, _ => k, new GemmOperandInfo(a, aKMajor, _ => aPitch), new GemmOperandInfo(b, bKMajor, _ => bPitch));
        KernelInfo kernel = new(
            "test", KernelKind.Gemm, tile + KernelTexts.Gemm(a, b, aKMajor, bKMajor, promote, m, n, k, aPitch, bPitch), null!,
            ["a", "b", "y", "q", "q_t", "amax", "sums"], geometry);
        int slabs = (m + 15) / 16;
        using KernelHarness harness = new(
            kernel, new TestBuffer(a, left.Length), new TestBuffer(b, right.Length), new TestBuffer(ElementFormat.F32, (long)m * n),
            new TestBuffer(ElementFormat.E4M3, (long)m * n), new TestBuffer(ElementFormat.E4M3, (long)m * n), new TestBuffer(ElementFormat.I32, 1),
            new TestBuffer(ElementFormat.F32, (long)slabs * n));
        harness.Upload(0, TestNumbers.Encode(left, a));
        harness.Upload(1, TestNumbers.Encode(right, b));
        harness.Upload(5, new uint[1]);
        harness.LaunchOnBuffers();

        string what = $"{a} x {b}, K-major {aKMajor}/{bKMajor}, promote {promote}, {m} x {n} x {k}";
        float[] y = harness.Download<float>(2);
        TestNumbers.AssertClose(expected, y, tolerance, what);

        // The other outputs are functions of y.
        byte[] q = harness.Download<byte>(3);
        byte[] transposed = harness.Download<byte>(4);
        for (int row = 0; row < m; row++)
        {
            for (int col = 0; col < n; col++)
            {
                byte code = E4M3.FromSingle(y[(row * n) + col] * 0.25f);
                Assert.True(code == q[(row * n) + col] && code == transposed[(col * m) + row], $"{what}: FP8 copies at {row}, {col}");
            }
        }

        Assert.Equal(y.Max(Math.Abs), BitConverter.UInt32BitsToSingle(harness.Download<uint>(5)[0]));
        double[] sums = new double[slabs * n];
        for (int i = 0; i < y.Length; i++)
        {
            sums[(i / n / 16 * n) + (i % n)] += y[i];
        }

        TestNumbers.AssertClose(sums, harness.Download<float>(6), 1e-6, $"{what}, column sums");
    }

    private static double[] Multiply(float[] a, float[] b, bool aKMajor, bool bKMajor, int m, int n, int k, int aPitch, int bPitch)
    {
        double[] result = new double[(long)m * n];
        Parallel.For(0, m, row =>
        {
            for (int col = 0; col < n; col++)
            {
                double sum = 0;
                for (int i = 0; i < k; i++)
                {
                    sum += (double)a[aKMajor ? (row * aPitch) + i : (i * aPitch) + row] * b[bKMajor ? (col * bPitch) + i : (i * bPitch) + col];
                }

                result[((long)row * n) + col] = sum;
            }
        });
        return result;
    }
}
