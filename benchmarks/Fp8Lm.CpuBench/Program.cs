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
    private static void Main(string[] args)
    {
        CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;
        using var pool = new CpuPool();
        double peak = Peak(pool);
        Console.WriteLine($"{pool.Workers} workers, multiply-add peak {peak:F0} GFLOP/s");
        foreach (ElementFormat format in args.Length > 0 ? [] : (ReadOnlySpan<ElementFormat>)[ElementFormat.F32, ElementFormat.BF16, ElementFormat.E4M3])
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

        Attention(pool, 16, 128, 4, 32, peak);
        Attention(pool, 8, 256, 8, 64, peak);
        Attention(pool, 1, 2048, 4, 64, peak);
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

    private static void Attention(CpuPool pool, int batch, int sequence, int heads, int size, double peak)
    {
        int tokens = batch * sequence, width = heads * size;
        nint qkv = Allocate(tokens, 3 * width, ElementFormat.F32), output = Allocate(tokens, width, ElementFormat.F32), result = Allocate(tokens, 3 * width, ElementFormat.F32);
        nint statistics = Allocate(tokens, 2 * heads, ElementFormat.F32);
        float* lse = (float*)statistics, delta = lse + (tokens * heads);
        AttentionOperand Part(int part) => new(qkv + (part * width * sizeof(float)), ElementFormat.F32, 3 * width);
        var args = new AttentionArgs(Part(0), Part(1), Part(2), new AttentionOperand(output, ElementFormat.F32, width), batch, sequence, heads, heads, size, 0.2f, 0);
        var toOutput = new StoreF32((float*)output, width);
        StoreF32 q = new((float*)result, 3 * width), k = new((float*)result + width, 3 * width), v = new((float*)result + (2 * width), 3 * width);
        double unit = (double)batch * heads * sequence * sequence / 2 * size * 2;
        Report("forward", 2 * unit, Best(() => CpuAttention.Forward(pool, args, lse, ref toOutput)));
        Report("backward q", 3 * unit, Best(() => CpuAttention.BackwardQuery(pool, args, lse, delta, ref q)));
        Report("backward kv", 4 * unit, Best(() => CpuAttention.BackwardKeyValue(pool, args, lse, delta, ref k, ref v)));
        foreach (nint block in (ReadOnlySpan<nint>)[qkv, output, result, statistics])
        {
            NativeMemory.AlignedFree((void*)block);
        }

        void Report(string name, double flops, double seconds) => Console.WriteLine(
            $"attention {name,-11} {batch,2} x {sequence,4}, {heads} x {size}  {seconds * 1e6,8:F0} us  {flops / seconds * 1e-9,6:F0} GFLOP/s  {flops / seconds * 1e-9 / peak,4:P0}");
    }

    private static nint Allocate(long rows, long columns, ElementFormat format)
    {
        nuint bytes = (nuint)(rows * columns * format.Bytes());
        void* block = NativeMemory.AlignedAlloc(bytes, 1 << 21);
        HugePages.Advise(block, (long)bytes);
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
