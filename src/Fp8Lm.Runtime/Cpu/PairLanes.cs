using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Fp8Lm.Numerics;

namespace Fp8Lm.Cpu;

/// <summary>Lanes that depend on the column: column numbers, the label's column, and the other half of rotary pairs.</summary>
public static unsafe class PairLanes
{
    /// <summary>Column numbers of eight consecutive columns.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Columns(long column) => Vector256.Create((float)column) + Vector256<float>.Indices;

    /// <summary>Mask of the lane whose column is <paramref name="label"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> ColumnEquals(long column, int label) =>
        Vector256.Equals(Vector256.Create((int)column) + Vector256<int>.Indices, Vector256.Create(label)).AsSingle();

    /// <summary>The pair of each of <paramref name="n"/> columns from <paramref name="column"/> on, in a row of F32.</summary>
    public static Vector256<float> Load(float* row, long column, long rotated, bool interleaved, int n)
    {
        if (n == 8 && Shift(column, rotated, interleaved) is var shift && shift != long.MaxValue)
        {
            return Simd.Load(row + column + shift);
        }

        float* lanes = stackalloc float[8];
        for (int i = 0; i < n; i++)
        {
            lanes[i] = row[Pair(column + i, rotated, interleaved)];
        }

        return Simd.Keep(Vector256.Load(lanes), n);
    }

    /// <summary>The same in a row of BF16.</summary>
    public static Vector256<float> LoadBF16(ushort* row, long column, long rotated, bool interleaved, int n)
    {
        if (n == 8 && Shift(column, rotated, interleaved) is var shift && shift != long.MaxValue)
        {
            return Simd.LoadBF16(row + column + shift);
        }

        float* lanes = stackalloc float[8];
        for (int i = 0; i < n; i++)
        {
            lanes[i] = BFloat16.ToSingle(row[Pair(column + i, rotated, interleaved)]);
        }

        return Simd.Keep(Vector256.Load(lanes), n);
    }

    /// <summary>Distance to the pairs when eight columns have theirs side by side, else the largest long.</summary>
    private static long Shift(long column, long rotated, bool interleaved)
    {
        long half = rotated / 2;
        return interleaved ? long.MaxValue
            : column + 8 <= half ? half
            : column >= half && column + 8 <= rotated ? -half
            : column >= rotated ? 0
            : long.MaxValue;
    }

    private static long Pair(long column, long rotated, bool interleaved)
    {
        long half = rotated / 2;
        return column >= rotated ? column : interleaved ? column ^ 1 : column < half ? column + half : column - half;
    }
}
