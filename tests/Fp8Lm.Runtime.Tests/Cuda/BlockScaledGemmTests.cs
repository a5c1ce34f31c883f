using System;
using System.Linq;
using Fp8Lm.Execution;
using Fp8Lm.Numerics;
using Xunit;

namespace Fp8Lm.Runtime.Tests.Cuda;

/// <summary>Products whose operands have a scale per 128 of K, on a GPU.</summary>
public sealed class BlockScaledGemmTests
{
    private const int Block = 128;

    // One tile and block; a short last block of K; tails of rows and columns, in groups of 32 and not; more tiles than multiprocessors.
    private static readonly (int M, int N, int K)[] Shapes = [(128, 128, 128), (256, 128, 144), (1008, 208, 272), (336, 96, 2048), (16, 16, 16), (2320, 1168, 400)];

    /// <summary>Numbers of <c>kTiles</c> in <c>gemm/tile.cuh</c> that serve; whether B has squares; whether the epilogue is a full one.</summary>
    public static TheoryData<int, bool, bool> Tiles => new()
    {
        { 3, true, true }, { 5, false, true }, { 5, true, true }, { 3, false, false }, { 3, true, false }, { 6, false, false }, { 6, true, false },
    };

    /// <summary>Small integers and scales that are powers of two: every product and sum is exact, so the result must be equal to the bit.</summary>
    [Theory]
    [MemberData(nameof(Tiles))]
    public void IntegersWithPowersOfTwoAreExact(int tile, bool squares, bool full)
    {
        Gpu.Require();
        foreach ((int m, int n, int k) in Shapes)
        {
            Check(tile, squares, transposed: false, full, m, n, k, integers: true, tolerance: 0);
            Check(tile, squares, transposed: true, full, m, n, k, integers: true, tolerance: 0);
        }
    }

    /// <summary>Normal numbers and any scales; the accumulator of a block keeps about 14 bits.</summary>
    [Theory]
    [MemberData(nameof(Tiles))]
    public void RandomNumbersAreClose(int tile, bool squares, bool full)
    {
        Gpu.Require();
        Check(tile, squares, transposed: false, full, 336, 272, 1040, integers: false, tolerance: full ? 2e-4 : 5e-3);
    }

    /// <param name="tile">Number of the tile.</param>
    /// <param name="squares">B has a scale per 128 rows.</param>
    /// <param name="transposed">Squares lie as those of a transposed weight do.</param>
    /// <param name="full">F32 output with all the rest; otherwise bf16 alone.</param>
    /// <param name="m">Rows.</param>
    /// <param name="n">Columns.</param>
    /// <param name="k">Length of the sums.</param>
    /// <param name="integers">Whether numbers are small integers and scales powers of two.</param>
    /// <param name="tolerance">Of the largest.</param>
    private static void Check(int tile, bool squares, bool transposed, bool full, int m, int n, int k, bool integers, double tolerance)
    {
        int blocks = (k + Block - 1) / Block, squaresOfN = (n + Block - 1) / Block;
        BlockScaling scaling = squares ? transposed ? new(true, 1, squaresOfN) : new(true, blocks, 1) : new(false);
        float[] left = TestNumbers.Random(1, (long)m * k, ElementFormat.E4M3, integers), right = TestNumbers.Random(2, (long)n * k, ElementFormat.E4M3, integers);
        float[] a = Scales(3, blocks * m, integers), b = Scales(4, squares ? blocks * squaresOfN : blocks * n, integers);
        double[] expected = new double[m * n];
        for (int row = 0; row < m; row++)
        {
            for (int column = 0; column < n; column++)
            {
                double sum = 0;
                for (int block = 0; block < blocks; block++)
                {
                    double part = 0;
                    for (int i = block * Block; i < Math.Min(k, (block + 1) * Block); i++)
                    {
                        part += (double)left[(row * k) + i] * right[(column * k) + i];
                    }

                    sum += part * a[(block * m) + row] * (squares ? b[(column / Block * scaling.Across) + (block * scaling.Along)] : b[(block * n) + column]);
                }

                expected[(row * n) + column] = sum;
            }
        }

        string text = $"#define FP8LM_TILE {tile}\n" + KernelTexts.Gemm(ElementFormat.E4M3, ElementFormat.E4M3, true, true, true, m, n, k, k, k, full, scales: scaling);
        GemmGeometry geometry = new(_ => m, _ => n, _ => k, new GemmOperandInfo(ElementFormat.E4M3, true, _ => k), new GemmOperandInfo(ElementFormat.E4M3, true, _ => k));
        KernelInfo kernel = new("test", KernelKind.Gemm, text, null!, ["a", "b", "a_scales", "b_scales", "y", "q", "q_t", "amax", "sums"], geometry);
        using KernelHarness harness = new(
            kernel, new TestBuffer(ElementFormat.E4M3, left.Length), new TestBuffer(ElementFormat.E4M3, right.Length), new TestBuffer(ElementFormat.F32, a.Length),
            new TestBuffer(ElementFormat.F32, b.Length), new TestBuffer(full ? ElementFormat.F32 : ElementFormat.BF16, (long)m * n), new TestBuffer(ElementFormat.E4M3, (long)m * n),
            new TestBuffer(ElementFormat.E4M3, (long)m * n), new TestBuffer(ElementFormat.I32, 1), new TestBuffer(ElementFormat.F32, (m + 15) / 16 * n));
        harness.Upload(0, TestNumbers.Encode(left, ElementFormat.E4M3));
        harness.Upload(1, TestNumbers.Encode(right, ElementFormat.E4M3));
        harness.Upload(2, a);
        harness.Upload(3, b);
        harness.Upload(7, new uint[1]);
        harness.LaunchOnBuffers();
        string what = $"tile {tile}, {(squares ? transposed ? "transposed squares" : "squares" : "rows")}, {m} x {n} x {k}";
        float[] actual = full ? harness.Download<float>(4) : [.. harness.Download<ushort>(4).Select(BFloat16.ToSingle)];
        double[] wanted = full ? expected : [.. expected.Select(v => integers ? BFloat16.ToSingle(BFloat16.FromSingle((float)v)) : v)];
        TestNumbers.AssertClose(wanted, actual, tolerance, what);
    }

    private static float[] Scales(int seed, int count, bool powersOfTwo)
    {
        Random random = new(seed);
        return [.. Enumerable.Range(0, count).Select(_ => powersOfTwo ? MathF.ScaleB(1f, random.Next(-2, 3)) : 0.01f + random.NextSingle())];
    }
}
