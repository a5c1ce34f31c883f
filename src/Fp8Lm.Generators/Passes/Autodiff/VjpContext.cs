using System;
using Fp8Lm.Generators.Ir;
using Fp8Lm.Generators.Model;

namespace Fp8Lm.Generators.Passes.Autodiff;

/// <summary>What a gradient rule sees: the forward node, the gradient of its output, and where contributions go.</summary>
internal sealed class VjpContext(
    GraphBuilder builder, Node node, Func<Value, Value?> gradient, Action<Value, Value> accumulate, Action<Value, DimExpr, Value> accumulatePart)
{
    public GraphBuilder B { get; } = builder;

    public Node Node { get; } = node;

    /// <summary>Gradient of output 0.</summary>
    public Value Dy => gradient(Node.Out())!.Value;

    /// <summary>Forward value of output 0.</summary>
    public Value Y => Node.Out();

    public Value X(int index = 0) => Node.Inputs[index];

    /// <summary>Adds to the gradient of an input.</summary>
    public void Add(int input, Value value) => accumulate(Node.Inputs[input], value);

    /// <summary>Adds to a range of columns of an input's gradient.</summary>
    public void AddPart(int input, DimExpr start, Value value) => accumulatePart(Node.Inputs[input], start, value);
}
