using System;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Fp8Lm.Execution;
using Fp8Lm.Numerics;

namespace Fp8Lm.Cpu;

/// <summary>What shares an FP8 scale in a cast whose scales belong to parts of the tensor.</summary>
public enum ScaleGroups
{
    /// <summary>A row; in the copy for sums over rows, a column.</summary>
    Row,

    /// <summary>128 of a row; in the copy for sums over rows, 128 of a column.</summary>
    Block,

    /// <summary>128 rows by 128 columns, in both copies.</summary>
    Square,
}

/// <summary>A matrix that is cast, with its columns contiguous.</summary>
/// <param name="Address">First element.</param>
/// <param name="Format">A floating format.</param>
/// <param name="Rows">Rows.</param>
/// <param name="Columns">Columns.</param>
/// <param name="Pitch">Elements from row to row.</param>
public readonly record struct GroupedSource(nint Address, ElementFormat Format, long Rows, long Columns, long Pitch)
{
    /// <summary>Address of an F32 number that every element is multiplied with; zero: none.</summary>
    public nint Factor { get; init; }

    /// <summary>Tiles of 128 x 128 along the rows.</summary>
    internal int RowTiles => (int)((Rows + GroupedCasts.Group - 1) / GroupedCasts.Group);

    /// <summary>Tiles of 128 x 128 along the columns.</summary>
    internal int ColumnTiles => (int)((Columns + GroupedCasts.Group - 1) / GroupedCasts.Group);

    /// <summary>Up to eight adjacent elements.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal unsafe Vector256<float> Load(long row, long column, int count)
    {
        Vector256<float> value = Stored((byte*)Address + (((row * Pitch) + column) * Format.Bytes()), count);
        return Factor == 0 ? value : value * *(float*)Factor;
    }

    private unsafe Vector256<float> Stored(byte* at, int count)
    {
        bool whole = count == Simd.Lanes;
        return Format switch
        {
            ElementFormat.F32 => whole ? Simd.Load((float*)at) : Simd.LoadPartial((float*)at, count),
            ElementFormat.BF16 => whole ? Simd.LoadBF16((ushort*)at) : Simd.LoadBF16Partial((ushort*)at, count),
            ElementFormat.F16 => whole ? Simd.LoadF16((ushort*)at) : Simd.LoadF16Partial((ushort*)at, count),
            ElementFormat.E4M3 => whole ? Simd.LoadE4M3(at) : Simd.LoadE4M3Partial(at, count),
            _ => whole ? Simd.LoadE5M2(at) : Simd.LoadE5M2Partial(at, count),
        };
    }
}

/// <summary>
/// FP8 casts with a scale per row or block, computed where the cast is made. A cast makes two copies: one for products that sum along rows, and one for those
/// that sum over rows (on the GPU it is transposed, here it is row-major too), each with its own scales. Tiles are 128 x 128; nothing depends on the number
/// of workers. The same bytes as <c>fp8lm/cast/grouped.cuh</c>.
/// </summary>
public static unsafe class GroupedCasts
{
    /// <summary>Rows and columns of a tile, and length of a block of K.</summary>
    public const int Group = BlockScales.Length;

    /// <summary>Largest magnitudes: <paramref name="rowAmax"/> [column tiles, rows] of a row's part in a tile, <paramref name="columnAmax"/> [row tiles, columns] of a column's; F32.</summary>
    public static void Amax(CpuPool pool, in GroupedSource source, nint rowAmax, nint columnAmax)
    {
        ArgumentNullException.ThrowIfNull(pool);
        var kernel = new AmaxTile(Checked(source), (uint*)rowAmax, (uint*)columnAmax);
        pool.Run(ref kernel, source.RowTiles * source.ColumnTiles);
    }

    /// <summary>Casts. Addresses that are zero are not written.</summary>
    /// <param name="pool">The workers.</param>
    /// <param name="source">What is cast.</param>
    /// <param name="format">E4M3 or E5M2.</param>
    /// <param name="groups">What shares a scale.</param>
    /// <param name="powerOfTwo">Whether scales are rounded down to powers of two.</param>
    /// <param name="rowAmax">Of <see cref="Amax"/>; read where <paramref name="groups"/> is rows, else zero.</param>
    /// <param name="columnAmax">The same of columns.</param>
    /// <param name="along">Copy for sums along rows, [rows, columns].</param>
    /// <param name="over">Copy for sums over rows, [rows, columns].</param>
    /// <param name="inverseAlong">Inverse scales of the first copy: of rows [rows], of blocks [column tiles, rows], of squares [row tiles, column tiles].</param>
    /// <param name="inverseOver">Those of the second: of columns [columns], of blocks [row tiles, columns]; squares have only the first.</param>
    /// <param name="statistics">A <see cref="CastStatistics"/> where casts are counted, those of the first copy if there is one; zero: they are not.</param>
    public static void Cast(
        CpuPool pool, in GroupedSource source, ElementFormat format, ScaleGroups groups, bool powerOfTwo,
        nint rowAmax, nint columnAmax, nint along, nint over, nint inverseAlong, nint inverseOver, nint statistics = 0)
    {
        ArgumentNullException.ThrowIfNull(pool);
        if (format is not (ElementFormat.E4M3 or ElementFormat.E5M2))
        {
            throw new ArgumentException($"A cast with scales per row or block makes E4M3 or E5M2; got {format}.", nameof(format));
        }

        var kernel = new CastTile(
            Checked(source), format == ElementFormat.E4M3, groups, powerOfTwo, (uint*)rowAmax, (uint*)columnAmax, (byte*)along, (byte*)over, (float*)inverseAlong, (float*)inverseOver, (CastStatistics*)statistics);
        pool.Run(ref kernel, source.RowTiles * source.ColumnTiles);
    }

    private static GroupedSource Checked(in GroupedSource source) => source.Format != ElementFormat.I32
        ? source
        : throw new ArgumentException("A cast with scales per row or block reads F32, BF16, F16, E4M3 or E5M2; got I32.", nameof(source));

    /// <summary>Where a tile lies.</summary>
    private readonly struct Place(in GroupedSource source, int tile)
    {
        public readonly int RowTile = tile / source.ColumnTiles, ColumnTile = tile % source.ColumnTiles;
        public readonly long Row = (long)tile / source.ColumnTiles * Group, Column = (long)tile % source.ColumnTiles * Group;
        public readonly int Rows = (int)Math.Min(Group, source.Rows - ((long)tile / source.ColumnTiles * Group));
        public readonly int Columns = (int)Math.Min(Group, source.Columns - ((long)tile % source.ColumnTiles * Group));
    }

    /// <summary>Largest magnitudes of a tile's rows and columns as integer bits.</summary>
    private static void Measure(in GroupedSource source, in Place at, uint* rows, uint* columns)
    {
        new Span<uint>(columns, Group).Clear();
        for (int r = 0; r < at.Rows; r++)
        {
            Vector256<uint> largest = Vector256<uint>.Zero;
            for (int c = 0; c < at.Columns; c += Simd.Lanes)
            {
                // Lanes behind the last column are zero.
                Vector256<uint> magnitude = source.Load(at.Row + r, at.Column + c, Math.Min(Simd.Lanes, at.Columns - c)).AsUInt32() & Vector256.Create(0x7FFFFFFFu);
                largest = Vector256.Max(largest, magnitude);
                Vector256.Max(Vector256.Load(columns + c), magnitude).Store(columns + c);
            }

            rows[r] = Simd.HorizontalMax(largest);
        }
    }

    private readonly struct AmaxTile(GroupedSource source, uint* rowAmax, uint* columnAmax) : ITileKernel
    {
        public void Run(int tile, int worker)
        {
            var at = new Place(source, tile);
            uint* rows = stackalloc uint[Group], columns = stackalloc uint[Group];
            Measure(source, at, rows, columns);
            new Span<uint>(rows, at.Rows).CopyTo(new Span<uint>(rowAmax + (at.ColumnTile * source.Rows) + at.Row, at.Rows));
            new Span<uint>(columns, at.Columns).CopyTo(new Span<uint>(columnAmax + (at.RowTile * source.Columns) + at.Column, at.Columns));
        }
    }

    private readonly struct CastTile(
        GroupedSource source, bool isE4M3, ScaleGroups groups, bool powerOfTwo, uint* rowAmax, uint* columnAmax, byte* along, byte* over, float* inverseAlong, float* inverseOver, CastStatistics* statistics) : ITileKernel
    {
        public void Run(int tile, int worker)
        {
            var at = new Place(source, tile);
            uint* rows = stackalloc uint[Group], columns = stackalloc uint[Group];
            float* rowScale = stackalloc float[Group], columnScale = stackalloc float[Group];
            if (groups == ScaleGroups.Row)
            {
                Largest(rowAmax + at.Row, source.ColumnTiles, source.Rows, rows, at.Rows);
                Largest(columnAmax + at.Column, source.RowTiles, source.Columns, columns, at.Columns);
            }
            else
            {
                Measure(source, at, rows, columns);
            }

            if (groups == ScaleGroups.Square)
            {
                uint largest = 0;
                for (int r = 0; r < at.Rows; r++)
                {
                    largest = Math.Max(largest, rows[r]);
                }

                new Span<uint>(rows, at.Rows).Fill(largest);
                new Span<uint>(columns, at.Columns).Fill(largest);
                Scales(rows, 1, rowScale, inverseAlong + ((long)at.RowTile * source.ColumnTiles) + at.ColumnTile);
                new Span<float>(rowScale, Group).Fill(rowScale[0]);
                new Span<float>(columnScale, Group).Fill(rowScale[0]);
            }
            else
            {
                bool blocks = groups == ScaleGroups.Block;
                Scales(rows, at.Rows, rowScale, inverseAlong == null || (!blocks && at.ColumnTile > 0) ? null : inverseAlong + (blocks ? at.ColumnTile * source.Rows : 0) + at.Row);
                Scales(columns, at.Columns, columnScale, inverseOver == null || (!blocks && at.RowTile > 0) ? null : inverseOver + (blocks ? at.RowTile * source.Columns : 0) + at.Column);
            }

            CastCounter counter = default;
            for (int r = 0; r < at.Rows; r++)
            {
                long first = ((at.Row + r) * source.Columns) + at.Column;
                for (int c = 0; c < at.Columns; c += Simd.Lanes)
                {
                    int count = Math.Min(Simd.Lanes, at.Columns - c);
                    Vector256<float> value = source.Load(at.Row + r, at.Column + c, count);
                    if (along != null)
                    {
                        Store(along + first + c, value * rowScale[r], count);
                    }

                    if (over != null)
                    {
                        Store(over + first + c, value * Vector256.Load(columnScale + c), count);
                    }

                    if (statistics != null)
                    {
                        Count(ref counter, value, along != null ? Vector256.Create(rowScale[r]) : Vector256.Load(columnScale + c), count);
                    }
                }
            }

            if (statistics != null)
            {
                counter.Flush(statistics, 0f);
            }
        }

        private void Count(ref CastCounter counter, Vector256<float> value, Vector256<float> scale, int count)
        {
            if (isE4M3)
            {
                counter.AddE4M3Partial(value, scale, count);
            }
            else
            {
                counter.AddE5M2Partial(value, scale, count);
            }
        }

        /// <summary>Largest of the amaxes of all tiles along a row or column.</summary>
        private static void Largest(uint* amax, int tiles, long pitch, uint* to, int count)
        {
            new Span<uint>(to, count).Clear();
            for (int t = 0; t < tiles; t++, amax += pitch)
            {
                for (int i = 0; i < count; i++)
                {
                    to[i] = Math.Max(to[i], amax[i]);
                }
            }
        }

        private void Scales(uint* amax, int count, float* scale, float* inverse)
        {
            for (int i = 0; i < count; i++)
            {
                GroupScale group = GroupScale.Of(amax[i], isE4M3 ? 448f : 57344f, powerOfTwo);
                scale[i] = group.Scale;
                if (inverse != null)
                {
                    inverse[i] = group.Inverse;
                }
            }
        }

        private void Store(byte* to, Vector256<float> value, int count)
        {
            if (isE4M3)
            {
                if (count == Simd.Lanes)
                {
                    Simd.StoreE4M3(to, value);
                }
                else
                {
                    Simd.StoreE4M3Partial(to, value, count);
                }
            }
            else if (count == Simd.Lanes)
            {
                Simd.StoreE5M2(to, value);
            }
            else
            {
                Simd.StoreE5M2Partial(to, value, count);
            }
        }
    }
}
