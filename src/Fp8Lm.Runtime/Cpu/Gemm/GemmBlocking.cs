using System;

namespace Fp8Lm.Cpu;

/// <summary>
/// How a product is cut. Depth blocks depend on K alone, so every element is summed in the same order whatever the number of workers;
/// tiles only decide who computes what.
/// </summary>
internal readonly struct GemmBlocking
{
    private const int SlabRows = 16;
    private const int MaxTileRows = 64;
    private const int MaxTileColumns = 512;
    private const int TilesPerWorker = 4;

    // A block of B stays in the second-level cache while the rows of a tile pass over it.
    private const int BlockFloats = 128 * 1024;

    // All of packed B stays within a share of the last-level cache; wider products are done in strips of columns.
    private const long StripFloats = 4 * 1024 * 1024;

    public GemmBlocking(long m, long n, long k, int workers)
    {
        (M, N, K) = (checked((int)m), checked((int)n), checked((int)k));
        int panel = MicroKernel.Columns;
        DepthBlocks = Math.Max(1, DivideUp(K, PackedA.MaxDepth));
        Depth = Math.Max(Simd.Lanes, AlignUp(DivideUp(K, DepthBlocks), Simd.Lanes));
        DepthBlocks = Math.Max(1, DivideUp(K, Depth));
        StripColumns = (int)Math.Min(AlignUp(N, panel), Math.Max(panel, StripFloats / Math.Max(K, 1) / panel * panel));

        int columns = Math.Clamp(BlockFloats / Depth / panel * panel, panel, MaxTileColumns);
        columns = AlignUp(DivideUp(StripColumns, DivideUp(StripColumns, columns)), panel);
        int rows = Math.Min(MaxTileRows, AlignUp(M, SlabRows));
        while (DivideUp(M, rows) * DivideUp(StripColumns, columns) < TilesPerWorker * workers && (rows > SlabRows || columns > 2 * panel))
        {
            // Rows first: a narrower tile would pack A more often.
            if (rows > SlabRows)
            {
                rows = AlignUp(rows / 2, SlabRows);
            }
            else
            {
                columns = AlignUp(columns / 2, panel);
            }
        }

        (TileRows, TileColumns) = (rows, columns);
    }

    public int M { get; }

    public int N { get; }

    public int K { get; }

    /// <summary>Length of a depth block; the last may be shorter.</summary>
    public int Depth { get; }

    public int DepthBlocks { get; }

    /// <summary>Columns that are packed at a time.</summary>
    public int StripColumns { get; }

    public int TileRows { get; }

    public int TileColumns { get; }

    /// <summary>Rows of a tile that are held as sums: all of them if they wait for further depth blocks, else one slab.</summary>
    public int SumRows => DepthBlocks == 1 ? SlabRows : TileRows;

    public int RowTiles => DivideUp(M, TileRows);

    public int DepthOf(int block) => Math.Min(Depth, K - (block * Depth));

    public static int DivideUp(int value, int divisor) => (value + divisor - 1) / divisor;

    public static int AlignUp(int value, int multiple) => DivideUp(value, multiple) * multiple;
}
