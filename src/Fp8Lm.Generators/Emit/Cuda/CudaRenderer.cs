using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using Fp8Lm.Generators.Ir;
using Fp8Lm.Generators.Kernels;
using Fp8Lm.Generators.Model;

namespace Fp8Lm.Generators.Emit.Cuda;

/// <summary>Kernel programs -> CUDA C++ over the device library, one extern "C" kernel per text.</summary>
internal static class CudaRenderer
{
    public static string Render(KernelProgram program, IReadOnlyList<string> dims, DimExpr vocabulary, string recipe)
    {
        SourceWriter body = new();
        string include;
        if (program.Group.IsLibrary)
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
        Epilogue(w, program, program.Bodies[0], "Epilogue");
        bool f32 = gemm.A.Format == Format.F32;
        string Flag(bool value) => value ? "true" : "false";
        w.Line(f32
            ? $"using Config = gemm::ConfigF32<{Flag(gemm.A.KMajor)}, {Flag(gemm.B.KMajor)}>;"
            : $"using Config = gemm::Config<{CudaText.Type(gemm.A.Format)}, {CudaText.Type(gemm.B.Format)}, {Flag(gemm.A.KMajor)}, {Flag(gemm.B.KMajor)}, {Flag(gemm.Promote)}>;");
        w.Line("FP8LM_LAUNCH(Config);").Line();
        List<string> parameters = [];
        foreach (KernelParam param in program.Params)
        {
            parameters.Add(param.Operand && !f32 ? $"const __grid_constant__ TensorMap {param.Name}" : CudaText.Declaration(param));
        }

        w.Line($"extern \"C\" __global__ void __launch_bounds__(Config::kThreads{(f32 ? "" : ", 1")})").Line($"{program.Name}({string.Join(", ", parameters)})").Open();
        Instance(w, program, "Epilogue", "epilogue");
        string shape = $"{CudaText.Print(gemm.M)}, {CudaText.Print(gemm.N)}, {CudaText.Print(gemm.K)}";
        w.Line(f32
            ? $"gemm::run_f32<Config>(a, {CudaText.Print(gemm.A.Pitch)}, b, {CudaText.Print(gemm.B.Pitch)}, {shape}, epilogue);"
            : $"gemm::run<Config>(a, b, {shape}, epilogue);");
        w.Close();
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
            Epilogue(w, program, program.Bodies[i], names[i]);
        }

        string window = attention.Window is null ? "0" : CudaText.Print(attention.Window);
        w.Line($"using Shape = attention::Shape<{CudaText.Type(attention.Format)}, {CudaText.Print(attention.HeadSize)}, {CudaText.Print(attention.QueryHeads)}, {CudaText.Print(attention.KeyValueHeads)}, MicroBatch, Sequence, {window}>;");
        w.Line($"using Kernel = attention::{kind}<Shape>;");
        w.Line("FP8LM_LAUNCH(Kernel);").Line();
        w.Line("extern \"C\" __global__ void __launch_bounds__(Kernel::kThreads, 1)").Line($"{program.Name}({string.Join(", ", program.Params.Select(CudaText.Declaration))})").Open();
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
        (string include, string type) = program.Group.Anchor!.Op switch
        {
            OpCode.EmbedGradient => ("embed/embedding_gradient.cuh", "embed::EmbeddingGradient"),
            OpCode.PositionGradient => ("embed/position_gradient.cuh", "embed::PositionGradient"),
            _ => ("reduce/column_sum.cuh", "reduce::ColumnSumFinish"),
        };
        Wrapper(w, program.Name, type, program.Params);
        return include;
    }

    public static void Wrapper(SourceWriter w, string name, string type, IReadOnlyList<KernelParam> parameters)
    {
        w.Line($"FP8LM_LAUNCH({type});").Line();
        w.Line($"extern \"C\" __global__ void __launch_bounds__({type}::kThreads, 1)").Line($"{name}({string.Join(", ", parameters.Select(CudaText.Declaration))})").Open();
        w.Line($"{type}::run({string.Join(", ", parameters.Select(p => p.Name))});").Close();
    }

    private static IEnumerable<KernelParam> Fields(KernelProgram program) => program.Params.Where(p => !p.Operand);

    private static void Instance(SourceWriter w, KernelProgram program, string type, string name)
    {
        w.Line($"{type} {name}{{{string.Join(", ", Fields(program).Select(p => p.Name))}}};").Line($"{name}.begin();");
    }

    /// <summary>The struct that turns accumulators into what the graph stores.</summary>
    private static void Epilogue(SourceWriter w, KernelProgram program, KernelBody body, string name)
    {
        List<SumOutput> sums = [.. body.Sums];
        List<KernelParam> amaxes = [.. body.Amaxes];
        List<QuantizeOutput> casts = [.. body.Final.Outputs.OfType<QuantizeOutput>()];
        string sumType = $"float (&sums)[{Math.Max(1, 2 * sums.Count).ToString(CultureInfo.InvariantCulture)}]";
        w.Line($"struct {name}").Open().Line($"static constexpr int kSums = {sums.Count.ToString(CultureInfo.InvariantCulture)};");
        foreach (KernelParam param in Fields(program))
        {
            w.Line(CudaText.Declaration(param) + ";");
        }

        if (program.Alphas.Count > 0)
        {
            w.Line("float alpha = 1.0f;");
        }

        for (int i = 0; i < casts.Count; i++)
        {
            w.Line($"float scale{i.ToString(CultureInfo.InvariantCulture)} = 1.0f;");
        }

        for (int i = 0; i < amaxes.Count; i++)
        {
            w.Line($"unsigned amax{i.ToString(CultureInfo.InvariantCulture)} = 0;");
        }

        w.Line().Open("__device__ void begin()");
        if (program.Alphas.Count > 0)
        {
            w.Line($"alpha = {string.Join(" * ", program.Alphas.Select(p => "*" + p.Name))};");
        }

        for (int i = 0; i < casts.Count; i++)
        {
            w.Line($"scale{i.ToString(CultureInfo.InvariantCulture)} = *{casts[i].Scale.Name};");
        }

        w.Close().Line().Line($"__device__ void apply(int row_index, int col, float acc0, float acc1, {sumType})").Open();
        w.Line("const long long row = row_index;");
        foreach (Statement statement in body.Final.Row)
        {
            w.Line(CudaText.Statement(statement, program));
        }

        List<Statement> columns = [.. body.Final.Columns];
        foreach (LoadStatement load in columns.OfType<LoadStatement>().Where(Paired))
        {
            w.Line($"const float2 {load.Result}_pair = load2({load.Param.Name} + {CudaText.Index(load.Access, program, load.Ids, "col")});");
        }

        List<(Output Output, string Array)> arrays = [.. body.Final.Outputs.Where(o => o is StoreOutput or QuantizeOutput).Select((o, i) => (o, "out" + i.ToString(CultureInfo.InvariantCulture)))];
        foreach ((_, string array) in arrays)
        {
            w.Line($"float {array}[2];");
        }

        w.Line("#pragma unroll").Open("for (int e = 0; e < 2; ++e)").Line($"const float acc = {(program.Alphas.Count > 0 ? "(e == 0 ? acc0 : acc1) * alpha" : "e == 0 ? acc0 : acc1")};");
        if (columns.Any(c => c is SpecialStatement || (c is LoadStatement l && !Paired(l))))
        {
            w.Line("const long long c = col + e;");
        }

        foreach (Statement statement in columns)
        {
            w.Line(statement is LoadStatement load && Paired(load) ? $"const float {load.Result} = e == 0 ? {load.Result}_pair.x : {load.Result}_pair.y;" : CudaText.Statement(statement, program));
        }

        foreach ((Output output, string array) in arrays)
        {
            w.Line($"{array}[e] = {output.Operand};");
        }

        for (int i = 0; i < sums.Count; i++)
        {
            w.Line($"sums[{(2 * i).ToString(CultureInfo.InvariantCulture)} + e] += {sums[i].Operand};");
        }

        foreach (Output output in body.Final.Outputs)
        {
            KernelParam? amax = output is QuantizeOutput { CurrentScale: false } q ? q.Amax : output is AmaxOutput a ? a.Amax : null;
            if (amax is not null)
            {
                string running = "amax" + amaxes.IndexOf(amax).ToString(CultureInfo.InvariantCulture);
                w.Line($"{running} = amax_bits({running}, {output.Operand});");
            }
        }

        w.Close();
        foreach ((Output output, string array) in arrays)
        {
            switch (output)
            {
                case StoreOutput { Accumulate: true } store:
                    string index = CudaText.Index(store.Access, program, null, "col");
                    w.Line($"const float2 old = load2({store.Param.Name} + {index});").Line($"store2({store.Param.Name} + {index}, old.x + {array}[0], old.y + {array}[1]);");
                    break;
                case StoreOutput store:
                    w.Line($"store2({store.Param.Name} + {CudaText.Index(store.Access, program, null, "col")}, {array}[0], {array}[1]);");
                    break;
                case QuantizeOutput cast:
                    string scale = "scale" + casts.IndexOf(cast).ToString(CultureInfo.InvariantCulture);
                    if (cast.Row is not null)
                    {
                        w.Line($"store2({cast.Row.Name} + {CudaText.Index(cast.RowAccess!, program, null, "col")}, {array}[0] * {scale}, {array}[1] * {scale});");
                    }

                    if (cast.Transposed is not null)
                    {
                        string offset = cast.TransposedOffset!.Equals(DimExpr.Zero) ? "" : " + " + cast.TransposedOffset.PrintFactor(CudaText.Symbol);
                        w.Line($"epilogue::store_transposed2({cast.Transposed.Name}{offset}, {CudaText.Print(cast.TransposedPitch!)}, row_index, col, {array}[0] * {scale}, {array}[1] * {scale});");
                    }

                    break;
            }
        }

        w.Close().Line().Line($"__device__ void store_sums(int slab, int col, const {sumType})").Open();
        for (int i = 0; i < sums.Count; i++)
        {
            string offset = sums[i].Offset.Equals(DimExpr.Zero) ? "" : sums[i].Offset.PrintFactor(CudaText.Symbol) + " + ";
            w.Line($"store2({sums[i].Partial.Name} + {offset}(long long)slab * {sums[i].Pitch.PrintFactor(CudaText.Symbol)} + col, sums[{(2 * i).ToString(CultureInfo.InvariantCulture)}], sums[{((2 * i) + 1).ToString(CultureInfo.InvariantCulture)}]);");
        }

        w.Close().Line().Open("__device__ void finish()");
        for (int i = 0; i < amaxes.Count; i++)
        {
            w.Line($"atomic_amax({amaxes[i].Name}, amax{i.ToString(CultureInfo.InvariantCulture)});");
        }

        w.Close().Close(";").Line();
    }

    private static bool Paired(LoadStatement load) => load.Access.Column && load.Access.Period is null && load.Swap is null && load.Ids is null;
}
