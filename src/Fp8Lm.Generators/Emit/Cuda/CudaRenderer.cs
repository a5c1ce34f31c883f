using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Generators.Ir;
using Fp8Lm.Generators.Kernels;
using Fp8Lm.Generators.Model;

namespace Fp8Lm.Generators.Emit.Cuda;

/// <summary>Kernel programs -> CUDA C++ over the device library, one extern "C" kernel per text.</summary>
internal static class CudaRenderer
{
    /// <summary>First statement of every kernel but those with an epilogue, which begin inside the library (<c>fp8lm/common/begin_grid.cuh</c>).</summary>
    public const string BeginGrid = "begin_grid();";

    public static string Render(KernelProgram program, IReadOnlyList<string> dims, DimExpr vocabulary, string recipe)
    {
        SourceWriter body = new();
        string include;
        if (program.Cast is not null)
        {
            include = "cast/grouped.cuh";
            GroupedCast(body, program, program.Cast);
        }
        else if (program.Group.IsLibrary)
        {
            include = Library(body, program);
        }
        else if (program.Gemm is not null)
        {
            include = "gemm/gemm.cuh";
            Gemm(body, program);
        }
        else if (program.Attention is not null)
        {
            include = "attention/attention.cuh";
            Attention(body, program);
        }
        else
        {
            include = "row/row.cuh";
            CudaRowRenderer.Render(body, program);
        }

        string text = body.ToString();
        SourceWriter source = new();
        source.Line($"// {program.Name} ({recipe})");
        foreach (string line in program.Comment)
        {
            source.Line("//   " + line);
        }

        source.Line($"#include <fp8lm/{include}>");
        if (text.Contains("dropout_factor"))
        {
            source.Line("#include <fp8lm/common/dropout.cuh>");
        }

        if (text.Contains("current_scale("))
        {
            source.Line("#include <fp8lm/common/current_scale.cuh>");
        }

        if (text.Contains("state_scale("))
        {
            source.Line("#include <fp8lm/common/state_scale.cuh>");
        }

        string constants = CudaText.Constants(program, dims, text, vocabulary);
        if (constants.Contains("chunk_rows"))
        {
            source.Line("#include <fp8lm/common/chunk_rows.cuh>");
        }

        if (text.Contains("pair_column(") || text.Contains("neighbour_column("))
        {
            source.Line("#include <fp8lm/common/pair_column.cuh>");
        }

        source.Line("using namespace fp8lm;").Line();
        if (constants.Length > 0)
        {
            source.Lines(constants).Line();
        }

        return source.Lines(text).ToString();
    }

    private static void Gemm(SourceWriter w, KernelProgram program)
    {
        GemmProgram gemm = program.Gemm!;
        CudaEpilogue.Render(w, program, program.Bodies[0], "Epilogue");
        bool f32 = gemm.A.Format == Format.F32;
        string shape = $"{CudaText.Print(gemm.M)}, {CudaText.Print(gemm.N)}, {CudaText.Print(gemm.K)}";
        GroupScales? scales = gemm.Scales is { PerBlock: true } ? gemm.Scales : null;
        string perBlock = scales is null ? "" : $", gemm::BlockScales::{(scales.Squares is null ? "Rows" : "Squares")}";
        w.Line(f32
            ? $"using Config = gemm::ConfigF32<{Flag(gemm.A.KMajor)}, {Flag(gemm.B.KMajor)}>;"
            : $"using Config = gemm::Config<{CudaText.Type(gemm.A.Format)}, {CudaText.Type(gemm.B.Format)}, {Flag(gemm.A.KMajor)}, {Flag(gemm.B.KMajor)}, {Flag(gemm.Promote)}, {shape}, Epilogue{perBlock}>;");
        w.Line("FP8LM_LAUNCH(Config);").Line();
        static string Parameter(KernelParam param) => param.Operand && param.Type != ElementType.F32 ? $"const __grid_constant__ TensorMap {param.Name}" : CudaText.Declaration(param);
        w.Line($"extern \"C\" __global__ void __launch_bounds__(Config::kThreads{(f32 ? "" : ", 1")})").Line($"{program.Name}({CudaText.List(program.Params, Parameter)})").Open();
        Instance(w, program, "Epilogue", "epilogue");
        w.Line(f32
            ? $"gemm::run_f32<Config>(a, {CudaText.Print(gemm.A.Pitch)}, b, {CudaText.Print(gemm.B.Pitch)}, {shape}, epilogue);"
            : scales is null ? "gemm::run<Config>(a, b, epilogue);"
            : $"gemm::run<Config>(a, b, gemm::ScaleAddresses{{a_scales, b_scales{Steps(scales.Squares)}}}, epilogue);");
        w.Close();
    }

    private static string Flag(bool value) => value ? "true" : "false";

    /// <summary>From one square to the next along N and along K.</summary>
    private static string Steps(WeightSquares? squares)
    {
        if (squares is null)
        {
            return "";
        }

        string across = $"(int)ceil_div({CudaText.Print(squares.Columns)}, 128ll)";
        return squares.Transposed ? $", 1, {across}" : $", {across}, 1";
    }

    /// <summary>A kernel that casts with scales per row or block, or measures for one.</summary>
    private static void GroupedCast(SourceWriter w, KernelProgram program, GroupedCastProgram cast)
    {
        string Print(DimExpr dim) => CudaText.Print(dim);
        string aligned = $"whole_octets({string.Join(", ", new[] { program.Space.Columns, cast.Pitch, cast.Offset }.Where(d => !d.Equals(DimExpr.Zero)).Select(Print).Distinct())})";
        w.Line($"using Source = cast::Source<{CudaText.Type(cast.Source)}, {Print(program.Rows)}, {Print(program.Space.Columns)}, {Print(cast.Pitch)}, {aligned}>;");
        w.Line(cast.Format is { } format
            ? $"using Kernel = cast::GroupedCast<Source, {CudaText.Type(format)}, cast::Groups::{cast.Granularity}, {Flag(cast.PowerOfTwo)}>;"
            : "using Kernel = cast::GroupAmax<Source>;");
        w.Line("FP8LM_LAUNCH(Kernel);").Line();
        w.Line("extern \"C\" __global__ void __launch_bounds__(Kernel::kThreads)").Line($"{program.Name}({CudaText.List(program.Params, CudaText.Declaration)})").Open();
        w.Line(BeginGrid).Line($"Kernel::run({string.Join(", ", cast.Arguments.Select(a => a?.Name ?? "nullptr"))}{CudaText.Counted(string.Concat(program.Params.Where(p => p.Counts).Select(p => ", " + p.Name)), " ")});").Close();
    }

    private static void Attention(SourceWriter w, KernelProgram program)
    {
        AttentionProgram attention = program.Attention!;
        OpCode op = program.Group.Anchor!.Op;
        string kind = op switch
        {
            OpCode.Attention => "Forward",
            OpCode.AttentionGradKeyValue => "BackwardKeyValue",
            _ => "BackwardQuery",
        };
        string[] names = op == OpCode.AttentionGradKeyValue ? ["EpilogueKey", "EpilogueValue"] : ["Epilogue"];
        for (int i = 0; i < names.Length; i++)
        {
            CudaEpilogue.Render(w, program, program.Bodies[i], names[i]);
        }

        string window = attention.Window is null ? "0" : CudaText.Print(attention.Window);
        w.Line($"using Shape = attention::Shape<{CudaText.Type(attention.Format)}, {CudaText.Print(attention.HeadSize)}, {CudaText.Print(attention.QueryHeads)}, {CudaText.Print(attention.KeyValueHeads)}, MicroBatch, Sequence, {window}>;");
        w.Line($"using Kernel = attention::{kind}<Shape>;");
        w.Line("FP8LM_LAUNCH(Kernel);").Line();
        w.Line("extern \"C\" __global__ void __launch_bounds__(Kernel::kThreads, 1)").Line($"{program.Name}({CudaText.List(program.Params, CudaText.Declaration)})").Open();
        string[] locals = [.. names.Select(n => n.Substring(8).ToLowerInvariant() is { Length: > 0 } s ? "d_" + s : "epilogue")];
        for (int i = 0; i < names.Length; i++)
        {
            Instance(w, program, names[i], locals[i]);
        }

        string scale = attention.Scale != 0 ? CudaText.Number(attention.Scale) : $"rsqrt_((float)({CudaText.Print(attention.HeadSize)}))";
        string operands = string.Join(", ", program.Params.Where(p => p.Operand).Select((p, i) => p.Name is "lse" or "delta" ? p.Name : $"{p.Name}, {CudaText.Print(attention.Pitches[i])}"));
        w.Line($"Kernel::run({operands}, {scale}, {string.Join(", ", locals)});").Close();
    }

    /// <summary>Device-library kernels without epilogue: a thin wrapper.</summary>
    private static string Library(SourceWriter w, KernelProgram program)
    {
        if (program.ColumnSums.Count > 0)
        {
            ColumnSums(w, program);
            return "reduce/column_sum.cuh";
        }

        (string include, string type) = program.Group.Anchor!.Op switch
        {
            OpCode.EmbedGradient => ("embed/embedding_gradient.cuh", "embed::EmbeddingGradient"),
            _ => ("embed/position_gradient.cuh", "embed::PositionGradient"),
        };
        Wrapper(w, program.Name, type, program.Params);
        return include;
    }

    /// <summary>Blocks of a row of the grid have one of the sums.</summary>
    private static void ColumnSums(SourceWriter w, KernelProgram program)
    {
        string Sum(int i) => "{" + string.Join(", ", program.Params.Skip(4 * i).Take(4).Select(p => p.Name)) + "}";
        Open(w, program.Name, "reduce::ColumnSumFinish", program.Params);
        w.Line($"reduce::ColumnSum sum = {Sum(0)};");
        for (int i = 1; i < program.ColumnSums.Count; i++)
        {
            w.Line($"if (blockIdx.y == {i.ToString(System.Globalization.CultureInfo.InvariantCulture)}) sum = {Sum(i)};");
        }

        w.Line("reduce::ColumnSumFinish::run(sum);").Close();
    }

    private static void Open(SourceWriter w, string name, string type, IReadOnlyList<KernelParam> parameters)
    {
        w.Line($"FP8LM_LAUNCH({type});").Line();
        w.Line($"extern \"C\" __global__ void __launch_bounds__({type}::kThreads, {type}::kLeastBlocks)").Line($"{name}({CudaText.List(parameters, CudaText.Declaration)})").Open();
        w.Line(BeginGrid);
    }

    public static void Wrapper(SourceWriter w, string name, string type, IReadOnlyList<KernelParam> parameters)
    {
        Open(w, name, type, parameters);
        w.Line($"{type}::run({CudaText.List(parameters, p => p.Name)});").Close();
    }

    private static void Instance(SourceWriter w, KernelProgram program, string type, string name)
    {
        w.Line($"{type} {name}{{{CudaText.List(CudaEpilogue.Fields(program), p => p.Name)}}};");
    }
}
