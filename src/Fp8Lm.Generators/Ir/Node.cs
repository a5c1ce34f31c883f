using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Generators.Model;

namespace Fp8Lm.Generators.Ir;

/// <summary>Which instance of a buffer or scale an access means, as a function of the layer that runs.</summary>
internal enum InstanceIndex
{
    /// <summary>Instance 0.</summary>
    First,
    /// <summary>The layer.</summary>
    Layer,
    /// <summary>The layer plus one.</summary>
    NextLayer,
    /// <summary>The loop's count.</summary>
    Count,
}

/// <summary>Constant facts of a node; unused ones keep their defaults.</summary>
internal sealed record NodeData
{
    public static readonly NodeData None = new();

    /// <summary>A number: value of a constant, exponent, epsilon, base, rate.</summary>
    public double Number { get; init; }

    /// <summary>A second number (soft limits, z-loss).</summary>
    public double Number2 { get; init; }

    /// <summary>An extent: start of a slice, window, rotated features; for a constant, a factor of its value.</summary>
    public DimExpr? Extent { get; init; }

    /// <summary>For a constant: a divisor of its value.</summary>
    public DimExpr? Divisor { get; init; }

    /// <summary>Index of a parameter, carried value, or random site.</summary>
    public int Index { get; init; } = -1;

    /// <summary>Interleaved rotary pairs.</summary>
    public bool Interleaved { get; init; }

    /// <summary>Operand A (B) of a GEMM is stored with K contiguous.</summary>
    public bool AKMajor { get; init; } = true;

    /// <inheritdoc cref="AKMajor"/>
    public bool BKMajor { get; init; } = true;

    /// <summary>Which of the three GEMMs of a linear this is.</summary>
    public GemmRole Gemm { get; init; }

    /// <summary>FP32 promotion along K.</summary>
    public bool Promote { get; init; }

    /// <summary>Target of a cast.</summary>
    public Format Format { get; init; }

    /// <summary>For a cast to <see cref="Format.U8"/>: what the byte stands for.</summary>
    public FixedPoint? Fixed { get; init; }

    /// <summary>Family of FP8 scales, and which of its slots.</summary>
    public int Scale { get; init; } = -1;

    /// <inheritdoc cref="Scale"/>
    public InstanceIndex ScaleIndex { get; init; }

    /// <summary>The value is stored transposed, [columns, rows].</summary>
    public bool Transposed { get; init; }

    /// <summary>The cast derives its scale from an amax that is complete when its kernel starts (current scaling).</summary>
    public bool CurrentScale { get; init; }

    /// <summary>The optimizer keeps the scale, so the cast records no amax.</summary>
    public bool FixedScale { get; init; }

    /// <summary>What shares a scale. If not the whole tensor, a cast has the inverse scales of both copies as further outputs, and a product reads them.</summary>
    public Granularity Granularity { get; init; }

    /// <summary>Scales per row or block are rounded down to powers of two.</summary>
    public bool PowerOfTwo { get; init; }

    public override string ToString()
    {
        List<string> parts = [];
        if (Number != 0)
        {
            parts.Add(Number.ToString("R", System.Globalization.CultureInfo.InvariantCulture));
        }

        if (Number2 != 0)
        {
            parts.Add("z=" + Number2.ToString("R", System.Globalization.CultureInfo.InvariantCulture));
        }

        if (Extent is not null)
        {
            parts.Add(Extent.ToString());
        }

        if (Divisor is not null)
        {
            parts.Add("1/(" + Divisor + ")");
        }

        if (Index >= 0)
        {
            parts.Add("#" + Index.ToString(System.Globalization.CultureInfo.InvariantCulture));
        }

        if (Interleaved)
        {
            parts.Add("interleaved");
        }

        if (Gemm != GemmRole.None)
        {
            parts.Add(Gemm.ToString().ToLowerInvariant());
            parts.Add((AKMajor ? "T" : "N") + (BKMajor ? "N" : "T"));
        }

        if (Promote)
        {
            parts.Add("promote");
        }

        if (Fixed is not null)
        {
            parts.Add(Fixed.ToString());
        }

        if (Scale >= 0)
        {
            parts.Add("scale " + Scale.ToString(System.Globalization.CultureInfo.InvariantCulture) + "@" + ScaleIndex);
        }

        if (CurrentScale)
        {
            parts.Add("current");
        }

        if (FixedScale)
        {
            parts.Add("fixed");
        }

        if (Granularity != Granularity.Tensor)
        {
            parts.Add("scales per " + Granularity.ToString().ToLowerInvariant());
        }

        if (PowerOfTwo)
        {
            parts.Add("powers of two");
        }

        return parts.Count == 0 ? "" : "{" + string.Join(", ", parts) + "}";
    }
}

/// <summary>How much of a tensor shares an FP8 scale.</summary>
internal enum Granularity
{
    /// <summary>All of it.</summary>
    Tensor,
    /// <summary>A row; in the transposed copy, a column.</summary>
    Row,
    /// <summary>128 of a row; in the transposed copy, 128 of a column.</summary>
    Block,
    /// <summary>128 rows by 128 columns, in both copies.</summary>
    Square,
}

internal enum GemmRole
{
    None,
    Fprop,
    Dgrad,
    Wgrad,
}

/// <summary>One output of a node.</summary>
internal readonly record struct Value(Node Node, int Index)
{
    public TensorType Type => Node.Types[Index];

    public OpCode Op => Node.Op;

    public override string ToString() => Node.Types.Count == 1 ? Node.Name : Node.Name + "." + Index.ToString(System.Globalization.CultureInfo.InvariantCulture);
}

/// <summary>One operation in SSA form. Inputs may be rewritten by passes; identity is the object.</summary>
internal sealed class Node(int id, OpCode op, Value[] inputs, TensorType[] types, NodeData data, Block block, int site)
{
    /// <summary>Number in texts; unique. Renumbered in program order when the passes are done.</summary>
    public int Id { get; set; } = id;

    public OpCode Op { get; } = op;

    public Value[] Inputs { get; set; } = inputs;

    public IReadOnlyList<TensorType> Types { get; } = types;

    public NodeData Data { get; set; } = data;

    public Block Block { get; } = block;

    /// <summary>Source site of the user's call this node comes from, or -1.</summary>
    public int Site { get; } = site;

    /// <summary>A word of the user's program for comments and buffer names ("qkv", "up"); may be empty.</summary>
    public string Label { get; set; } = "";

    public string Name => "%" + Id.ToString(System.Globalization.CultureInfo.InvariantCulture);

    public Value Out(int index = 0) => new(this, index);

    public OpClass Class => OpTable.Class(Op);

    /// <summary>A cast, or the amax before it, whose scales belong to parts of the tensor: a library kernel of its own.</summary>
    public bool IsGroupedCast => Op is OpCode.Quantize or OpCode.GroupAmax && Data.Granularity != Granularity.Tensor;

    public override string ToString() => $"{Name} = {Op}({string.Join(", ", Inputs.Select(i => i.ToString()))}){Data}";
}
