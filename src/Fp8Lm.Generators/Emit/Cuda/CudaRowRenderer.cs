using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using Fp8Lm.Generators.Ir;
using Fp8Lm.Generators.Kernels;
using Fp8Lm.Generators.Model;

namespace Fp8Lm.Generators.Emit.Cuda;

/// <summary>
/// Row kernels: lanes take packs of adjacent columns; a sweep over the columns per level of reductions, the last one stores. What several
/// sweeps read stays in registers if it fits; what crosses rows goes through stages in shared memory.
/// </summary>
internal sealed class CudaRowRenderer
{
    private readonly SourceWriter w;
    private readonly KernelProgram program;
    private readonly KernelBody body;
    private readonly List<QuantizeOutput> casts;
    private readonly List<QuantizeOutput> transposed;
    private readonly List<SumOutput> sums;
    private readonly List<KernelParam> amaxes;
    private readonly List<KeptLoad> kept;

    /// <param name="Name">Of the variable that holds it.</param>
    /// <param name="Load">The first of the equal loads.</param>
    private sealed record KeptLoad(string Name, LoadStatement Load);

    private CudaRowRenderer(SourceWriter w, KernelProgram program)
    {
        this.w = w;
        this.program = program;
        body = program.Bodies[0];
        casts = [.. body.Final.Outputs.OfType<QuantizeOutput>()];
        transposed = [.. casts.Where(c => c.Transposed is not null)];
        sums = [.. body.Sums];
        // The amax of a current scale was measured by a kernel before this one.
        amaxes = [.. body.Amaxes.Where(a => body.Final.Outputs.Any(o => (o is QuantizeOutput { CurrentScale: false } q && q.Amax == a) || (o is AmaxOutput m && m.Amax == a)))];
        kept = Kept();
    }

    /// <summary>
    /// Reads so many packs at once that two blocks on a multiprocessor leave too few registers. ptxas aims at two blocks by itself and spills; told that one is
    /// enough, it takes what it needs.
    /// </summary>
    private bool IsWide => body.Stages.Any(s => s.Columns.OfType<LoadStatement>().Count(InColumns) > 5);

    /// <summary>Second launch bound. Kernels that turn two copies take more registers than two blocks have where ptxas is left alone with an unrolled sweep.</summary>
    private string LeastBlocks => IsWide ? ", 1" : transposed.Count > 1 ? ", Rows::kResident" : "";

    private bool Staged => transposed.Count + sums.Count > 0;

    public static void Render(SourceWriter w, KernelProgram program) => new CudaRowRenderer(w, program).Write();

    private static string N(int number) => number.ToString(CultureInfo.InvariantCulture);

    private static bool InColumns(LoadStatement load) => load.Access.Column;

    private void Write()
    {
        w.Line($"constexpr long long kRows = {CudaText.Print(program.Rows)};").Line($"constexpr long long kColumns = {CudaText.Print(program.Space.Columns)};");
        w.Line($"constexpr int kWidth = row::pack_width({string.Join(", ", Extents())});");
        if (Staged)
        {
            w.Line("struct Stages").Open();
            for (int i = 0; i < transposed.Count; i++)
            {
                w.Line($"row::TransposeStage<{CudaText.Type(transposed[i].Format)}, kWidth> transpose{N(i)};");
            }

            for (int i = 0; i < sums.Count; i++)
            {
                w.Line($"row::SumStage<kWidth> sum{N(i)};");
            }

            w.Close(";");
        }

        bool splits = Staged && body.Stages.Count == 1;
        w.Line($"using Rows = row::Frame<kColumns, kWidth{(Staged ? ", Stages" + (splits ? ", true" : "") : "")}>;").Line("FP8LM_LAUNCH(Rows);").Line();
        w.Line($"extern \"C\" __global__ void __launch_bounds__(Rows::kThreads{LeastBlocks})").Line($"{program.Name}({CudaText.List(program.Params, CudaText.Declaration)})").Open();
        w.Line("const Rows::Position at(kRows);").Line("const long long row = at.row;");
        for (int i = 0; i < amaxes.Count; i++)
        {
            w.Line($"unsigned amax{N(i)} = 0;");
        }

        for (int i = 0; i < casts.Count; i++)
        {
            w.Line(CudaText.Counted($"CastCounter<{CudaText.Type(casts[i].Format)}> counter{N(i)};"));
        }

        Scales();
        Keep();
        foreach (Stage stage in body.Stages.Take(body.Stages.Count - 1))
        {
            Reduce(stage);
        }

        Finish(body.Final);
        for (int i = 0; i < amaxes.Count; i++)
        {
            w.Line($"row::block_amax({amaxes[i].Name}, amax{N(i)});");
        }

        for (int i = 0; i < casts.Count; i++)
        {
            w.Line(CudaText.Counted($"counter{N(i)}.flush_block<Rows::kThreads>({casts[i].Statistics!.Name}, scale{N(i)});"));
        }

        w.Close();
    }

    /// <summary>Everything that a pack's address is made of.</summary>
    private IEnumerable<string> Extents()
    {
        List<DimExpr> extents = [program.Space.Columns];
        void Add(Access? access)
        {
            if (access is { Column: true })
            {
                extents.AddRange([access.Pitch, access.Offset, access.OuterPitch]);
                if (access.Period is not null)
                {
                    extents.Add(access.Period);
                }
            }
        }

        foreach (LoadStatement load in body.Stages.SelectMany(s => s.Columns).OfType<LoadStatement>())
        {
            // A token's row of another block: the pitch counts whatever the access starts from.
            Add(load.Access.Base == AccessBase.None ? load.Access with { Pitch = DimExpr.Zero } : load.Access);
            if (load.Swap is not null)
            {
                extents.Add(load.Swap.Size);
            }
        }

        foreach (Output output in body.Final.Outputs)
        {
            switch (output)
            {
                case StoreOutput store:
                    Add(store.Access.Base == AccessBase.None ? store.Access with { Pitch = DimExpr.Zero } : store.Access);
                    break;
                case QuantizeOutput cast:
                    Add(cast.RowAccess is { Base: AccessBase.None } access ? access with { Pitch = DimExpr.Zero } : cast.RowAccess);
                    break;
            }
        }

        IEnumerable<string> printed = extents.Where(e => !e.Equals(DimExpr.Zero)).Select(CudaText.Print);
        IEnumerable<string> halves = body.Stages.SelectMany(s => s.Columns).OfType<LoadStatement>().Where(l => l.Swap is { Interleaved: false })
            .Select(l => l.Swap!.Rotated.PrintFactor(CudaText.Symbol) + " / 2");
        return printed.Concat(halves).Distinct();
    }

    private void Scales()
    {
        for (int i = 0; i < casts.Count; i++)
        {
            if (casts[i].CurrentScale)
            {
                string fmax = casts[i].Format == Format.E4M3 ? "448.0f" : "57344.0f";
                w.Line($"const float scale{N(i)} = {(casts[i].KeepsScale ? "state_scale" : "current_scale")}(*{casts[i].Amax!.Name}, {fmax}{(casts[i].KeepsScale ? $", *{casts[i].Scale.Name}" : "")});")
                    .Line($"if (row == 0 && at.leads) {{ *{casts[i].Scale.Name} = scale{N(i)}; *{casts[i].ScaleInverse!.Name} = 1.0f / scale{N(i)}; }}");
            }
            else
            {
                w.Line($"const float scale{N(i)} = *{casts[i].Scale.Name};");
            }
        }
    }

    // ---- Kept loads -------------------------------------------------------------------------------------------------------------------

    private static bool Same(LoadStatement a, LoadStatement b) => a.Param == b.Param && a.Access == b.Access && a.Ids == b.Ids && a.Swap == b.Swap;

    private List<KeptLoad> Kept()
    {
        List<KeptLoad> found = [];
        foreach (LoadStatement load in body.Stages.SelectMany(s => s.Columns).OfType<LoadStatement>().Where(l => InColumns(l) && l.Swap is null))
        {
            if (found.All(k => !Same(k.Load, load)) && body.Stages.Count(s => s.Columns.OfType<LoadStatement>().Any(l => Same(l, load))) > 1)
            {
                found.Add(new KeptLoad("kept" + N(found.Count), load));
            }
        }

        return found;
    }

    /// <summary>All or none: sweeps that keep are unrolled, and unrolled loads of what is not kept would take the same registers.</summary>
    private int KeptBytes => kept.Sum(k => k.Load.Param.Type switch
    {
        ElementType.F32 => 4,
        ElementType.BF16 or ElementType.F16 => 2,
        _ => 1,
    });

    private void Keep()
    {
        if (kept.Count == 0)
        {
            return;
        }

        w.Line().Line($"constexpr bool kKeeps = Rows::kSteps * kWidth * {N(KeptBytes)} <= row::kKeptBytes;");
        foreach (KeptLoad keep in kept)
        {
            w.Line($"row::Kept<{CudaText.Type(keep.Load.Param)}, kWidth, Rows::kSteps, kKeeps> {keep.Name};");
        }

        w.Line("#pragma unroll").Open("for (int step = 0; step < Rows::kSteps; ++step)").Line("const int c0 = at.column(step);").Open("if (Rows::inside(c0))");
        foreach (KeptLoad keep in kept)
        {
            w.Line($"{keep.Name}.fetch(step, {Address(keep.Load)});");
        }

        w.Close().Close();
    }

    // ---- Sweeps -----------------------------------------------------------------------------------------------------------------------

    private void RowStatements(Stage stage)
    {
        foreach (Statement statement in stage.Row)
        {
            w.Line(CudaText.Statement(statement, program));
        }
    }

    private void OpenSweep(string which)
    {
        w.Line($"#pragma unroll Rows::unroll_{which}({(kept.Count > 0 ? "kKeeps" : "false")})").Open("for (int step = 0; step < Rows::kSteps; ++step)").Line("const int c0 = at.column(step);");
    }

    private void Reduce(Stage stage)
    {
        w.Line();
        RowStatements(stage);
        foreach (Reduction reduction in stage.Reductions)
        {
            w.Line($"float {reduction.Result} = {(reduction.Max ? "__int_as_float(0xff800000)" : "0.0f")};");
        }

        OpenSweep("reduction");
        w.Open("if (Rows::inside(c0))");
        Loads(stage);
        OpenElements();
        Elements(stage);
        foreach (Reduction reduction in stage.Reductions)
        {
            w.Line(reduction.Max ? $"{reduction.Result} = max_({reduction.Result}, {reduction.Operand});" : $"{reduction.Result} += {reduction.Operand};");
        }

        w.Close().Close().Close();
        foreach (Reduction reduction in stage.Reductions)
        {
            w.Line($"{reduction.Result} = Rows::{(reduction.Max ? "max" : "sum")}({reduction.Result});");
        }
    }

    private void Finish(Stage final)
    {
        w.Line();
        RowStatements(final);
        foreach (RowOutput output in final.Outputs.OfType<RowOutput>())
        {
            w.Line($"if (at.leads) {output.Param.Name}[{CudaText.Index(output.Access, program, null, "0")}] = {output.Operand};");
        }

        List<Output> outputs = [.. final.Outputs.Where(o => o is not RowOutput)];
        if (outputs.Count == 0)
        {
            return;
        }

        OpenSweep("last");
        List<Output> packed = [.. outputs.Where(o => o is not AmaxOutput)];
        string Pack(Output output) => "out" + N(packed.IndexOf(output));
        foreach (Output output in packed)
        {
            w.Line($"row::Floats<kWidth> {Pack(output)}{(output is SumOutput or QuantizeOutput { Transposed: not null } ? " = {}" : "")};");
        }

        w.Open("if (at.active && Rows::inside(c0))");
        Loads(final);
        foreach (StoreOutput store in packed.OfType<StoreOutput>().Where(s => s.Accumulate))
        {
            w.Line($"const auto old{N(packed.IndexOf(store))} = row::load<kWidth>({store.Param.Name} + {CudaText.Index(store.Access, program, null, "c0")});");
        }

        OpenElements();
        Elements(final);
        foreach (Output output in outputs)
        {
            KernelParam? amax = output is QuantizeOutput { CurrentScale: false } q ? q.Amax : output is AmaxOutput a ? a.Amax : null;
            if (amax is not null)
            {
                string running = "amax" + N(amaxes.IndexOf(amax));
                w.Line($"{running} = amax_bits({running}, {output.Operand});");
            }

            string? value = output switch
            {
                StoreOutput { Accumulate: true } => $"old{N(packed.IndexOf(output))}[e] + {output.Operand}",
                QuantizeOutput cast => $"{output.Operand} * scale{N(casts.IndexOf(cast))}",
                AmaxOutput => null,
                _ => output.Operand,
            };
            if (value is not null)
            {
                w.Line($"{Pack(output)}[e] = {value};");
            }

            if (output is QuantizeOutput counted)
            {
                w.Line(CudaText.Counted($"counter{N(casts.IndexOf(counted))}.add({output.Operand}, scale{N(casts.IndexOf(counted))});"));
            }
        }

        w.Close();
        foreach (Output output in packed)
        {
            (KernelParam? param, Access? access) = output switch
            {
                StoreOutput store => (store.Param, store.Access),
                QuantizeOutput { Row: not null } cast => (cast.Row, cast.RowAccess),
                _ => (null, null),
            };
            if (param is not null)
            {
                w.Line($"row::store({param.Name} + {CudaText.Index(access!, program, null, "c0")}, {Pack(output)});");
            }
        }

        w.Close();
        if (Staged)
        {
            Flush(Pack);
        }

        w.Close();
    }

    /// <summary>What crosses rows: into shared memory, a barrier, and out of it.</summary>
    private void Flush(System.Func<Output, string> pack)
    {
        w.Line("Stages& stages = Rows::stages(step);");
        for (int i = 0; i < transposed.Count; i++)
        {
            w.Line($"stages.transpose{N(i)}.put(at.lane, at.in_block, {pack(transposed[i])});");
        }

        for (int i = 0; i < sums.Count; i++)
        {
            w.Line($"stages.sum{N(i)}.put(at.lane, at.in_block, {pack(sums[i])});");
        }

        w.Line("__syncthreads();").Line("const int first = at.first + step * Rows::kStepColumns;");
        string Offset(DimExpr offset) => offset.Equals(DimExpr.Zero) ? "" : " + " + offset.PrintFactor(CudaText.Symbol);
        for (int i = 0; i < transposed.Count; i++)
        {
            w.Line($"stages.transpose{N(i)}.flush({transposed[i].Transposed!.Name}{Offset(transposed[i].TransposedOffset!)}, {CudaText.Print(transposed[i].TransposedPitch!)}, kColumns, at.slab, first);");
        }

        for (int i = 0; i < sums.Count; i++)
        {
            w.Line($"stages.sum{N(i)}.flush({sums[i].Partial.Name}{Offset(sums[i].Offset)}, {CudaText.Print(sums[i].Pitch)}, kColumns, at.slab, first);");
        }
    }

    // ---- Packs ------------------------------------------------------------------------------------------------------------------------

    private string Address(LoadStatement load) => $"{load.Param.Name} + {CudaText.Index(load.Access, program, load.Ids, "c0")}";

    private void Loads(Stage stage)
    {
        foreach (LoadStatement load in stage.Columns.OfType<LoadStatement>().Where(InColumns))
        {
            w.Line($"const auto {load.Result}_pack = {Pack(load)};");
        }
    }

    private string Pack(LoadStatement load)
    {
        if (load.Swap is { } swap)
        {
            string start = $"{load.Param.Name} + {CudaText.Index(load.Access with { Column = false }, program, load.Ids, "0")}";
            return $"row::load_{(swap.Interleaved ? "neighbours" : "halves")}<kWidth>({start}, c0, {CudaText.Print(swap.Rotated)}, {CudaText.Print(swap.Size)})";
        }

        return kept.FirstOrDefault(k => Same(k.Load, load)) is { } keep ? $"{keep.Name}.get(step, {Address(load)})" : $"row::load<kWidth>({Address(load)})";
    }

    private void OpenElements() => w.Line("#pragma unroll").Open("for (int e = 0; e < kWidth; ++e)");

    private void Elements(Stage stage)
    {
        if (stage.Columns.Any(c => c is SpecialStatement))
        {
            w.Line("const int c = c0 + e;");
        }

        foreach (Statement statement in stage.Columns)
        {
            w.Line(statement is LoadStatement load && InColumns(load) ? $"const float {load.Result} = {load.Result}_pack[e];" : CudaText.Statement(statement, program));
        }
    }
}
