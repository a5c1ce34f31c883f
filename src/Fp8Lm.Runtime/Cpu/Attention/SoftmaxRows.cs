using System;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Fp8Lm.Cpu;

/// <summary>
/// The element-wise half of attention, one row of logits at a time. Rows are whole vectors wide; [begin, end) are the visible columns,
/// everything else becomes zero.
/// </summary>
internal static unsafe class SoftmaxRows
{
    private const int Lanes = Simd.Lanes;

    /// <summary>Turns logits into e^(scale * logit - maximum) and keeps the running maximum and sum of a row that comes in several pieces.</summary>
    /// <returns>What sums made with the old maximum must be multiplied with.</returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static float Forward(float* row, int width, int begin, int end, float scale, ref float maximum, ref float sum)
    {
        if (!Mask(row, width, ref begin, ref end))
        {
            return 1f;
        }

        Vector256<float> top = Simd.Load(row + begin);
        for (int c = begin + Lanes; c < end; c += Lanes)
        {
            top = Vector256.MaxNative(top, Simd.Load(row + c));
        }

        float before = maximum;
        maximum = float.Max(before, Simd.HorizontalMax(top) * scale);
        Vector256<float> factor = Vector256.Create(scale), shift = Vector256.Create(-maximum), total = Vector256<float>.Zero;
        for (int c = begin; c < end; c += Lanes)
        {
            Vector256<float> p = VectorMath.Exp(Vector256.FusedMultiplyAdd(Simd.Load(row + c), factor, shift));
            total += p;
            Simd.Store(row + c, p);
        }

        float correction = float.IsNegativeInfinity(before) ? 0f : VectorMath.Exp(before - maximum);
        sum = (sum * correction) + Simd.HorizontalSum(total);
        return correction;
    }

    /// <summary>Turns logits of one query into gradients of logits: p (dP - delta) scale with p = e^(scale * logit - logSum).</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void BackwardOfQuery(float* row, float* gradient, int width, int begin, int end, float scale, float logSum, float delta)
    {
        if (!Mask(row, width, ref begin, ref end))
        {
            return;
        }

        Vector256<float> factor = Vector256.Create(scale), shift = Vector256.Create(-logSum), mean = Vector256.Create(delta);
        for (int c = begin; c < end; c += Lanes)
        {
            Vector256<float> p = VectorMath.Exp(Vector256.FusedMultiplyAdd(Simd.Load(row + c), factor, shift));
            Simd.Store(row + c, p * (Simd.Load(gradient + c) - mean) * factor);
        }
    }

    /// <summary>
    /// The same for one key, along the queries: leaves probabilities in <paramref name="row"/> and gradients of logits in <paramref name="gradient"/>.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void BackwardOfKey(float* row, float* gradient, int width, int begin, int end, float scale, float* logSums, float* deltas)
    {
        bool any = Mask(row, width, ref begin, ref end);
        new Span<float>(gradient, begin).Clear();
        new Span<float>(gradient + end, width - end).Clear();
        if (!any)
        {
            return;
        }

        Vector256<float> factor = Vector256.Create(scale);
        for (int c = begin; c < end; c += Lanes)
        {
            Vector256<float> p = VectorMath.Exp(Vector256.FusedMultiplyAdd(Simd.Load(row + c), factor, -Simd.Load(logSums + c)));
            Simd.Store(row + c, p);
            Simd.Store(gradient + c, p * (Simd.Load(gradient + c) - Simd.Load(deltas + c)) * factor);
        }
    }

    /// <summary>
    /// Zeros outside the vectors that hold visible columns, minus infinity beside them inside, so that the loops need no masks; widens
    /// the range to those vectors. False, with an empty range at the end, if no column is visible.
    /// </summary>
    private static bool Mask(float* row, int width, ref int begin, ref int end)
    {
        begin = Math.Max(begin, 0);
        end = Math.Min(end, width);
        if (begin >= end)
        {
            begin = end = width;
            new Span<float>(row, width).Clear();
            return false;
        }

        int first = begin & -Lanes, last = GemmBlocking.AlignUp(end, Lanes);
        new Span<float>(row, first).Clear();
        new Span<float>(row + first, begin - first).Fill(float.NegativeInfinity);
        new Span<float>(row + end, last - end).Fill(float.NegativeInfinity);
        new Span<float>(row + last, width - last).Clear();
        (begin, end) = (first, last);
        return true;
    }
}
