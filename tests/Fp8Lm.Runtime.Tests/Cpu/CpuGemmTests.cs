using System;
using System.Runtime.InteropServices;
using Fp8Lm.Cpu;
using Fp8Lm.Execution;
using Xunit;

namespace Fp8Lm.Runtime.Tests.Cpu;

public unsafe class CpuGemmTests
{
    private struct Collect(float* c, int* visits, int m, int n) : ITileEpilogue
    {
        public readonly void Apply(int row, int rows, int col, int cols, float* acc, int ld)
        {
            Assert.True(row % 16 == 0 && (rows % 16 == 0 || row + rows == m) && col % 16 == 0 && col + cols <= n && ld % 16 == 0 && ld >= cols && (nint)acc % 64 == 0);
            for (int r = 0; r < rows; r++)
            {
                for (int j = 0; j < cols; j++)
                {
                    c[((row + r) * (long)n) + col + j] = acc[(r * (long)ld) + j];
                    visits[((row + r) * (long)n) + col + j]++;
                }

                // The caller of the epilogue must live with what it leaves behind.
                new Span<float>(acc + (r * (long)ld), ld).Fill(float.NaN);
            }
        }
    }

    [Theory]
    [InlineData(1, 1, 1)]
    [InlineData(7, 5, 3)]
    [InlineData(16, 32, 64)]
    [InlineData(17, 33, 9)]
    [InlineData(64, 96, 128)]
    [InlineData(65, 31, 129)]
    [InlineData(130, 70, 513)]
    [InlineData(3, 600, 40)]
    [InlineData(100, 48, 1100)]
    [InlineData(2, 2, 2050)]
    public void Products_match_exact_sums(int m, int n, int k)
    {
        foreach ((bool aKMajor, bool bKMajor) in (ReadOnlySpan<(bool, bool)>)[(true, true), (true, false), (false, true), (false, false)])
        {
            Check(ElementFormat.F32, ElementFormat.F32, aKMajor, bKMajor, m, n, k);
        }
    }

    [Theory]
    [InlineData(ElementFormat.BF16, ElementFormat.BF16)]
    [InlineData(ElementFormat.F16, ElementFormat.F32)]
    [InlineData(ElementFormat.E4M3, ElementFormat.E4M3)]
    [InlineData(ElementFormat.E5M2, ElementFormat.E4M3)]
    [InlineData(ElementFormat.E4M3, ElementFormat.E5M2)]
    [InlineData(ElementFormat.F32, ElementFormat.F16)]
    public void Every_format_and_layout_is_read(ElementFormat aFormat, ElementFormat bFormat)
    {
        foreach ((bool aKMajor, bool bKMajor) in (ReadOnlySpan<(bool, bool)>)[(true, true), (true, false), (false, true), (false, false)])
        {
            Check(aFormat, bFormat, aKMajor, bKMajor, 37, 53, 43);
            Check(aFormat, bFormat, aKMajor, bKMajor, 48, 64, 80);
        }
    }

    [Fact]
    public void Operands_that_end_a_mapping_are_not_read_past_their_end()
    {
        // The last element lies at the very end of a block whose neighbour holds NaNs; a product that read further would show them.
        Check(ElementFormat.F32, ElementFormat.BF16, true, true, 19, 21, 23, poison: true);
        Check(ElementFormat.E4M3, ElementFormat.F32, false, false, 19, 21, 23, poison: true);
    }

    [Fact]
    public void Wide_products_are_done_in_strips()
    {
        // 4100 columns x 1100 of depth exceed the packed strip of B.
        Check(ElementFormat.F32, ElementFormat.F32, true, true, 5, 4100, 1100);
    }

    [Theory]
    [InlineData(100, 200, 700)]
    [InlineData(512, 128, 2048)]
    [InlineData(31, 64, 64)]
    public void The_number_of_workers_changes_no_bit(int m, int n, int k)
    {
        using var a = new Matrix(ElementFormat.F32, false, m, k, 1);
        using var b = new Matrix(ElementFormat.BF16, true, n, k, 2);
        float[]? reference = null;
        foreach (int workers in (ReadOnlySpan<int>)[1, 2, 3, 7])
        {
            float[] c = Product(a, b, m, n, k, workers);
            reference ??= c;
            Assert.True(c.AsSpan().SequenceEqual(reference), $"{workers} workers");
        }
    }

    /// <summary>A scale per row and 128 of K, or per 128 rows; depth blocks of the product do not end where blocks of scales do.</summary>
    [Theory]
    [InlineData(16, 32, 128)]
    [InlineData(37, 53, 144)]
    [InlineData(130, 270, 700)]
    public void Scales_per_block_multiply_their_block(int m, int n, int k)
    {
        foreach ((bool aKMajor, bool bKMajor, bool squares) in (ReadOnlySpan<(bool, bool, bool)>)[(true, true, true), (true, false, true), (false, false, false), (true, true, false)])
        {
            using var a = new Matrix(ElementFormat.E4M3, aKMajor, m, k, 1);
            using var b = new Matrix(ElementFormat.E4M3, bKMajor, n, k, 2);
            int blocks = (k + 127) / 128;
            var random = new Random(5);
            float[] left = new float[blocks * m], right = new float[squares ? blocks * ((n + 127) / 128) : blocks * n];
            for (int i = 0; i < left.Length + right.Length; i++)
            {
                (i < left.Length ? ref left[i] : ref right[i - left.Length]) = 0.01f + random.NextSingle();
            }

            float[] c = new float[m * n];
            int[] visits = new int[m * n];
            using var pool = new CpuPool(3);
            fixed (float* to = c, la = left, lb = right)
            fixed (int* counts = visits)
            {
                var epilogue = new Collect(to, counts, m, n);
                GemmOperand x = a.Operand with { Scales = new BlockScales((nint)la, 1, 1, m) };
                GemmOperand y = b.Operand with { Scales = squares ? new BlockScales((nint)lb, 128, blocks, 1) : new BlockScales((nint)lb, 1, 1, n) };
                CpuGemm.Run(pool, x, y, m, n, k, ref epilogue);
            }

            for (int i = 0; i < m; i++)
            {
                for (int j = 0; j < n; j++)
                {
                    double sum = 0, magnitude = 0;
                    for (int at = 0; at < k; at++)
                    {
                        double term = (double)a[i, at] * left[(at / 128 * m) + i] * b[j, at] * right[squares ? (j / 128 * blocks) + (at / 128) : (at / 128 * n) + j];
                        (sum, magnitude) = (sum + term, magnitude + Math.Abs(term));
                    }

                    Assert.True(Math.Abs(c[(i * n) + j] - sum) <= magnitude * 1.2e-7 * Math.Max(2, Math.Sqrt(k)), $"{aKMajor} {bKMajor} {squares} [{i},{j}]: {c[(i * n) + j]} for {sum}");
                }
            }
        }
    }

    [Fact]
    public void Integer_operands_are_refused()
    {
        using var pool = new CpuPool(1);
        var epilogue = default(Collect);
        var bad = new GemmOperand(0, ElementFormat.I32, true, 1);
        Assert.Throws<ArgumentException>(() => CpuGemm.Run(pool, bad, bad, 1, 1, 1, ref epilogue));
    }

    [Fact]
    public void All_micro_kernels_agree_with_the_sum()
    {
        CheckMicroKernel<MicroKernelPortable, RowWise>();
        CheckMicroKernel<MicroKernelPortable, ColumnWise>();
        if (System.Runtime.Intrinsics.X86.Fma.IsSupported)
        {
            CheckMicroKernel<MicroKernel256, RowWise>();
            CheckMicroKernel<MicroKernel256, ColumnWise>();
        }

        if (System.Runtime.Intrinsics.X86.Avx512F.IsSupported)
        {
            CheckMicroKernel<MicroKernel512, RowWise>();
            CheckMicroKernel<MicroKernel512, ColumnWise>();
        }
    }

    private static void CheckMicroKernel<TKernel, TLayout>() where TKernel : struct, IMicroKernel where TLayout : struct, IPackedLayout
    {
        const int depth = 19;
        int columns = TKernel.Columns, pitch = columns + 16;
        float* a = (float*)NativeMemory.AlignedAlloc(PackedA.GroupFloats * sizeof(float), 64);
        float* b = (float*)NativeMemory.AlignedAlloc((nuint)(depth * columns * sizeof(float)), 64);
        float* c = (float*)NativeMemory.AlignedAlloc((nuint)(8 * pitch * sizeof(float)), 64);
        var random = new Random(4);
        for (int i = 0; i < PackedA.GroupFloats; i++)
        {
            a[i] = random.Next(-8, 9);
        }

        for (int i = 0; i < depth * columns; i++)
        {
            b[i] = random.Next(-8, 9);
        }

        for (int pass = 1; pass <= 2; pass++)
        {
            TKernel.Multiply<TLayout>(a, b, depth, c, pitch, add: pass == 2);
            for (int r = 0; r < 8; r++)
            {
                for (int j = 0; j < columns; j++)
                {
                    float sum = 0;
                    for (int k = 0; k < depth; k++)
                    {
                        sum += a[(r * TLayout.RowStep) + (k * TLayout.DepthStep)] * b[(k * columns) + j];
                    }

                    Assert.Equal(pass * sum, c[(r * pitch) + j]);
                }
            }
        }

        NativeMemory.AlignedFree(a);
        NativeMemory.AlignedFree(b);
        NativeMemory.AlignedFree(c);
    }

    private static void Check(ElementFormat aFormat, ElementFormat bFormat, bool aKMajor, bool bKMajor, int m, int n, int k, bool poison = false)
    {
        using var a = new Matrix(aFormat, aKMajor, m, k, 1, poison);
        using var b = new Matrix(bFormat, bKMajor, n, k, 2, poison);
        float[] c = Product(a, b, m, n, k, 2);
        for (int i = 0; i < m; i++)
        {
            for (int j = 0; j < n; j++)
            {
                double sum = 0, magnitude = 0;
                for (int x = 0; x < k; x++)
                {
                    double term = (double)a[i, x] * b[j, x];
                    sum += term;
                    magnitude += Math.Abs(term);
                }

                double tolerance = magnitude * 1.2e-7 * Math.Max(2, Math.Sqrt(k));
                Assert.True(Math.Abs(c[(i * n) + j] - sum) <= tolerance, $"{aFormat}/{aKMajor} x {bFormat}/{bKMajor} {m}x{n}x{k} [{i},{j}]: {c[(i * n) + j]} for {sum}");
            }
        }
    }

    private static float[] Product(Matrix a, Matrix b, int m, int n, int k, int workers)
    {
        using var pool = new CpuPool(workers);
        float[] c = new float[m * n];
        int[] visits = new int[m * n];
        fixed (float* to = c)
        fixed (int* counts = visits)
        {
            var epilogue = new Collect(to, counts, m, n);
            CpuGemm.Run(pool, a.Operand, b.Operand, m, n, k, ref epilogue);
        }

        Assert.All(visits, count => Assert.Equal(1, count));
        return c;
    }
}
