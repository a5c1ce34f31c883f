using System;
using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Generators.Model;

namespace Fp8Lm.Generators.Ir;

/// <summary>What runs along the leading axis of a value.</summary>
internal enum RowKind
{
    /// <summary>Nothing: one number.</summary>
    Scalar,
    /// <summary>The value has the shape of a weight.</summary>
    Parameter,
    /// <summary>One entry per position of a sequence (tables of rotary embeddings).</summary>
    Position,
    /// <summary>One entry per token of the micro-batch (or of a chunk of it).</summary>
    Token,
}

/// <summary>Shape of a value: what its rows are, and the extents of its features. A mask holds truth values.</summary>
internal sealed class TensorType : IEquatable<TensorType>
{
    public TensorType(RowKind rows, IEnumerable<DimExpr> dims, bool mask = false)
    {
        Rows = rows;
        Dims = dims.ToArray();
        Mask = mask;
    }

    public static readonly TensorType Scalar = new(RowKind.Scalar, []);

    public RowKind Rows { get; }

    public IReadOnlyList<DimExpr> Dims { get; }

    public bool Mask { get; }

    /// <summary>Extent of the last axis.</summary>
    public DimExpr Columns => Dims.Count == 0 ? DimExpr.One : Dims[Dims.Count - 1];

    /// <summary>Product of all axes but the last.</summary>
    public DimExpr Outer => DimExpr.Product(Dims.Take(Math.Max(0, Dims.Count - 1)));

    /// <summary>Features of one row.</summary>
    public DimExpr Elements => DimExpr.Product(Dims);

    public TensorType With(IEnumerable<DimExpr> dims) => new(Rows, dims, Mask);

    public TensorType AsMask(bool mask) => new(Rows, Dims, mask);

    /// <summary>The type with its last axis reduced to one number.</summary>
    public TensorType Reduced() => With(Dims.Take(Dims.Count - 1).Concat([DimExpr.One]));

    /// <summary>The type with all feature axes in one.</summary>
    public TensorType Flat() => With([Elements]);

    public bool Equals(TensorType? other) => other is not null && Rows == other.Rows && Mask == other.Mask && Dims.SequenceEqual(other.Dims);

    public override bool Equals(object? obj) => Equals(obj as TensorType);

    public override int GetHashCode() => Dims.Aggregate((int)Rows, (h, d) => unchecked((h * 31) + d.GetHashCode()));

    /// <summary>As in <c>[tokens, 4 * Width]</c>.</summary>
    public override string ToString()
    {
        IEnumerable<string> lead = Rows switch
        {
            RowKind.Token => ["tokens"],
            RowKind.Position => ["positions"],
            _ => [],
        };
        return "[" + string.Join(", ", lead.Concat(Dims.Select(d => d.ToString()))) + "]" + (Mask ? " mask" : "");
    }

    /// <summary>As users write shapes: <c>[Heads, Width / Heads]</c>.</summary>
    public string Features() => "[" + string.Join(", ", Dims.Select(d => d.ToString())) + "]";
}
