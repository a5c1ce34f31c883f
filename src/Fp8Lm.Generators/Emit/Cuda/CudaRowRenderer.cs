using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using Fp8Lm.Generators.Kernels;
using Fp8Lm.Generators.Model;

namespace Fp8Lm.Generators.Emit.Cuda;

/// <summary>Row kernels: sixteen warps, a row each; a sweep over the columns per level of reductions, the last one stores.</summary>
internal static class CudaRowRenderer
{
    public static void Render(SourceWriter w, KernelProgram program)
    {
        KernelBody body = program.Bodies[0];
        Stage final = body.Final;
        List<QuantizeOutput> casts = [.. final.Outputs.OfType<QuantizeOutput>()];
        List<QuantizeOutput> transposed = [.. casts.Where(c => c.Transposed is not null)];
        List<SumOutput> sums = [.. body.Sums];
        List<KernelParam> amaxes = [.. body.Amaxes];
        w.Line("extern \"C\" __global__ void __launch_bounds__(row::kThreads)").Line($"{program.Name}({string.Join(", ", program.Params.Select(CudaText.Declaration))})").Open();
        w.Line($"constexpr long long kRows = {CudaText.Print(program.Rows)};").Line($"constexpr long long kColumns = {CudaText.Print(program.Space.Columns)};");
        for (int i = 0; i < transposed.Count; i++)
        {
            w.Line($"__shared__ row::TransposeStage<{CudaText.Type(transposed[i].Format)}> transpose{N(i)};");
        }

        for (int i = 0; i < sums.Count; i++)
        {
            w.Line($"__shared__ row::SumStage sum{N(i)};");
        }

        w.Line("const row::Position at(kRows);").Line("const long long row = at.active ? at.row : 0;");
        for (int i = 0; i < amaxes.Count; i++)
        {
            w.Line($"unsigned amax{N(i)} = 0;");
        }

        for (int i = 0; i < casts.Count; i++)
        {
            if (casts[i].CurrentScale)
            {
                string fmax = casts[i].Format == Format.E4M3 ? "448.0f" : "57344.0f";
                w.Line($"const float scale{N(i)} = current_scale(*{casts[i].Amax.Name}, {fmax});")
                    .Line($"if (row == 0 && at.lane == 0) {{ *{casts[i].Scale.Name} = scale{N(i)}; *{casts[i].ScaleInverse!.Name} = 1.0f / scale{N(i)}; }}");
            }
            else
            {
                w.Line($"const float scale{N(i)} = *{casts[i].Scale.Name};");
            }
        }

        foreach (Stage stage in body.Stages.Take(body.Stages.Count - 1))
        {
            Reduce(w, program, stage);
        }

        w.Line();
        if (transposed.Count + sums.Count > 0)
        {
            Staged(w, program, final, casts, transposed, sums, amaxes);
        }
        else
        {
            Direct(w, program, final, casts, amaxes);
        }

        for (int i = 0; i < amaxes.Count; i++)
        {
            if (!casts.Any(c => c.CurrentScale && c.Amax == amaxes[i]))
            {
                w.Line($"atomic_amax({amaxes[i].Name}, amax{N(i)});");
            }
        }

        w.Close();
    }

    private static string N(int number) => number.ToString(CultureInfo.InvariantCulture);

    private static void RowStatements(SourceWriter w, KernelProgram program, Stage stage)
    {
        foreach (Statement statement in stage.Row)
        {
            // Rows past the end read row zero's data and store nothing.
            w.Line(CudaText.Statement(statement, program));
        }
    }

    private static void Reduce(SourceWriter w, KernelProgram program, Stage stage)
    {
        w.Line();
        RowStatements(w, program, stage);
        foreach (Reduction reduction in stage.Reductions)
        {
            w.Line($"float {reduction.Result} = {(reduction.Max ? "__int_as_float(0xff800000)" : "0.0f")};");
        }

        w.Open("for (long long c = at.lane; c < kColumns; c += 32)");
        foreach (Statement statement in stage.Columns)
        {
            w.Line(CudaText.Statement(statement, program));
        }

        foreach (Reduction reduction in stage.Reductions)
        {
            w.Line(reduction.Max ? $"{reduction.Result} = max_({reduction.Result}, {reduction.Operand});" : $"{reduction.Result} += {reduction.Operand};");
        }

        w.Close();
        foreach (Reduction reduction in stage.Reductions)
        {
            w.Line($"{reduction.Result} = {(reduction.Max ? "warp_max" : "warp_sum")}({reduction.Result});");
        }
    }

    private static void Direct(SourceWriter w, KernelProgram program, Stage final, List<QuantizeOutput> casts, List<KernelParam> amaxes)
    {
        RowStatements(w, program, final);
        RowOutputs(w, program, final);
        if (final.Outputs.All(o => o is RowOutput))
        {
            return;
        }

        w.Open("if (at.active)").Open("for (long long c = at.lane; c < kColumns; c += 32)");
        foreach (Statement statement in final.Columns)
        {
            w.Line(CudaText.Statement(statement, program));
        }

        Stores(w, program, final, casts, amaxes);
        w.Close().Close();
    }

    private static void Staged(
        SourceWriter w, KernelProgram program, Stage final, List<QuantizeOutput> casts, List<QuantizeOutput> transposed, List<SumOutput> sums, List<KernelParam> amaxes)
    {
        RowStatements(w, program, final);
        RowOutputs(w, program, final);
        w.Open("for (long long chunk = 0; chunk < kColumns; chunk += row::kChunk)").Open("for (int i = at.lane; i < row::kChunk; i += 32)");
        w.Line("const long long c = chunk + i;");
        for (int i = 0; i < transposed.Count; i++)
        {
            w.Line($"float t{N(i)}_staged = 0.0f;");
        }

        for (int i = 0; i < sums.Count; i++)
        {
            w.Line($"float s{N(i)}_staged = 0.0f;");
        }

        w.Open("if (at.active && c < kColumns)");
        foreach (Statement statement in final.Columns)
        {
            w.Line(CudaText.Statement(statement, program));
        }

        Stores(w, program, final, casts, amaxes);
        for (int i = 0; i < transposed.Count; i++)
        {
            w.Line($"t{N(i)}_staged = {transposed[i].Operand} * scale{N(casts.IndexOf(transposed[i]))};");
        }

        for (int i = 0; i < sums.Count; i++)
        {
            w.Line($"s{N(i)}_staged = {sums[i].Operand};");
        }

        w.Close();
        for (int i = 0; i < transposed.Count; i++)
        {
            w.Line($"transpose{N(i)}.put(i, at.warp, t{N(i)}_staged);");
        }

        for (int i = 0; i < sums.Count; i++)
        {
            w.Line($"sum{N(i)}.put(i, at.warp, s{N(i)}_staged);");
        }

        w.Close().Line("__syncthreads();");
        for (int i = 0; i < transposed.Count; i++)
        {
            string offset = transposed[i].TransposedOffset!.Equals(DimExpr.Zero) ? "" : " + " + transposed[i].TransposedOffset!.PrintFactor(CudaText.Symbol);
            w.Line($"transpose{N(i)}.flush({transposed[i].Transposed!.Name}{offset}, {CudaText.Print(transposed[i].TransposedPitch!)}, kColumns, at.slab, chunk);");
        }

        for (int i = 0; i < sums.Count; i++)
        {
            string offset = sums[i].Offset.Equals(DimExpr.Zero) ? "" : " + " + sums[i].Offset.PrintFactor(CudaText.Symbol);
            w.Line($"sum{N(i)}.flush({sums[i].Partial.Name}{offset}, {CudaText.Print(sums[i].Pitch)}, kColumns, at.slab, chunk);");
        }

        w.Line("__syncthreads();").Close();
    }

    private static void RowOutputs(SourceWriter w, KernelProgram program, Stage final)
    {
        foreach (RowOutput output in final.Outputs.OfType<RowOutput>())
        {
            w.Line($"if (at.active && at.lane == 0) {output.Param.Name}[{CudaText.Index(output.Access, program, null, "0")}] = {output.Operand};");
        }
    }

    private static void Stores(SourceWriter w, KernelProgram program, Stage final, List<QuantizeOutput> casts, List<KernelParam> amaxes)
    {
        foreach (Output output in final.Outputs)
        {
            switch (output)
            {
                case StoreOutput store:
                    string index = CudaText.Index(store.Access, program, null, "c");
                    string value = store.Accumulate ? $"load({store.Param.Name} + {index}) + {store.Operand}" : store.Operand;
                    w.Line($"store({store.Param.Name} + {index}, {value});");
                    break;
                case QuantizeOutput cast:
                    if (cast.Row is not null)
                    {
                        w.Line($"store({cast.Row.Name} + {CudaText.Index(cast.RowAccess!, program, null, "c")}, {cast.Operand} * scale{N(casts.IndexOf(cast))});");
                    }

                    if (!cast.CurrentScale)
                    {
                        Amax(w, amaxes, cast.Amax, cast.Operand);
                    }

                    break;
                case AmaxOutput amax:
                    Amax(w, amaxes, amax.Amax, amax.Operand);
                    break;
            }
        }
    }

    private static void Amax(SourceWriter w, List<KernelParam> amaxes, KernelParam slot, string operand)
    {
        string running = "amax" + N(amaxes.IndexOf(slot));
        w.Line($"{running} = amax_bits({running}, {operand});");
    }
}
