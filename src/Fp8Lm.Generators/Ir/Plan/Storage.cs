using System.Collections.Generic;
using Fp8Lm.Generators.Model;

namespace Fp8Lm.Generators.Ir.Plan;

/// <summary>How a buffer's instances are counted; names as in the runtime's BufferScope.</summary>
internal enum BufferScope
{
    Single,
    PerLayer,
    Carried,
    PingPong,
    PerLayerAlways,
}

/// <summary>What a buffer holds along its rows.</summary>
internal enum BufferRows
{
    /// <summary>Tokens of the micro-batch.</summary>
    Tokens,
    /// <summary>Tokens of one chunk of the head.</summary>
    Chunk,
    /// <summary>Slabs of 16 token rows.</summary>
    Slabs,
    /// <summary>Slabs of 16 rows of one chunk.</summary>
    ChunkSlabs,
    /// <summary>Positions.</summary>
    Positions,
    /// <summary>Nothing: the columns say all.</summary>
    None,
}

/// <summary>One buffer of a program: rows x columns elements per instance.</summary>
/// <param name="Name">Of the value it holds.</param>
/// <param name="Category">Name of the runtime's BufferCategory.</param>
/// <param name="Format">Element format.</param>
/// <param name="Rows">What its rows are.</param>
/// <param name="Outer">Factor of the rows.</param>
/// <param name="Columns">Elements per row.</param>
/// <param name="Scope">Instances.</param>
/// <param name="Loop">Whose layers.</param>
internal sealed record BufferSpec(string Name, string Category, Format Format, BufferRows Rows, DimExpr Outer, DimExpr Columns, BufferScope Scope, Loop? Loop)
{
    /// <summary>Rows, and columns, that share an element; the last group may be short.</summary>
    public int RowsPerElement { get; init; } = 1;

    /// <inheritdoc cref="RowsPerElement"/>
    public int ColumnsPerElement { get; init; } = 1;

    /// <summary>Schedule positions between which it is live.</summary>
    public int First { get; set; } = int.MaxValue;

    /// <inheritdoc cref="First"/>
    public int Last { get; set; } = -1;

    /// <summary>Last position when its loop is checkpointed: the forward body then runs again inside backward.</summary>
    public int LastCheckpointed { get; set; } = -1;
}

/// <summary>Where a value stands: an instance of a buffer, seen with an offset and strides in elements.</summary>
/// <param name="Buffer">Index into the plan's buffers.</param>
/// <param name="Index">Instance.</param>
/// <param name="Format">Element format.</param>
/// <param name="Pitch">From one token (or position) to the next; for transposed values from one column to the next.</param>
/// <param name="Offset">Of the first element.</param>
/// <param name="OuterPitch">From one outer feature (head) to the next.</param>
/// <param name="Transposed">Stored [columns, rows].</param>
/// <param name="Rows">What the buffer's rows are.</param>
internal sealed record Storage(
    int Buffer, InstanceIndex Index, Format Format, DimExpr Pitch, DimExpr Offset, DimExpr OuterPitch, bool Transposed, BufferRows Rows);

/// <summary>All buffers, and the place of every stored value.</summary>
internal sealed class BufferPlan
{
    public List<BufferSpec> Buffers { get; } = [];

    public Dictionary<Value, Storage> Places { get; } = [];
}
