using System;
using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Generators.Model;

namespace Fp8Lm.Generators.Ir;

/// <summary>Adds typed nodes to one block: broadcasting, constant folding and the identities that keep the graph small.</summary>
internal sealed class GraphBuilder(Graph graph, Block block)
{
    public Graph Graph { get; } = graph;

    public Block Block { get; } = block;

    /// <summary>Site and label that new nodes get.</summary>
    public int Site { get; set; } = -1;

    /// <inheritdoc cref="Site"/>
    public string Label { get; set; } = "";

    public Node Node(OpCode op, Value[] inputs, TensorType[] types, NodeData? data = null) => Graph.Add(Block, op, inputs, types, data, Site, Label);

    public Value Node(OpCode op, Value[] inputs, TensorType type, NodeData? data = null) => Node(op, inputs, [type], data).Out();

    public Value Constant(double number) => Node(OpCode.Constant, [], TensorType.Scalar, new NodeData { Number = number });

    /// <summary>The constant 1 / extent.</summary>
    public Value Reciprocal(DimExpr extent) =>
        extent.AsConstant() is long value ? Constant(1.0 / value) : Node(OpCode.Constant, [], TensorType.Scalar, new NodeData { Number = 1, Divisor = extent });

    public Value Parameter(int index, TensorType type) => Node(OpCode.Parameter, [], type, new NodeData { Index = index });

    public Value Unary(OpCode op, Value x, NodeData? data = null)
    {
        if (op == OpCode.Neg && x.Op == OpCode.Neg)
        {
            return x.Node.Inputs[0];
        }

        return IsNumber(x, out double n) && OpTable.Of(op).Fold is { } fold ? Constant(fold([n])) : Node(op, [x], x.Type.AsMask(false), data);
    }

    public Value Binary(OpCode op, Value x, Value y)
    {
        bool xn = IsNumber(x, out double a), yn = IsNumber(y, out double b);
        if (xn && yn && OpTable.Of(op).Fold is { } fold)
        {
            return Constant(fold([a, b]));
        }

        switch (op)
        {
            case OpCode.Add when yn && b == 0:
            case OpCode.Sub when yn && b == 0:
            case OpCode.Mul when yn && b == 1:
            case OpCode.Div when yn && b == 1:
                return x;
            case OpCode.Add when xn && a == 0:
            case OpCode.Mul when xn && a == 1:
                return y;
            case OpCode.Mul when yn && b == -1:
                return Unary(OpCode.Neg, x);
            case OpCode.Mul when xn && a == -1:
                return Unary(OpCode.Neg, y);
            case OpCode.Div when yn:
                return Binary(OpCode.Mul, x, Constant(1 / b));
        }

        // Constants stand on the right, and products of constants meet: (x * 2) * 3 = x * 6.
        if (xn && op is (OpCode.Add or OpCode.Mul))
        {
            (x, y, a, b, xn, yn) = (y, x, b, a, yn, xn);
        }

        if (op == OpCode.Mul && yn && x.Op == OpCode.Mul && IsNumber(x.Node.Inputs[1], out double c))
        {
            return Binary(OpCode.Mul, x.Node.Inputs[0], Constant(b * c));
        }

        TensorType type = Broadcast(x.Type, y.Type) ?? throw new InvalidOperationException($"{op} of {x.Type} and {y.Type}");
        return Node(op, [x, y], type.AsMask(OpTable.IsMask(op)));
    }

    public Value Add(Value x, Value y) => Binary(OpCode.Add, x, y);

    public Value Sub(Value x, Value y) => Binary(OpCode.Sub, x, y);

    public Value Mul(Value x, Value y) => Binary(OpCode.Mul, x, y);

    public Value Mul(Value x, double y) => Binary(OpCode.Mul, x, Constant(y));

    public Value Div(Value x, Value y) => Binary(OpCode.Div, x, y);

    public Value Neg(Value x) => Unary(OpCode.Neg, x);

    public Value Select(Value mask, Value x, Value y)
    {
        TensorType type = Broadcast(Broadcast(mask.Type.AsMask(false), x.Type)!, y.Type)!;
        return Node(OpCode.Select, [mask, x, y], type.AsMask(false));
    }

    public Value RowSum(Value x) => Node(OpCode.RowSum, [x], x.Type.Reduced());

    public Value RowMax(Value x) => Node(OpCode.RowMax, [x], x.Type.Reduced());

    public Value RowMean(Value x) => Mul(RowSum(x), Reciprocal(x.Type.Columns));

    public Value Reshape(Value x, IEnumerable<DimExpr> dims)
    {
        DimExpr[] shape = dims.ToArray();
        if (x.Op == OpCode.Reshape)
        {
            x = x.Node.Inputs[0];
        }

        if (!DimExpr.Product(shape).Equals(x.Type.Elements))
        {
            throw new InvalidOperationException($"{x} of {x.Type} has no shape [{string.Join(", ", shape.Select(d => d.ToString()))}]");
        }

        return x.Type.Dims.SequenceEqual(shape) ? x : Node(OpCode.Reshape, [x], x.Type.With(shape));
    }

    public Value Slice(Value x, DimExpr start, DimExpr length) =>
        Node(OpCode.Slice, [x], x.Type.With(x.Type.Dims.Take(x.Type.Dims.Count - 1).Concat([length])), new NodeData { Extent = start });

    public Value Concat(IReadOnlyList<Value> parts) =>
        parts.Count == 1 ? parts[0] : Node(OpCode.Concat, [.. parts], parts[0].Type.With(
            parts[0].Type.Dims.Take(parts[0].Type.Dims.Count - 1).Concat([parts.Select(p => p.Type.Columns).Aggregate((a, b) => a + b)])));

    /// <summary>x [.., K] times weight [N, K] transposed, in the roles fprop, dgrad, wgrad.</summary>
    public Value Gemm(Value a, Value b, TensorType type, GemmRole role, bool aKMajor, bool bKMajor) =>
        Node(OpCode.Gemm, [a, b], type, new NodeData { Gemm = role, AKMajor = aKMajor, BKMajor = bKMajor });

    /// <summary>Zeros shaped like <paramref name="like"/> with another last axis.</summary>
    public Value Zeros(TensorType like, DimExpr columns) => Node(OpCode.Constant, [], like.With(like.Dims.Take(like.Dims.Count - 1).Concat([columns])).AsMask(false));

    /// <summary>The value, stretched to a type that it broadcasts to.</summary>
    public Value Expand(Value x, TensorType type) => x.Type.Equals(type) ? x
        : type.Equals(Broadcast(x.Type, type)) ? Node(OpCode.Add, [x, Zeros(type, type.Columns)], type)
        : throw new InvalidOperationException($"{x} of {x.Type} does not stretch to {type}");

    /// <summary>
    /// A gradient in the shape of the value it belongs to: summed over a last axis that was stretched, stretched where it is narrower.
    /// Values with the shape of weights keep one gradient per token; the sum over tokens is taken where the weight itself is reached.
    /// </summary>
    public Value ReduceTo(Value gradient, TensorType type)
    {
        if (type.Rows != RowKind.Token || gradient.Type.Equals(type))
        {
            return gradient;
        }

        if (type.Columns.IsOne && !gradient.Type.Columns.IsOne)
        {
            gradient = RowSum(gradient);
            return gradient.Type.Equals(type) ? gradient : ReduceTo(Reshape(gradient, gradient.Type.Dims.Take(gradient.Type.Dims.Count - 1)), type);
        }

        return Expand(gradient, type);
    }

    /// <summary>Whether the value is a number known here, and not one times or over a size, which is known when the program runs.</summary>
    public static bool IsNumber(Value value, out double number)
    {
        number = value.Node.Data.Number;
        return value.Op == OpCode.Constant && value.Type.Rows == RowKind.Scalar && value.Node.Data is { Divisor: null, Extent: null };
    }

    /// <summary>
    /// The type both operands broadcast to, or null. Token values agree in all features, except that a last axis of 1 stretches;
    /// weights align at the last axis, and their axes agree or are 1.
    /// </summary>
    public static TensorType? Broadcast(TensorType x, TensorType y)
    {
        if (x.Rows == RowKind.Scalar || y.Rows == RowKind.Scalar)
        {
            return x.Rows == RowKind.Scalar ? y : x;
        }

        (TensorType wide, TensorType narrow) = x.Dims.Count >= y.Dims.Count ? (x, y) : (y, x);
        if (wide.Dims.Count != narrow.Dims.Count && narrow.Rows == RowKind.Token && !narrow.Elements.IsOne)
        {
            return null;
        }

        DimExpr[] dims = [.. wide.Dims];
        int shift = wide.Dims.Count - narrow.Dims.Count;
        for (int i = 0; i < narrow.Dims.Count; i++)
        {
            DimExpr a = wide.Dims[i + shift], b = narrow.Dims[i];
            bool last = i == narrow.Dims.Count - 1;
            if (a.Equals(b))
            {
                continue;
            }

            // Only a weight may be 1 on an inner axis; a token value of 1 stretches on its last axis only.
            if (b.IsOne && (last || narrow.Rows != RowKind.Token))
            {
                continue;
            }

            if (a.IsOne && (last || wide.Rows != RowKind.Token))
            {
                dims[i + shift] = b;
                continue;
            }

            return null;
        }

        RowKind rows = (RowKind)Math.Max((int)x.Rows, (int)y.Rows);
        return new TensorType(rows, dims);
    }
}
