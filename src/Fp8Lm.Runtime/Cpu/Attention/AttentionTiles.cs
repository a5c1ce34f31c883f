using System;

namespace Fp8Lm.Cpu;

/// <summary>
/// Tiles of an attention kernel: a sequence, a key/value head with its query heads, and a range of positions. A whole head is one tile, so
/// that its panels are packed once, unless there are too few heads to keep the workers busy.
/// </summary>
internal readonly struct AttentionTiles
{
    public const int SlabRows = 16;
    private const int TilesPerWorker = 4;
    private const int MinimumRows = 64;

    private readonly int parts;
    private readonly int keyValueHeads;
    private readonly int sequence;

    public AttentionTiles(in AttentionArgs args, int workers)
    {
        keyValueHeads = (int)args.KeyValueHeads;
        sequence = checked((int)args.Sequence);
        int heads = checked((int)(args.Batch * args.KeyValueHeads));
        int wanted = GemmBlocking.DivideUp(TilesPerWorker * workers, heads);
        int rows = Math.Max(MinimumRows, GemmBlocking.AlignUp(GemmBlocking.DivideUp(sequence, wanted), SlabRows));
        PartRows = workers == 1 ? GemmBlocking.AlignUp(sequence, SlabRows) : rows;
        parts = GemmBlocking.DivideUp(sequence, PartRows);
        Count = checked(heads * parts);
    }

    public int Count { get; }

    /// <summary>Positions of a tile; the last may have fewer.</summary>
    public int PartRows { get; }

    /// <summary>The sequence, head and first position of a tile; later positions, which have more to do under a causal mask in the forward direction, come first.</summary>
    public (int Sequence, int Head, int First) this[int tile]
    {
        get
        {
            int heads = Count / parts;
            int part = parts - 1 - (tile / heads), head = tile % heads;
            return (head / keyValueHeads, head % keyValueHeads, part * PartRows);
        }
    }

    /// <summary>Positions of the tile that starts at <paramref name="first"/>.</summary>
    public int Rows(int first) => Math.Min(PartRows, sequence - first);
}
