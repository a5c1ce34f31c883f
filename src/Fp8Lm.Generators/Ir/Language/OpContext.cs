using System;
using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Generators.Model;

namespace Fp8Lm.Generators.Ir.Language;

/// <summary>One call being lowered: operands as values, constant arguments, and where errors go.</summary>
internal sealed class OpContext(GraphBuilder builder, OpSpec op, IReadOnlyList<Value> operands, List<CompileError> errors)
{
    public GraphBuilder Builder { get; } = builder;

    public OpSpec Op { get; } = op;

    public IReadOnlyList<Value> Operands { get; } = operands;

    public Value this[int index] => Operands[index];

    public double Number(string name, double fallback) => Op.Attributes.FirstOrDefault(a => a.Name == name)?.Number ?? fallback;

    public IReadOnlyList<DimExpr> Dims(string name) => Op.Attributes.FirstOrDefault(a => a.Name == name)?.Dims ?? EquatableArray<DimExpr>.Empty;

    public DimExpr? Dim(string name) => Dims(name) is { Count: > 0 } dims ? dims[0] : null;

    public Value[]? Fail(string code, params string[] arguments)
    {
        errors.Add(new CompileError(code, Op.Site, arguments));
        return null;
    }

    /// <summary>Reports an operand that is a mask or has no tokens to an op that works on values of tokens.</summary>
    public Value[]? FailUnlessTokens(Value value) => value.Type.Mask ? Fail("FP8L0315", Op.Op) : Fail("FP8L0318", Op.Op, value.Type.Features());

    public Value[]? Unary(Func<GraphBuilder, Value, Value> make) =>
        this[0].Type.Mask ? Fail("FP8L0315", Op.Op) : [make(Builder, this[0])];

    public Value[]? Binary(Func<GraphBuilder, Value, Value, Value> make)
    {
        if (this[0].Type.Mask || this[1].Type.Mask)
        {
            return Fail("FP8L0315", Op.Op);
        }

        return GraphBuilder.Broadcast(this[0].Type, this[1].Type) is null
            ? Fail("FP8L0301", Op.Op, this[0].Type.Features(), this[1].Type.Features())
            : [make(Builder, this[0], this[1])];
    }

    /// <summary>Reports unless the operand is a weight of rank 1 and the given length.</summary>
    public bool IsVector(int operand, DimExpr length)
    {
        TensorType type = this[operand].Type;
        if (type.Dims.Count != 1)
        {
            Fail("FP8L0303", Op.Op, "1", type.Dims.Count.ToString(System.Globalization.CultureInfo.InvariantCulture));
            return false;
        }

        if (!type.Columns.Equals(length))
        {
            Fail("FP8L0304", Op.Op, length.ToString(), type.Columns.ToString());
            return false;
        }

        return true;
    }

    /// <summary>Reports unless the operand is a weight of rank 2.</summary>
    public bool IsMatrix(int operand)
    {
        TensorType type = this[operand].Type;
        if (type.Dims.Count == 2)
        {
            return true;
        }

        Fail("FP8L0303", Op.Op, "2", type.Dims.Count.ToString(System.Globalization.CultureInfo.InvariantCulture));
        return false;
    }
}
