using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Fp8Lm.Cpu;

/// <summary>8 x 16 as two halves of 4 x 16: eight accumulators cover the latency of two multiply-adds a cycle and leave registers for the operands.</summary>
internal readonly unsafe struct MicroKernel256 : IMicroKernel
{
    public static int Columns => 16;

    public static void Multiply<TLayout>(float* a, float* b, int depth, float* c, long ldc, bool add) where TLayout : struct, IPackedLayout
    {
        Half<TLayout>(a, b, depth, c, ldc, add);
        Half<TLayout>(a + (4 * TLayout.RowStep), b, depth, c + (4 * ldc), ldc, add);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Half<TLayout>(float* a, float* b, int depth, float* c, long ldc, bool add) where TLayout : struct, IPackedLayout
    {
        Vector256<float> c00 = default, c01 = default;
        Vector256<float> c10 = default, c11 = default;
        Vector256<float> c20 = default, c21 = default;
        Vector256<float> c30 = default, c31 = default;
        for (float* end = b + ((long)depth * Columns); b < end; b += Columns, a += TLayout.DepthStep)
        {
            Vector256<float> b0 = Vector256.LoadAligned(b), b1 = Vector256.LoadAligned(b + 8);
            Vector256<float> a0 = Vector256.Create(a[0]);
            c00 = Fma.MultiplyAdd(a0, b0, c00);
            c01 = Fma.MultiplyAdd(a0, b1, c01);
            Vector256<float> a1 = Vector256.Create(a[TLayout.RowStep]);
            c10 = Fma.MultiplyAdd(a1, b0, c10);
            c11 = Fma.MultiplyAdd(a1, b1, c11);
            Vector256<float> a2 = Vector256.Create(a[2 * TLayout.RowStep]);
            c20 = Fma.MultiplyAdd(a2, b0, c20);
            c21 = Fma.MultiplyAdd(a2, b1, c21);
            Vector256<float> a3 = Vector256.Create(a[3 * TLayout.RowStep]);
            c30 = Fma.MultiplyAdd(a3, b0, c30);
            c31 = Fma.MultiplyAdd(a3, b1, c31);
        }

        Finish(c, c00, c01, add);
        Finish(c + ldc, c10, c11, add);
        Finish(c + (2 * ldc), c20, c21, add);
        Finish(c + (3 * ldc), c30, c31, add);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Finish(float* c, Vector256<float> low, Vector256<float> high, bool add)
    {
        if (add)
        {
            low += Vector256.LoadAligned(c);
            high += Vector256.LoadAligned(c + 8);
        }

        low.StoreAligned(c);
        high.StoreAligned(c + 8);
    }
}
