using System;
using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Generators.Model;

namespace Fp8Lm.Generators.Frontend;

/// <summary>
/// Feature shapes while reading: enough to lower calls that depend on them (<c>Split2</c>, <c>SplitHeads</c>). It judges nothing; the compiler's shape
/// inference does, so where operands do not fit together some plausible shape goes on.
/// </summary>
internal static class Shapes
{
    public static readonly IReadOnlyList<DimExpr> Scalar = [DimExpr.One];

    public static DimExpr Last(IReadOnlyList<DimExpr> shape) => shape.Count == 0 ? DimExpr.One : shape[shape.Count - 1];

    public static IReadOnlyList<DimExpr> WithLast(IReadOnlyList<DimExpr> shape, DimExpr last) => [.. shape.Take(Math.Max(0, shape.Count - 1)), last];

    public static IReadOnlyList<DimExpr> Broadcast(IReadOnlyList<DimExpr> left, IReadOnlyList<DimExpr> right)
    {
        int rank = Math.Max(left.Count, right.Count);
        DimExpr[] result = new DimExpr[rank];
        for (int axis = 1; axis <= rank; axis++)
        {
            DimExpr a = axis <= left.Count ? left[left.Count - axis] : DimExpr.One;
            DimExpr b = axis <= right.Count ? right[right.Count - axis] : DimExpr.One;
            result[rank - axis] = a.IsOne ? b : a;
        }

        return result;
    }

    /// <summary>The shape of an op's result.</summary>
    public static IReadOnlyList<DimExpr> Infer(string op, IReadOnlyList<IReadOnlyList<DimExpr>> operands, IReadOnlyList<AttributeSpec> attributes)
    {
        IReadOnlyList<DimExpr> first = operands.Count > 0 ? operands[0] : Scalar;
        return op switch
        {
            "embed" or "position_embed" => first.Count > 1 ? [.. first.Skip(1)] : first,
            "linear" => WithLast(first, operands.Count > 1 && operands[1].Count > 0 ? operands[1][0] : DimExpr.One),
            "sum" or "mean" or "reduce_max" => WithLast(first, DimExpr.One),
            "reshape" => [.. Dims("shape")],
            "slice" => WithLast(first, Dims("length").Aggregate(DimExpr.One, (_, d) => d)),
            "concat" => WithLast(first, operands.Aggregate(DimExpr.Zero, (sum, o) => sum + Last(o))),
            "attention" when operands.Count > 2 && operands[2].Count > 0 => WithLast(first, Last(operands[2])),
            "add" or "sub" or "mul" or "div" or "min" or "max" or "lt" or "le" or "gt" or "ge" or "eq" or "ne" or "select" =>
                operands.Aggregate(Broadcast),
            _ => first,
        };

        IEnumerable<DimExpr> Dims(string name) => attributes.Where(a => a.Name == name).SelectMany(a => a.Dims);
    }

    public static string Print(IReadOnlyList<DimExpr> shape) => "[" + string.Join(", ", shape) + "]";
}
