using System;

namespace Fp8Lm.Execution.Cost;

/// <summary>
/// The tile that <c>fp8lm/gemm/tile.cuh</c> chooses for a product; the same table and rule, which a test compares with the header.
/// </summary>
internal static class GemmTiles
{
    /// <summary>Multiprocessors of an H100 SXM or H200.</summary>
    public const int Multiprocessors = 132;

    /// <summary>A tile; consumers that take turns have whole tiles, others share one.</summary>
    public readonly record struct Tile(int Rows, int Columns, bool InTurn, int Warpgroups);

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

    /// <summary>The tile of least time: rounds that the busiest multiprocessor makes, times what a round takes.</summary>
    public static Tile Choose(ReadOnlySpan<Speed> speeds, long m, long n, long kBytes)
    {
        (long Time, int Tile) best = (long.MaxValue, 0);
        for (int i = 0; i < speeds.Length; i++)
        {
            if (speeds[i].Percent > 0)
            {
                long time = Rounds(tiles[i], m, n) * tiles[i].Rows * tiles[i].Columns * (kBytes + speeds[i].Start) * 100 / speeds[i].Percent;
                best = time < best.Time ? (time, i) : best;
            }
        }

        return tiles[best.Tile];
    }

    /// <summary>Tiles of the busiest multiprocessor.</summary>
    public static long Rounds(Tile tile, long m, long n)
    {
        long count = ((m + tile.Rows - 1) / tile.Rows) * ((n + tile.Columns - 1) / tile.Columns);
        return (count + Multiprocessors - 1) / Multiprocessors;
    }
}
