using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Generators.Ir;
using Fp8Lm.Generators.Ir.Plan;
using Fp8Lm.Generators.Model;

namespace Fp8Lm.Generators.Kernels;

/// <summary>What an argument of a kernel points to.</summary>
internal enum ElementType
{
    F32,
    BF16,
    F16,
    E4M3,
    E5M2,
    /// <summary>Fixed point.</summary>
    U8,
    I32,
    /// <summary>Bits of an amax.</summary>
    U32,
    State,
    /// <summary>The loss scale of a run and the steps it has stood for.</summary>
    LossScale,
    /// <summary>The table that kernels of the optimizer walk over.</summary>
    Segment,
    /// <summary>Elements of several formats.</summary>
    Bytes,
    /// <summary>Where a cast is counted.</summary>
    CastStatistics,
    /// <summary>A 64-bit integer, not a pointer.</summary>
    Int64,
}

/// <summary>One argument: its name in the kernel, and the C# expression that the dispatch passes.</summary>
internal sealed record KernelParam(string Name, ElementType Type, string Argument)
{
    public bool Written { get; set; }

    /// <summary>Positional operand of a library kernel: never shared with what the epilogue reads.</summary>
    public bool Operand { get; init; }

    /// <summary>What the bytes of a <see cref="ElementType.U8"/> stand for.</summary>
    public FixedPoint? Fixed { get; init; }

    public bool IsPointer => Type != ElementType.Int64;

    /// <summary>Read by the counting form of the kernel only; such arguments come last, and are zero while casts are not counted.</summary>
    public bool Counts => Type == ElementType.CastStatistics;
}

/// <summary>Which index an access starts from.</summary>
internal enum AccessBase
{
    None,
    Token,
    Gather,
    Position,
}

/// <summary>
/// Element index of an access: base * Pitch + Offset + outer * OuterPitch (+ column). For <see cref="AccessBase.Gather"/> the base is the token's id,
/// for <see cref="AccessBase.Position"/> its place in the sequence. With a period, the column counts from the last multiple of it.
/// </summary>
internal sealed record Access(AccessBase Base, DimExpr Pitch, DimExpr Offset, DimExpr OuterPitch, bool Column)
{
    public DimExpr? Period { get; init; }
}

internal abstract record Statement(string Result);

/// <summary>Reads one element.</summary>
internal sealed record LoadStatement(string Result, KernelParam Param, Access Access, KernelParam? Ids, PairSwap? Swap) : Statement(Result)
{
    /// <summary>Where this argument is 0 nothing was stored yet: the value is 0 and memory is not read.</summary>
    public KernelParam? When { get; init; }
}

/// <summary>Reads the other half of a rotary pair; pairs are among the first <paramref name="Rotated"/> columns of every head of <paramref name="Size"/>.</summary>
internal sealed record PairSwap(DimExpr Rotated, DimExpr Size, bool Interleaved);

/// <summary>An element-wise op of the op table.</summary>
internal sealed record OpStatement(string Result, Node Node, IReadOnlyList<string> Operands) : Statement(Result);

/// <summary>A number, possibly with extents.</summary>
internal sealed record ConstantStatement(string Result, NodeData Data) : Statement(Result);

/// <summary>An op that reads indices or step state rather than operands.</summary>
internal sealed record SpecialStatement(string Result, Node Node, KernelParam? Param) : Statement(Result);

internal abstract record Output(string Operand);

/// <summary>Stores a value per element (or per row).</summary>
internal sealed record StoreOutput(string Operand, KernelParam Param, Access Access, bool Accumulate = false) : Output(Operand)
{
    /// <summary>Where this argument is 0 an accumulating store assigns, and memory is not read.</summary>
    public KernelParam? When { get; init; }
}

/// <summary>Casts to FP8 with a scale: row-major and/or transposed copy, and the amax of what was cast (null where the optimizer keeps the scale).</summary>
internal sealed record QuantizeOutput(
    string Operand, Format Format, KernelParam? Row, Access? RowAccess, KernelParam? Transposed, DimExpr? TransposedPitch, DimExpr? TransposedOffset, Access? TransposedRowMajor,
    KernelParam Scale, KernelParam? ScaleInverse, KernelParam? Amax, bool CurrentScale) : Output(Operand)
{
    /// <summary>A state of the optimizer: its scale is a power of two and stays where the amax says nothing.</summary>
    public bool KeepsScale { get; init; }

    /// <summary>Where the cast is counted.</summary>
    public KernelParam? Statistics { get; init; }
}

/// <summary>Records the largest magnitude.</summary>
internal sealed record AmaxOutput(string Operand, KernelParam Amax) : Output(Operand);

/// <summary>Sums over the rows of every slab of 16.</summary>
internal sealed record SumOutput(string Operand, KernelParam Partial, DimExpr Pitch, DimExpr Offset) : Output(Operand);

/// <summary>One value per row, from a row kernel with wider columns.</summary>
internal sealed record RowOutput(string Operand, KernelParam Param, Access Access) : Output(Operand);

internal sealed record Reduction(string Result, bool Max, string Operand);

/// <summary>One sweep over the columns.</summary>
internal sealed class Stage
{
    /// <summary>Once per row, before the sweep.</summary>
    public List<Statement> Row { get; } = [];

    public List<Statement> Columns { get; } = [];

    public List<Reduction> Reductions { get; } = [];

    public List<Output> Outputs { get; } = [];
}

/// <summary>The epilogue of one output of an anchor, or the sweeps of a row kernel.</summary>
internal sealed class KernelBody(int anchorOutput)
{
    public int AnchorOutput { get; } = anchorOutput;

    public List<Stage> Stages { get; } = [];

    public Stage Final => Stages[Stages.Count - 1];

    public IEnumerable<SumOutput> Sums => Final.Outputs.OfType<SumOutput>();

    public IEnumerable<KernelParam> Amaxes => Final.Outputs.Select(o => o is QuantizeOutput q ? q.Amax : o is AmaxOutput a ? a.Amax : null).Where(p => p is not null).Distinct()!;
}

/// <summary>One kernel, independent of the target: arguments, and bodies whose statements both renderers print.</summary>
internal sealed class KernelProgram(string name, FusedGroup group, Space space)
{
    public string Name { get; } = name;

    public FusedGroup Group { get; } = group;

    public Space Space { get; } = space;

    public List<KernelParam> Params { get; } = [];

    /// <summary>Whether it casts to FP8, and so has a form that counts.</summary>
    public bool Counts => Params.Any(p => p.Counts);

    public List<KernelBody> Bodies { get; } = [];

    /// <summary>Lines that say which nodes it implements, with shapes and formats.</summary>
    public List<string> Comment { get; } = [];

    /// <summary>Tokens of its rows: those of the micro-batch or of one chunk.</summary>
    public DimExpr TokenRows { get; set; } = DimExpr.One;

    /// <summary>Rows of the index space.</summary>
    public DimExpr Rows => Space.Rows switch
    {
        RowKind.Parameter => Space.Outer,
        RowKind.Position => DimExpr.Sequence * Space.Outer,
        RowKind.Scalar => DimExpr.One,
        _ => TokenRows * Space.Outer,
    };

    /// <summary>Reciprocal scales of FP8 operands; their product multiplies the accumulator.</summary>
    public List<KernelParam> Alphas { get; } = [];

    /// <summary>GEMM facts.</summary>
    public GemmProgram? Gemm { get; set; }

    /// <summary>Attention facts.</summary>
    public AttentionProgram? Attention { get; set; }

    /// <summary>Facts of a cast with scales per row or block, or of the amax before it.</summary>
    public GroupedCastProgram? Cast { get; set; }

    /// <summary>What a kernel that finishes column sums finishes, each with four arguments in turn; empty for others.</summary>
    public List<ColumnSumProgram> ColumnSums { get; } = [];

    /// <summary>Needed to compute the loss, also without training.</summary>
    public bool Evaluates { get; set; } = true;
}

/// <param name="Parameter">To whose gradient the sums are added.</param>
/// <param name="Start">Its first element that they belong to.</param>
/// <param name="Columns">Number of sums.</param>
internal sealed record ColumnSumProgram(int Parameter, DimExpr Start, DimExpr Columns);

/// <param name="Format">Element format.</param>
/// <param name="KMajor">Stored with K contiguous.</param>
/// <param name="Pitch">Elements from one stored row to the next.</param>
/// <param name="TransposedFrom">For a transposed copy: the pitch of the row-major matrix; the CPU keeps that one and reads it across.</param>
internal sealed record GemmOperand(Format Format, bool KMajor, DimExpr Pitch, DimExpr? TransposedFrom);

internal sealed record GemmProgram(DimExpr M, DimExpr N, DimExpr K, GemmOperand A, GemmOperand B, bool Promote)
{
    /// <summary>Which of the three products of a linear.</summary>
    public GemmRole Role { get; init; }

    /// <summary>Index of the linear's weight.</summary>
    public int Weight { get; init; } = -1;

    /// <summary>Families of the operands' FP8 scales, or -1.</summary>
    public int ScaleA { get; init; } = -1;

    /// <inheritdoc cref="ScaleA"/>
    public int ScaleB { get; init; } = -1;

    /// <summary>Inverse scales of the operands where rows or blocks have their own; null elsewhere.</summary>
    public GroupScales? Scales { get; init; }
}

/// <param name="PerBlock">Applied every 128 of K, where the product promotes; otherwise one per row, which multiplies the accumulator.</param>
/// <param name="A">Per block [blocks of K, M], else [M].</param>
/// <param name="B">Per block [blocks of K, N], else [N]; of squares, one per 128 x 128 of the weight as it is stored.</param>
/// <param name="Squares">Of <paramref name="B"/>.</param>
internal sealed record GroupScales(bool PerBlock, KernelParam A, KernelParam B, WeightSquares? Squares);

/// <param name="Columns">Columns of the weight.</param>
/// <param name="Transposed">K runs along its rows: the transposed copy is read.</param>
internal sealed record WeightSquares(DimExpr Columns, bool Transposed);

/// <param name="Granularity">What shares a scale; of an amax always <see cref="Granularity.Block"/>.</param>
/// <param name="PowerOfTwo">Scales are powers of two.</param>
/// <param name="Source">Format of what is read.</param>
/// <param name="Pitch">Elements from row to row of what is read.</param>
/// <param name="Offset">Of its first element in its row: it bounds what is aligned.</param>
/// <param name="Format">Of the copies; null for an amax.</param>
/// <param name="Arguments">Of the library kernel in order; null for what nobody wants. Behind them stands what counts.</param>
internal sealed record GroupedCastProgram(
    Granularity Granularity, bool PowerOfTwo, Format Source, DimExpr Pitch, DimExpr Offset, Format? Format, IReadOnlyList<KernelParam?> Arguments);

internal sealed record AttentionProgram(
    Format Format, DimExpr QueryHeads, DimExpr KeyValueHeads, DimExpr HeadSize, DimExpr? Window, double Scale,
    IReadOnlyList<DimExpr> Pitches);
