using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Fp8Lm.Numerics;

namespace Fp8Lm.Cpu;

/// <summary>Lanes that depend on the column: column numbers, the label's column, the other half of rotary pairs, and tables that repeat with every head.</summary>
public static unsafe class PairLanes
{
    /// <summary>Column numbers of eight consecutive columns.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Columns(long column) => Vector256.Create((float)column) + Vector256<float>.Indices;

    /// <summary>Mask of the lane whose column is <paramref name="label"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> ColumnEquals(long column, int label) =>
        Vector256.Equals(Vector256.Create((int)column) + Vector256<int>.Indices, Vector256.Create(label)).AsSingle();

    /// <summary>
    /// The pair of each of <paramref name="n"/> columns from <paramref name="column"/> on, in a row of F32 that holds heads of <paramref name="size"/>
    /// columns, of which the first <paramref name="rotated"/> form pairs: neighbours, or the two halves.
    /// </summary>
    public static Vector256<float> Load(float* row, long column, long rotated, long size, bool interleaved, int n)
    {
        if (n == 8 && Shift(InHead(column, size), rotated, size, interleaved) is var shift && shift != long.MaxValue)
        {
            return Simd.Load(row + column + shift);
        }

        float* lanes = stackalloc float[8];
        for (int i = 0; i < n; i++)
        {
            lanes[i] = row[Pair(column + i, rotated, size, interleaved)];
        }

        return Simd.Keep(Vector256.Load(lanes), n);
    }

    /// <summary>The same in a row of BF16.</summary>
    public static Vector256<float> LoadBF16(ushort* row, long column, long rotated, long size, bool interleaved, int n)
    {
        if (n == 8 && Shift(InHead(column, size), rotated, size, interleaved) is var shift && shift != long.MaxValue)
        {
            return Simd.LoadBF16(row + column + shift);
        }

        float* lanes = stackalloc float[8];
        for (int i = 0; i < n; i++)
        {
            lanes[i] = BFloat16.ToSingle(row[Pair(column + i, rotated, size, interleaved)]);
        }

        return Simd.Keep(Vector256.Load(lanes), n);
    }

    /// <summary>The same in a row of F16.</summary>
    public static Vector256<float> LoadF16(ushort* row, long column, long rotated, long size, bool interleaved, int n)
    {
        if (n == 8 && Shift(InHead(column, size), rotated, size, interleaved) is var shift && shift != long.MaxValue)
        {
            return Simd.LoadF16(row + column + shift);
        }

        float* lanes = stackalloc float[8];
        for (int i = 0; i < n; i++)
        {
            lanes[i] = Float16.ToSingle(row[Pair(column + i, rotated, size, interleaved)]);
        }

        return Simd.Keep(Vector256.Load(lanes), n);
    }

    /// <summary><paramref name="n"/> columns from <paramref name="column"/> on of an F32 row of <paramref name="period"/> columns that repeats.</summary>
    public static Vector256<float> LoadTiled(float* row, long column, long period, int n)
    {
        long start = InHead(column, period);
        if (start + 8 <= period)
        {
            return n == 8 ? Simd.Load(row + start) : Simd.LoadPartial(row + start, n);
        }

        float* lanes = stackalloc float[8];
        for (int i = 0; i < n; i++)
        {
            lanes[i] = row[(column + i) % period];
        }

        return Simd.Keep(Vector256.Load(lanes), n);
    }

    /// <summary>The same in a row of BF16.</summary>
    public static Vector256<float> LoadTiledBF16(ushort* row, long column, long period, int n)
    {
        long start = InHead(column, period);
        if (start + 8 <= period)
        {
            return n == 8 ? Simd.LoadBF16(row + start) : Simd.LoadBF16Partial(row + start, n);
        }

        float* lanes = stackalloc float[8];
        for (int i = 0; i < n; i++)
        {
            lanes[i] = BFloat16.ToSingle(row[(column + i) % period]);
        }

        return Simd.Keep(Vector256.Load(lanes), n);
    }

    /// <summary>The same in a row of F16.</summary>
    public static Vector256<float> LoadTiledF16(ushort* row, long column, long period, int n)
    {
        long start = InHead(column, period);
        if (start + 8 <= period)
        {
            return n == 8 ? Simd.LoadF16(row + start) : Simd.LoadF16Partial(row + start, n);
        }

        float* lanes = stackalloc float[8];
        for (int i = 0; i < n; i++)
        {
            lanes[i] = Float16.ToSingle(row[(column + i) % period]);
        }

        return Simd.Keep(Vector256.Load(lanes), n);
    }

    /// <summary>Column inside its head. A row is far shorter than 2^32 columns, and 32-bit division several times faster.</summary>
    private static long InHead(long column, long size) => (uint)column % (uint)size;

    /// <summary>Distance to the pairs when eight columns, the first at <paramref name="column"/> of its head, have theirs side by side, else the largest long.</summary>
    private static long Shift(long column, long rotated, long size, bool interleaved)
    {
        long half = rotated / 2;
        return interleaved ? long.MaxValue
            : column + 8 <= half ? half
            : column >= half && column + 8 <= rotated ? -half
            : column >= rotated && column + 8 <= size ? 0
            : long.MaxValue;
    }

    private static long Pair(long column, long rotated, long size, bool interleaved)
    {
        long half = rotated / 2, inHead = InHead(column, size);
        return inHead >= rotated ? column : interleaved ? column ^ 1 : inHead < half ? column + half : column - half;
    }
}
