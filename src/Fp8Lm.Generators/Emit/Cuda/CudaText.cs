using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using Fp8Lm.Generators.Ir;
using Fp8Lm.Generators.Kernels;
using Fp8Lm.Generators.Model;

namespace Fp8Lm.Generators.Emit.Cuda;

/// <summary>Statements, indices and types of kernel programs as CUDA C++.</summary>
internal static class CudaText
{
    private static readonly Dictionary<ElementType, string> Types = new()
    {
        [ElementType.F32] = "float",
        [ElementType.BF16] = "bf16",
        [ElementType.F16] = "f16",
        [ElementType.E4M3] = "e4m3",
        [ElementType.E5M2] = "e5m2",
        [ElementType.I32] = "int",
        [ElementType.U32] = "unsigned",
        [ElementType.State] = "StepState",
        [ElementType.LossScale] = "optim::LossScaleState",
        [ElementType.Segment] = "optim::Segment",
        [ElementType.CastStatistics] = "CastStatistics",
        [ElementType.Bytes] = "void",
        [ElementType.Int64] = "long long",
    };

    public static string Type(ElementType type) => Types[type];

    /// <summary>Element type of an argument; that of fixed point says what the bytes stand for.</summary>
    public static string Type(KernelParam param) => param.Fixed is { } bytes ? $"fixed8<{Whole(bytes.Zero)}, {Whole(bytes.PerUnit)}>" : Types[param.Type];

    private static string Whole(int number) => number.ToString(CultureInfo.InvariantCulture);

    public static string Type(Format format) => Types[LoweringContext.TypeOf(format)];

    /// <summary>Dimensions are constants of their own names, made from the D_ macros at the top of every kernel.</summary>
    public static string Symbol(string name) => ReservedNames.Dimension(name);

    public static string Print(DimExpr dim) => dim.Print(Symbol);

    public static string Declaration(KernelParam param) => param.IsPointer
        ? $"{(param.Written ? "" : "const ")}{Type(param)}* {param.Name}"
        : $"{Type(param.Type)} {param.Name}";

    /// <summary>Parameters, or arguments; those that count are there in the counting form of the kernel only.</summary>
    public static string List(IEnumerable<KernelParam> parameters, System.Func<KernelParam, string> text) =>
        string.Join(", ", parameters.Where(p => !p.Counts).Select(text)) + Counted(string.Concat(parameters.Where(p => p.Counts).Select(p => ", " + text(p))), " ");

    /// <summary>What exists in the counting form of a kernel only.</summary>
    public static string Counted(string text, string before = "") => text.Length == 0 ? "" : $"{before}FP8LM_COUNTED({text})";

    public static string Number(double number)
    {
        string text = ((float)number).ToString("R", CultureInfo.InvariantCulture);
        return float.IsInfinity((float)number) ? (number > 0 ? "" : "-") + "__int_as_float(0x7f800000)" : text.Contains('.') || text.Contains('E') ? text + "f" : text + ".0f";
    }

    /// <summary>A float as one stored element.</summary>
    public static string Stored(KernelParam param, string value) => param.Type == ElementType.F32 ? value : $"fp8lm::encode<{Type(param.Type)}>({value})";

    public static string Constant(NodeData data)
    {
        if (data.Extent is null && data.Divisor is null)
        {
            return Number(data.Number);
        }

        string value = data.Number.ToString("R", CultureInfo.InvariantCulture);
        value = value.Contains('.') || value.Contains('E') ? value : value + ".0";
        return "(float)(" + value + (data.Extent is null ? "" : " * " + data.Extent.PrintFactor(Symbol)) + (data.Divisor is null ? "" : " / " + data.Divisor.PrintFactor(Symbol)) + ")";
    }

    /// <summary>Element index of an access; <paramref name="column"/> is the column variable.</summary>
    public static string Index(Access access, KernelProgram program, KernelParam? ids, string column)
    {
        bool parameterSpace = program.Space.Rows == RowKind.Parameter;
        bool one = program.Space.Outer.IsOne;
        string outerExtent = program.Space.Outer.PrintFactor(Symbol);
        string token = one || parameterSpace ? "row" : $"(row / {outerExtent})";
        string? outer = parameterSpace ? "row" : one ? null : $"(row % {outerExtent})";
        List<string> terms = [];
        string? start = access.Base switch
        {
            AccessBase.Token => token,
            AccessBase.Gather => $"(long long){ids!.Name}[{token}]",
            AccessBase.Position => $"({token} % Sequence)",
            _ => null,
        };
        if (start is not null)
        {
            terms.Add(access.Pitch.IsOne ? start : $"{start} * {access.Pitch.PrintFactor(Symbol)}");
        }

        if (outer is not null && !access.OuterPitch.Equals(DimExpr.Zero))
        {
            terms.Add(access.OuterPitch.IsOne ? outer : $"{outer} * {access.OuterPitch.PrintFactor(Symbol)}");
        }

        if (!access.Offset.Equals(DimExpr.Zero))
        {
            terms.Add(access.Offset.PrintFactor(Symbol));
        }

        if (access.Column)
        {
            terms.Add(access.Period is null ? column : $"{column} % {access.Period.PrintFactor(Symbol)}");
        }

        return terms.Count == 0 ? "0" : string.Join(" + ", terms);
    }

    public static string Column(PairSwap? swap) => swap is null
        ? "c"
        : $"{(swap.Interleaved ? "neighbour_column" : "pair_column")}(c, {Print(swap.Rotated)}, {Print(swap.Size)})";

    public static string Statement(Statement statement, KernelProgram program)
    {
        switch (statement)
        {
            case LoadStatement load:
                return $"const float {load.Result} = load({load.Param.Name} + {Index(load.Access, program, load.Ids, Column(load.Swap))});";
            case ConstantStatement constant:
                return $"const float {constant.Result} = {Constant(constant.Data)};";
            case OpStatement op:
                string type = OpTable.IsMask(op.Node.Op) ? "bool" : "float";
                return $"const {type} {op.Result} = {OpTable.Text(OpTable.Of(op.Node.Op).Cuda, op.Operands, Number(op.Node.Data.Number))};";
            default:
                return Special((SpecialStatement)statement, program);
        }
    }

    private static string Special(SpecialStatement statement, KernelProgram program) => statement.Node.Op switch
    {
        OpCode.Column => $"const float {statement.Result} = (float)c;",
        OpCode.Position => $"const float {statement.Result} = (float)(row % Sequence);",
        OpCode.LossScale => $"const float {statement.Result} = state->LossScale;",
        OpCode.MasterInverse or OpCode.GradientInverse or OpCode.DynamicLossScale => $"const float {statement.Result} = *{statement.Param!.Name};",
        OpCode.IsLabel => $"const bool {statement.Result} = c == labels[row];",
        OpCode.LabelWeight => $"const float {statement.Result} = labels[row] < 0 ? 0.0f : label_weights[row];",
        _ => $"const float {statement.Result} = dropout_factor(state, {statement.Node.Data.Index.ToString(CultureInfo.InvariantCulture)}u, (unsigned)layer, (unsigned)(row * {program.Space.Columns.PrintFactor(Symbol)} + c), {Number(statement.Node.Data.Number)});",
    };

    /// <summary>Symbols that a kernel's text mentions, for the constants at its top.</summary>
    public static string Constants(KernelProgram program, IReadOnlyList<string> dims, string text, DimExpr vocabulary)
    {
        List<string> used = [.. new[] { "MicroBatch", "Sequence" }.Concat(dims).Where(d => Mentions(text, Symbol(d)) || (Mentions(text, "ChunkRows") && (d is "MicroBatch" or "Sequence" || vocabulary.Symbols.Contains(d))))];
        string lines = string.Concat(used.Select(d => $"constexpr long long {Symbol(d)} = D_{d};\n"));
        return Mentions(text, "ChunkRows") ? lines + $"constexpr long long ChunkRows = chunk_rows(MicroBatch * Sequence, {Print(vocabulary)});\n" : lines;
    }

    private static bool Mentions(string text, string word)
    {
        for (int at = text.IndexOf(word, System.StringComparison.Ordinal); at >= 0; at = text.IndexOf(word, at + 1, System.StringComparison.Ordinal))
        {
            bool left = at == 0 || !(char.IsLetterOrDigit(text[at - 1]) || text[at - 1] == '_');
            int end = at + word.Length;
            bool right = end == text.Length || !(char.IsLetterOrDigit(text[end]) || text[end] == '_');
            if (left && right)
            {
                return true;
            }
        }

        return false;
    }
}
