using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using Fp8Lm.Generators.Model;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.Operations;

namespace Fp8Lm.Generators.Frontend;

/// <summary>What an expression of the user's code stands for while it is read.</summary>
internal abstract class Value
{
    /// <summary>For messages, with article.</summary>
    public abstract string Description { get; }
}

/// <summary>The outcome of something that was reported already; it silences everything computed from it.</summary>
internal sealed class ErrorValue : Value
{
    public static readonly ErrorValue Instance = new();

    public override string Description => "an error";
}

internal sealed class NullValue : Value
{
    public static readonly NullValue Instance = new();

    public override string Description => "null";
}

/// <summary>The result of a method that returns nothing.</summary>
internal sealed class VoidValue : Value
{
    public static readonly VoidValue Instance = new();

    public override string Description => "nothing";
}

/// <summary>A number, flag, enum member (as its number) or string known at compile time.</summary>
internal sealed class ConstantValue(object value) : Value
{
    public static readonly ConstantValue True = new(true), False = new(false);

    public object Value { get; } = value;

    public override string Description => "the constant " + System.Convert.ToString(Value, CultureInfo.InvariantCulture);

    public static ConstantValue Of(bool value) => value ? True : False;
}

internal sealed class DimValue(DimExpr expression) : Value
{
    public DimExpr Expression { get; } = expression;

    public override string Description => "the dimension " + Expression;
}

internal sealed class InitValue(InitSpec spec) : Value
{
    public InitSpec Spec { get; } = spec;

    public override string Description => "an Init";
}

/// <summary>Something an op can take as an element-wise operand: a tensor, a mask or a weight.</summary>
internal abstract class ShapedValue : Value
{
    public abstract OperandSpec Operand { get; }

    public abstract IReadOnlyList<DimExpr> Shape { get; }
}

internal sealed class TensorValue(int id, IReadOnlyList<DimExpr> shape) : ShapedValue
{
    public int Id { get; } = id;

    public override OperandSpec Operand => OperandSpec.Value(Id);

    public override IReadOnlyList<DimExpr> Shape { get; } = shape;

    public override string Description => "a Tensor " + Shapes.Print(Shape);
}

internal sealed class MaskValue(int id, IReadOnlyList<DimExpr> shape) : ShapedValue
{
    public override OperandSpec Operand { get; } = OperandSpec.Value(id);

    public override IReadOnlyList<DimExpr> Shape { get; } = shape;

    public override string Description => "a Mask";
}

/// <summary>One weight; <see cref="Index"/> is its place in the model's list.</summary>
internal sealed class WeightValue(int index, string path, IReadOnlyList<DimExpr> shape, InitSpec init, bool decay, bool fp8, RepeatValue? repeat, Location location) : ShapedValue
{
    public int Index { get; } = index;

    public string Path { get; } = path;

    public InitSpec Init { get; } = init;

    public bool Decay { get; } = decay;

    /// <summary>False: its linears stay in the compute format in recipes with FP8.</summary>
    public bool Fp8 { get; } = fp8;

    /// <summary>The repeated module whose layers have an instance each; null for a single weight.</summary>
    public RepeatValue? Repeat { get; } = repeat;

    public Location Location { get; } = location;

    public override OperandSpec Operand => OperandSpec.Parameter(Index);

    public override IReadOnlyList<DimExpr> Shape { get; } = shape;

    public override string Description => "the weight " + Path + " " + Shapes.Print(Shape);
}

internal sealed class TokensValue : Value
{
    public static readonly TokensValue Instance = new();

    public override string Description => "the token ids";
}

internal sealed class LabelsValue : Value
{
    public static readonly LabelsValue Instance = new();

    public override string Description => "the labels";
}

internal sealed class LossValue : Value
{
    public override string Description => "a Loss";
}

internal sealed class TupleValue(IReadOnlyList<Value> items) : Value
{
    public IReadOnlyList<Value> Items { get; } = items;

    public override string Description => "a tuple of " + string.Join(", ", Items.Select(i => i.Description));
}

/// <summary>An object of a module class, or the model itself.</summary>
internal sealed class ModuleValue(INamedTypeSymbol type, string path) : Value
{
    public INamedTypeSymbol Type { get; } = type;

    /// <summary>Empty for the model.</summary>
    public string Path { get; } = path;

    /// <summary>Instance fields and auto-properties.</summary>
    public Dictionary<ISymbol, Value> Members { get; } = new(SymbolEqualityComparer.Default);

    /// <summary>Arguments of the constructor; those of a primary constructor live as long as the object.</summary>
    public Dictionary<ISymbol, Value> Arguments { get; } = new(SymbolEqualityComparer.Default);

    public override string Description => "the module " + Type.Name;

    public string Member(string name) => Path.Length == 0 ? name : Path + "." + name;
}

internal sealed class RepeatValue(string path, DimExpr count, bool checkpoint, Location location) : Value
{
    public string Path { get; } = path;

    public DimExpr Count { get; } = count;

    public bool Checkpoint { get; } = checkpoint;

    public Location Location { get; } = location;

    /// <summary>The layer that stands for all.</summary>
    public Value Layer { get; set; } = ErrorValue.Instance;

    /// <summary>Number of the loop over it; -1 until it is found.</summary>
    public int Loop { get; set; } = -1;

    public override string Description => "the repeated module " + Path;
}

/// <summary>A method group or lambda, together with what it captured.</summary>
internal sealed class FunctionValue(IMethodSymbol method, IAnonymousFunctionOperation? lambda, Value? self, Frame frame) : Value
{
    public IMethodSymbol Method { get; } = method;

    public IAnonymousFunctionOperation? Lambda { get; } = lambda;

    public Value? Self { get; } = self;

    public Frame Frame { get; } = frame;

    public override string Description => "a function";
}
