namespace Fp8Lm.Cpu;

/// <summary>
/// A packed block of A: groups of eight rows, each group in one of two layouts, whichever needs no transposition. The micro-kernel
/// broadcasts single elements of A, so it does not mind which.
/// </summary>
internal static class PackedA
{
    /// <summary>Rows of a group, and of a micro-tile.</summary>
    public const int GroupRows = 8;

    /// <summary>Largest depth of a packed block.</summary>
    public const int MaxDepth = 256;

    /// <summary>Floats from row to row of a row-wise group. One cache line more than the depth, or the eight rows would compete for the same sets.</summary>
    public const int Pitch = MaxDepth + 16;

    /// <summary>Floats from group to group.</summary>
    public const int GroupFloats = GroupRows * Pitch;
}

/// <summary>Where element (row, k) of a group lies, as constants for the micro-kernel.</summary>
internal interface IPackedLayout
{
    /// <summary>Floats from row to row.</summary>
    static abstract int RowStep { get; }

    /// <summary>Floats from k to k + 1.</summary>
    static abstract int DepthStep { get; }
}

/// <summary>[8, depth]: from operands with K contiguous.</summary>
internal readonly struct RowWise : IPackedLayout
{
    public static int RowStep => PackedA.Pitch;

    public static int DepthStep => 1;
}

/// <summary>[depth, 8]: from operands with rows contiguous.</summary>
internal readonly struct ColumnWise : IPackedLayout
{
    public static int RowStep => 1;

    public static int DepthStep => PackedA.GroupRows;
}
