using System;
using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.CompilerServices;
using Fp8Lm.Cpu;
using Fp8Lm.Execution;

namespace Fp8Lm.CpuBench;

/// <summary>Best-of-many times of the CPU products at the shapes of a small GPT, beside the multiply-add peak of the machine.</summary>
internal static unsafe class Program
{
    private static void Main()
    {
        CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;
        using var pool = new CpuPool();
        double peak = Peak(pool);
        Console.WriteLine($"{pool.Workers} workers, multiply-add peak {peak:F0} GFLOP/s");
        foreach (ElementFormat format in (ReadOnlySpan<ElementFormat>)[ElementFormat.F32, ElementFormat.BF16, ElementFormat.E4M3])
        {
            Gemm(pool, format, true, true, 2048, 384, 128, peak, "fprop qkv");
            Gemm(pool, format, true, true, 2048, 128, 128, peak, "fprop out");
            Gemm(pool, format, true, true, 2048, 512, 128, peak, "fprop up");
            Gemm(pool, format, true, true, 2048, 128, 512, peak, "fprop down");
            Gemm(pool, format, true, false, 2048, 128, 384, peak, "dgrad qkv");
            Gemm(pool, format, true, false, 2048, 512, 128, peak, "dgrad down");
            Gemm(pool, format, false, false, 384, 128, 2048, peak, "wgrad qkv");
            Gemm(pool, format, false, false, 512, 128, 2048, peak, "wgrad up");
            Gemm(pool, format, false, false, 128, 512, 2048, peak, "wgrad down");
            Gemm(pool, format, true, true, 1024, 1024, 1024, peak, "square");
        }
    }

    private static double Best(Action action)
    {
        double best = double.MaxValue;
        for (int i = 0, n = 150; i < n; i++)
        {
            long start = Stopwatch.GetTimestamp();
            action();
            best = Math.Min(best, Stopwatch.GetElapsedTime(start).TotalSeconds);
        }

        return best;
    }

    private static void Gemm(CpuPool pool, ElementFormat format, bool aKMajor, bool bKMajor, int m, int n, int k, double peak, string name)
    {
        nint a = Allocate(m, k, format), b = Allocate(n, k, format), c = Allocate(m, n, ElementFormat.F32);
        var left = new GemmOperand(a, format, aKMajor, aKMajor ? k : m);
        var right = new GemmOperand(b, format, bKMajor, bKMajor ? k : n);
        var store = new StoreF32((float*)c, n);
        double seconds = Best(() => CpuGemm.Run(pool, left, right, m, n, k, ref store));
        double rate = 2.0 * m * n * k / seconds * 1e-9;
        Console.WriteLine($"{format,-5} {name,-11} {m,5} x {n,4} x {k,4}  {seconds * 1e6,8:F0} us  {rate,6:F0} GFLOP/s  {rate / peak,4:P0}");
        NativeMemory.AlignedFree((void*)a);
        NativeMemory.AlignedFree((void*)b);
        NativeMemory.AlignedFree((void*)c);
    }

    private static nint Allocate(long rows, long columns, ElementFormat format)
    {
        nuint bytes = (nuint)(rows * columns * format.Bytes());
        void* block = NativeMemory.AlignedAlloc(bytes, 1 << 21);
        NativeMemory.Fill(block, bytes, 0x31);
        return (nint)block;
    }

    private static double Peak(CpuPool pool)
    {
        var kernel = new PeakKernel();
        double seconds = Best(() => pool.Run(ref kernel, pool.Workers));
        return pool.Workers * PeakKernel.Flops / seconds * 1e-9;
    }

    private struct StoreF32(float* c, long pitch) : ITileEpilogue
    {
        public readonly void Apply(int row, int rows, int col, int cols, float* acc, int ld)
        {
            for (int r = 0; r < rows; r++)
            {
                float* to = c + ((row + r) * pitch) + col;
                float* from = acc + (r * (long)ld);
                for (int j = 0; j < cols; j += 8)
                {
                    Simd.Store(to + j, Simd.Load(from + j));
                }
            }
        }
    }

    private struct PeakKernel : ITileKernel
    {
        private const int Rounds = 1_000_000;

        public static double Flops => 2.0 * Vector512<float>.Count * 12 * Rounds;

        [MethodImpl(MethodImplOptions.AggressiveOptimization)]
        public readonly void Run(int tile, int worker)
        {
            Vector512<float> x = Vector512.Create(0.999f), y = Vector512.Create(1e-3f * (tile + 1));
            Vector512<float> a = x, b = x, c = x, d = x, e = x, f = x, g = x, h = x, i = x, j = x, k = x, l = x;
            for (int n = 0; n < Rounds; n++)
            {
                a = Vector512.FusedMultiplyAdd(a, x, y);
                b = Vector512.FusedMultiplyAdd(b, x, y);
                c = Vector512.FusedMultiplyAdd(c, x, y);
                d = Vector512.FusedMultiplyAdd(d, x, y);
                e = Vector512.FusedMultiplyAdd(e, x, y);
                f = Vector512.FusedMultiplyAdd(f, x, y);
                g = Vector512.FusedMultiplyAdd(g, x, y);
                h = Vector512.FusedMultiplyAdd(h, x, y);
                i = Vector512.FusedMultiplyAdd(i, x, y);
                j = Vector512.FusedMultiplyAdd(j, x, y);
                k = Vector512.FusedMultiplyAdd(k, x, y);
                l = Vector512.FusedMultiplyAdd(l, x, y);
            }

            Vector512<float> sum = a + b + c + d + e + f + g + h + i + j + k + l;
            if (Vector512.Sum(sum) == 0.5f)
            {
                throw new InvalidOperationException("Keeps the loop alive.");
            }
        }
    }
}
