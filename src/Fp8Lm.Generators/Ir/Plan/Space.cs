using Fp8Lm.Generators.Model;

namespace Fp8Lm.Generators.Ir.Plan;

/// <summary>The index space of a kernel: rows (tokens, positions or a weight's leading axes, times the outer features) by columns.</summary>
internal sealed record Space(RowKind Rows, DimExpr Outer, DimExpr Columns)
{
    /// <summary>The space in which a node's elements are computed.</summary>
    public static Space Of(Node node)
    {
        TensorType type = node.Class is OpClass.RowReduction or OpClass.Cast or OpClass.Sink && node.Inputs.Length > 0 ? node.Inputs[0].Type : node.Types[0];
        return node.Op is OpCode.Attention or OpCode.AttentionGradQuery or OpCode.AttentionGradKeyValue
            ? new Space(type.Rows, DimExpr.One, type.Elements)
            : new Space(type.Rows, type.Outer, type.Columns);
    }

    /// <summary>One number per row of <paramref name="other"/>.</summary>
    public bool IsRowScalarOf(Space other) => Rows == other.Rows && Columns.IsOne && Outer.Equals(other.Outer);

    /// <summary>
    /// Whether a value of that type can be computed on the fly in this space. Flat values can in spaces of heads, but not the other way: what
    /// repeats with every head, or is one number per head, has no place in flat rows.
    /// </summary>
    public bool Computes(TensorType type) =>
        type.Rows != RowKind.Token || type.Dims.Count <= 1 || (type.Columns.Equals(Columns) && type.Outer.Equals(Outer)) || (type.Columns.IsOne && type.Outer.Equals(Outer));

    public override string ToString() => $"{Rows.ToString().ToLowerInvariant()}s{(Outer.IsOne ? "" : " * " + Outer)} x {Columns}";
}
