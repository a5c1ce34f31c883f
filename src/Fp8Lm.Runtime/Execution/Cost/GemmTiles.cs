using System;

namespace Fp8Lm.Execution.Cost;

/// <summary>
/// The tile that <c>fp8lm/gemm/tile.cuh</c> chooses for a product; the same table and rule, which a test compares with the header.
/// </summary>
internal static class GemmTiles
{
    /// <summary>Multiprocessors of an H100 SXM or H200.</summary>
    public const int Multiprocessors = 132;

    /// <summary>The most blocks that share K of a tile.</summary>
    public const int MostSplit = 8;

    /// <summary>What exchanging partial sums takes, in bytes of K.</summary>
    public const int Exchange = 3000;

    /// <summary>Bytes of K that a block has at least where others have some too.</summary>
    public const int LeastShare = 2048;

    /// <summary>Percent of its time that a split must save.</summary>
    public const int SplitMargin = 5;

    /// <summary>A tile; consumers that take turns have whole tiles, others share one.</summary>
    public readonly record struct Tile(int Rows, int Columns, bool InTurn, int Warpgroups);

    /// <summary>A tile, and the blocks of a cluster that share its K.</summary>
    public readonly record struct Cut(Tile Tile, int Split);

    /// <summary>Percent of the best speed (0: the tile does not serve) and bytes of K that take as long as beginning and ending a tile.</summary>
    public readonly record struct Speed(int Percent, int Start);

    public static ReadOnlySpan<Tile> Tiles => tiles;

    private static readonly Tile[] tiles =
        [new(128, 256, false, 2), new(128, 192, true, 2), new(128, 128, true, 2), new(256, 128, false, 2), new(128, 192, false, 2), new(128, 128, false, 2), new(192, 128, false, 3)];

    public static Speed[] Fp8 { get; } = [default, default, new(95, 120), default, default, default, default];

    public static Speed[] Fp8Light { get; } = [default, new(100, 80), new(95, 120), default, default, default, default];

    public static Speed[] Promoted { get; } = [default, default, default, new(98, 400), new(100, 400), new(90, 400), default];

    public static Speed[] PromotedPlain { get; } = [default, default, default, new(93, 400), new(96, 400), new(91, 400), new(100, 400)];

    public static Speed[] Bf16Plain { get; } = [new(100, 600), new(83, 80), new(72, 120), default, default, default, default];

    public static Speed[] Bf16 { get; } = [new(100, 1800), new(83, 80), new(72, 120), default, default, default, default];

    public static Speed[] Bf16Wide { get; } = [new(100, 1800), default, new(72, 120), default, default, default, default];

    /// <summary>The tile and split of least time: rounds that the busiest multiprocessor makes, times what a round takes.</summary>
    /// <param name="speeds">Of the tiles.</param>
    /// <param name="m">Rows.</param>
    /// <param name="n">Columns.</param>
    /// <param name="kBytes">Bytes of K.</param>
    /// <param name="splits">Whether blocks may share K of a tile.</param>
    public static Cut Choose(ReadOnlySpan<Speed> speeds, long m, long n, long kBytes, bool splits)
    {
        (long Time, Cut Cut) best = (long.MaxValue, default);
        for (int i = 0; i < speeds.Length; i++)
        {
            if (speeds[i].Percent == 0)
            {
                continue;
            }

            bool shares = splits && !tiles[i].InTurn;
            for (int split = 1; split == 1 || (shares && split <= MostSplit && kBytes >= (long)split * LeastShare); split++)
            {
                if (split > 1 && Count(tiles[i], m, n) > ClustersAtATime[split])
                {
                    continue;
                }

                Cut cut = new(tiles[i], split);
                long length = Blocks(kBytes, split) + speeds[i].Start + (split > 1 ? Exchange : 0);
                long time = Rounds(cut, m, n) * tiles[i].Rows * tiles[i].Columns * length * (split > 1 ? 100 + SplitMargin : 100) / speeds[i].Percent;
                best = time < best.Time ? (time, cut) : best;
            }
        }

        return best.Cut;
    }

    /// <summary>Tiles of the busiest multiprocessor, or of the busiest cluster.</summary>
    public static long Rounds(Cut cut, long m, long n) => Blocks(Count(cut.Tile, m, n), ClustersAtATime[cut.Split]);

    /// <summary>Clusters of 1 to 8 blocks that an H100 holds at a time with a multiprocessor for each block, as its driver says.</summary>
    private static readonly int[] ClustersAtATime = [0, Multiprocessors, 66, 39, 30, 22, 17, 15, 15];

    private static long Count(Tile tile, long m, long n) => Blocks(m, tile.Rows) * Blocks(n, tile.Columns);

    private static long Blocks(long extent, long each) => (extent + each - 1) / each;
}
