namespace Fp8Lm.Generators.Model;

/// <summary>
/// One <c>[Fp8Model]</c> class as the compiler sees it: modules are inlined, repeated modules are loops, names are resolved, and the
/// forward pass is in SSA form (every value id is assigned once). It crosses the incremental pipeline, so it holds values only: no symbols, no
/// syntax, no positions. A site is an ordinal that the analyzer's side table maps back to a source location.
/// </summary>
public sealed record ModelSpec(
    TypeHierarchy Type,
    EquatableArray<string> Dims,
    EquatableArray<SizeSpec> Sizes,
    EquatableArray<ParameterSpec> Parameters,
    EquatableArray<StatementSpec> Forward,
    EquatableArray<RecipeSpec> Recipes)
{
    /// <summary>Class name; prefix of all emitted names.</summary>
    public string Name => Type.Name;
}

/// <summary>Where the generated partial class goes.</summary>
/// <param name="Namespace">Empty for the global namespace.</param>
/// <param name="Containers">Declarations of containing types, outermost first, for example <c>public static partial class Models</c>.</param>
/// <param name="Declaration">For example <c>public partial class Gpt</c>.</param>
/// <param name="Name">For example <c>Gpt</c>.</param>
public sealed record TypeHierarchy(string Namespace, EquatableArray<string> Containers, string Declaration, string Name);

/// <summary>A declared size: one value per entry of <see cref="ModelSpec.Dims"/>.</summary>
public sealed record SizeSpec(string Name, EquatableArray<long> Values, int Site);

/// <summary>How a parameter starts; kinds as in the runtime's InitKind.</summary>
public sealed record InitSpec(string Kind, double Value);

/// <summary>One weight. A weight inside a repeated module is one parameter with <see cref="Loop"/> set.</summary>
/// <param name="Path">For example <c>tokens</c> or <c>blocks.*.attention.qkv</c>.</param>
/// <param name="Shape">Extents.</param>
/// <param name="Init">Initial values.</param>
/// <param name="Loop">Id of the <see cref="LoopSpec"/> whose layers have their own instance, or -1.</param>
/// <param name="Decay">Whether weight decay applies.</param>
/// <param name="Fp8">Whether its linears may be FP8.</param>
/// <param name="Site">Declaration.</param>
public sealed record ParameterSpec(string Path, EquatableArray<DimExpr> Shape, InitSpec Init, int Loop, bool Decay, bool Fp8, int Site);

public abstract record StatementSpec;

/// <summary>One call of an op of the language.</summary>
/// <param name="Op">Key in OpTable, for example <c>linear</c>.</param>
/// <param name="Operands">In the op's order; optional trailing ones may be missing.</param>
/// <param name="Attributes">Constant arguments.</param>
/// <param name="Results">Value ids.</param>
/// <param name="Site">The call.</param>
public sealed record OpSpec(
    string Op, EquatableArray<OperandSpec> Operands, EquatableArray<AttributeSpec> Attributes, EquatableArray<int> Results, int Site) : StatementSpec;

/// <summary>A <c>foreach</c> over a repeated module.</summary>
/// <param name="Id">Number of the loop, from 0 in program order.</param>
/// <param name="Name">Field name of the repeated module.</param>
/// <param name="Count">Layers.</param>
/// <param name="Checkpoint">Whether the block asks for activation checkpointing by default.</param>
/// <param name="Carried">Values assigned in the body and read in the next layer or after the loop.</param>
/// <param name="Body">Statements; may use values defined before the loop.</param>
/// <param name="Site">The statement.</param>
public sealed record LoopSpec(
    int Id, string Name, DimExpr Count, bool Checkpoint, EquatableArray<CarriedSpec> Carried, EquatableArray<StatementSpec> Body, int Site) : StatementSpec;

/// <summary>A loop-carried value: <c>Parameter</c> names it inside the body, <c>Result</c> after the loop.</summary>
public readonly record struct CarriedSpec(int Initial, int Parameter, int BodyResult, int Result);

public enum OperandKind
{
    /// <summary>Index is a value id.</summary>
    Value,
    /// <summary>Index is a position in <see cref="ModelSpec.Parameters"/>.</summary>
    Parameter,
    /// <summary>The token ids.</summary>
    Tokens,
    /// <summary>The labels.</summary>
    Labels,
    /// <summary>A number.</summary>
    Constant,
}

public readonly record struct OperandSpec(OperandKind Kind, int Index, double Number)
{
    public static OperandSpec Value(int id) => new(OperandKind.Value, id, 0);

    public static OperandSpec Parameter(int index) => new(OperandKind.Parameter, index, 0);

    public static OperandSpec Constant(double number) => new(OperandKind.Constant, -1, number);

    public static readonly OperandSpec Tokens = new(OperandKind.Tokens, -1, 0);

    public static readonly OperandSpec Labels = new(OperandKind.Labels, -1, 0);
}

/// <summary>A constant argument of an op: a number, or an extent (or list of extents).</summary>
public sealed record AttributeSpec(string Name, double Number, EquatableArray<DimExpr> Dims)
{
    public static AttributeSpec Of(string name, double number) => new(name, number, EquatableArray<DimExpr>.Empty);

    public static AttributeSpec Of(string name, params DimExpr[] dims) => new(name, 0, dims.ToEquatable());
}

/// <summary>An error in the user's model: plain data; Diagnostics turns it into a diagnostic with a location.</summary>
/// <param name="Code">For example <c>FP8L0203</c>.</param>
/// <param name="Site">Ordinal of the place.</param>
/// <param name="Arguments">For the message format.</param>
public sealed record CompileError(string Code, int Site, EquatableArray<string> Arguments)
{
    public CompileError(string code, int site, params string[] arguments)
        : this(code, site, arguments.ToEquatable())
    {
    }
}
