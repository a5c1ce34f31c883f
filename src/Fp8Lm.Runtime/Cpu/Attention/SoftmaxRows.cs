using System;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Fp8Lm.Cpu;

/// <summary>
/// The element-wise half of attention, one row of logits at a time. Rows are whole vectors wide; [begin, end) are the visible columns,
/// everything else becomes zero. Widths are whole vectors and at least the depth of the product that follows.
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
            Vector256<float> p = VectorMath.ExpNonPositive(Vector256.FusedMultiplyAdd(Simd.Load(row + c), factor, shift));
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
            Vector256<float> p = VectorMath.ExpNonPositive(Vector256.FusedMultiplyAdd(Simd.Load(row + c), factor, shift));
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
        Clear(gradient, 0, begin);
        Clear(gradient, end, width);
        if (!any)
        {
            return;
        }

        Vector256<float> factor = Vector256.Create(scale);
        for (int c = begin; c < end; c += Lanes)
        {
            Vector256<float> p = VectorMath.ExpNonPositive(Vector256.FusedMultiplyAdd(Simd.Load(row + c), factor, -Simd.Load(logSums + c)));
            Simd.Store(row + c, p);
            Simd.Store(gradient + c, p * (Simd.Load(gradient + c) - Simd.Load(deltas + c)) * factor);
        }
    }

    /// <summary>
    /// Zeros outside the vectors that hold visible columns, minus infinity beside them inside, so that the loops need no masks; widens
    /// the range to those vectors. False, with an empty range at the end, if no column is visible.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool Mask(float* row, int width, ref int begin, ref int end)
    {
        begin = Math.Max(begin, 0);
        end = Math.Min(end, width);
        if (begin >= end)
        {
            begin = end = width;
            Clear(row, 0, width);
            return false;
        }

        int first = begin & -Lanes, last = (end + Lanes - 1) & -Lanes;
        Clear(row, 0, first);
        Clear(row, last, width);
        Vector256<float> nothing = Vector256.Create(float.NegativeInfinity);
        if (begin > first)
        {
            Simd.Store(row + first, Vector256.ConditionalSelect(Simd.FirstLanes(begin - first), nothing, Simd.Load(row + first)));
        }

        if (end < last)
        {
            Simd.Store(row + last - Lanes, Simd.Keep(Simd.Load(row + last - Lanes), end - last + Lanes, float.NegativeInfinity));
        }

        (begin, end) = (first, last);
        return true;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Clear(float* row, int begin, int end)
    {
        for (int c = begin; c < end; c += Lanes)
        {
            Simd.Store(row + c, Vector256<float>.Zero);
        }
    }
}
