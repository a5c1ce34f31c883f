using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Generators.Ir;
using Fp8Lm.Generators.Kernels;
using Fp8Lm.Generators.Model;

namespace Fp8Lm.Generators.Emit.Cuda;

/// <summary>
/// Row kernels whose values cross rows (column sums, transposed FP8 copies): lanes own columns and walk down the rows in batches. What they read of a
/// row is asked for a batch or two ahead, what all rows read alike stays in registers.
/// </summary>
internal sealed class CudaSlabRenderer : CudaRowText
{
    private readonly List<QuantizeOutput> transposed;
    private readonly List<SumOutput> sums;

    /// <summary>Distinct loads that differ from row to row, as they are asked for ahead.</summary>
    private readonly List<LoadStatement> ahead = [];

    /// <summary>Distinct loads of the last sweep alone, where reductions come before it.</summary>
    private readonly List<LoadStatement> early = [];

    /// <summary>Distinct loads that every row reads alike.</summary>
    private readonly List<LoadStatement> held = [];

    private CudaSlabRenderer(SourceWriter w, KernelProgram program)
        : base(w, program)
    {
        transposed = [.. Casts.Where(c => c.Transposed is not null)];
        sums = [.. Body.Sums];
        foreach (LoadStatement load in PackLoads.Where(l => l.Swap is null))
        {
            List<LoadStatement> kind = IsOfColumn(load) ? held : Body.Stages.Count == 1 || IsReducedOver(load) ? ahead : early;
            if (kind.All(l => !Same(l, load)))
            {
                kind.Add(load);
            }
        }
    }

    private IEnumerable<Stage> Reducing => Body.Stages.Take(Body.Stages.Count - 1);

    /// <summary>Whether its address is the same in all rows.</summary>
    private bool IsOfColumn(LoadStatement load) => load.Access.Base == AccessBase.None
        && (load.Access.OuterPitch.Equals(DimExpr.Zero) || (Program.Space.Outer.IsOne && Program.Space.Rows != RowKind.Parameter));

    private bool IsReducedOver(LoadStatement load) => Reducing.Any(s => s.Columns.OfType<LoadStatement>().Any(l => Same(l, load)));

    public static void Render(SourceWriter w, KernelProgram program) => new CudaSlabRenderer(w, program).Write();

    private void Write()
    {
        Extent();
        int reductions = Reducing.Select(s => s.Reductions.Count).DefaultIfEmpty(0).Max();
        // Registers for a column: four rows of what is loaded early and of the copies, its sums, and what all rows read.
        int perColumn = early.Sum(l => Bytes(l.Param.Type)) + transposed.Count + sums.Count + held.Count;
        W.Line($"using Rows = row::Slabs<kRows, kColumns, kWidth, {N(ahead.Sum(l => Bytes(l.Param.Type)))}, {N(transposed.Count)}, {N(reductions)}, {N(perColumn)}>;").Line("FP8LM_LAUNCH(Rows);").Line();
        W.Line("extern \"C\" __global__ void __cluster_dims__(1, Rows::kCluster, 1) __launch_bounds__(Rows::kThreads, Rows::kResident)");
        W.Line($"{Program.Name}({CudaText.List(Program.Params, CudaText.Declaration)})").Open();
        W.Line(CudaRenderer.BeginGrid).Line("const Rows::Position at;");
        AmaxesBegin();
        Scales("at.begins");
        foreach (ConstantStatement constant in Body.Stages.SelectMany(s => s.Row).OfType<ConstantStatement>())
        {
            W.Line(CudaText.Statement(constant, Program));
        }

        for (int i = 0; i < sums.Count; i++)
        {
            W.Line($"row::Floats<kWidth> total{N(i)}[Rows::kPacks] = {{}};");
        }

        for (int i = 0; i < transposed.Count; i++)
        {
            W.Line($"using Turn{N(i)} = row::Turn<Rows, {CudaText.Type(transposed[i].Format)}, {N(i)}>;");
        }

        Hold();
        Ask();
        W.Line().Line("#pragma unroll 1").Open("for (int batch = 0; batch < Rows::kBatches; ++batch)");
        Fetch();
        int number = 0;
        foreach (Stage stage in Body.Stages)
        {
            RowStatements(stage);
            if (number == 0)
            {
                W.Line("Rows::wait();");
            }

            if (stage != Body.Final)
            {
                Reduce(stage, number);
            }

            number++;
        }

        Finish(Body.Final);
        W.Line("ask(batch + Rows::kStages);").Close();
        Flush();
        AmaxesEnd();
        W.Close();
    }

    // ---- Loads ------------------------------------------------------------------------------------------------------------------------

    private void Hold()
    {
        if (held.Count == 0)
        {
            return;
        }

        W.Line().Line($"constexpr bool kHolds = Rows::kPacks * kWidth * {N(held.Count)} <= row::kHeldFloats;");
        for (int i = 0; i < held.Count; i++)
        {
            W.Line($"row::ColumnValues<{CudaText.Type(held[i].Param)}, kWidth, Rows::kPacks, kHolds> held{N(i)};");
        }

        OpenPacks("if (at.inside(c0))");
        for (int i = 0; i < held.Count; i++)
        {
            W.Line($"held{N(i)}.hold(pack, {Address(held[i])});");
        }

        W.Close().Close();
    }

    private void Ask()
    {
        W.Line();
        int offset = 0;
        for (int i = 0; i < ahead.Count; i++)
        {
            W.Line($"using Ahead{N(i)} = row::Ahead<Rows, {CudaText.Type(ahead[i].Param)}, kWidth, {N(offset)}>;");
            offset += Bytes(ahead[i].Param.Type);
        }

        W.Open("const auto ask = [&](int batch)").Open("if (batch < Rows::kBatches)");
        OpenRows();
        OpenPacks("if (at.inside(c0))");
        for (int i = 0; i < ahead.Count; i++)
        {
            W.Line($"Ahead{N(i)}::ask(batch, i, pack, {Address(ahead[i])});");
        }

        W.Close().Close().Close().Close().Line("ptx::cp_async_commit();").Close(";");
        W.Line("#pragma unroll").Line("for (int batch = 0; batch < Rows::kStages; ++batch)").Line("    ask(batch);").Line("Rows::begin();");
    }

    private void Fetch()
    {
        if (early.Count == 0)
        {
            return;
        }

        for (int i = 0; i < early.Count; i++)
        {
            W.Line($"row::Early<Rows, {CudaText.Type(early[i].Param)}, kWidth> early{N(i)};");
        }

        OpenRows();
        OpenPacks("if (at.inside(c0))");
        for (int i = 0; i < early.Count; i++)
        {
            W.Line($"early{N(i)}.ask(i, pack, {Address(early[i])});");
        }

        W.Close().Close().Close();
    }

    private string Pack(LoadStatement load)
    {
        if (load.Swap is not null)
        {
            return Swapped(load);
        }

        int last = early.FindIndex(l => Same(l, load)), column = held.FindIndex(l => Same(l, load));
        if (last >= 0)
        {
            return $"early{N(last)}.get(i, pack)";
        }

        return column >= 0
            ? $"held{N(column)}.get(pack, {Address(load)})"
            : $"Ahead{N(ahead.FindIndex(l => Same(l, load)))}::get(batch, i, pack, {Address(load)})";
    }

    private void Loads(Stage stage)
    {
        foreach (LoadStatement load in stage.Columns.OfType<LoadStatement>().Where(InColumns))
        {
            W.Line($"const auto {load.Result}_pack = {Pack(load)};");
        }
    }

    // ---- Values of a row --------------------------------------------------------------------------------------------------------------

    private void OpenRows() => W.Line("#pragma unroll").Open("for (int i = 0; i < row::kBatch; ++i)").Line("const long long row = at.row(batch, i);");

    private void OpenPacks(string condition) =>
        W.Line("#pragma unroll").Open("for (int pack = 0; pack < Rows::kPacks; ++pack)").Line("const int c0 = at.column(pack);").Open(condition);

    private static IEnumerable<Statement> OfRow(Stage stage) => stage.Row.Where(s => s is not ConstantStatement);

    private static bool IsMask(Statement statement) => statement is OpStatement op ? OpTable.IsMask(op.Node.Op) : statement is SpecialStatement special && OpTable.IsMask(special.Node.Op);

    private static IEnumerable<string> Operands(IEnumerable<Statement> statements) => statements.OfType<OpStatement>().SelectMany(s => s.Operands);

    /// <summary>Names that the sweep of a stage reads.</summary>
    private static HashSet<string> ReadInColumns(Stage stage) => [.. Operands(stage.Columns), .. stage.Reductions.Select(r => r.Operand), .. stage.Outputs.Select(o => o.Operand)];

    /// <summary>What the rows of a batch have of the stages up to one, under the names that statements use.</summary>
    private void Recall(Stage upTo, bool own)
    {
        HashSet<string> read = own ? ReadInColumns(upTo) : [.. Operands(upTo.Row)];
        int number = 0;
        foreach (Stage stage in Body.Stages)
        {
            if (stage != upTo || own)
            {
                foreach (Statement statement in OfRow(stage).Where(s => read.Contains(s.Result)))
                {
                    W.Line($"const {(IsMask(statement) ? "bool" : "float")} {statement.Result} = {statement.Result}_rows[i];");
                }
            }

            if (stage == upTo)
            {
                return;
            }

            for (int k = 0; k < stage.Reductions.Count; k++)
            {
                if (read.Contains(stage.Reductions[k].Result))
                {
                    W.Line($"const float {stage.Reductions[k].Result} = reduced{N(number)}[{N(k)}][i];");
                }
            }

            number++;
        }
    }

    /// <summary>Whether a sweep, or a later stage, reads it.</summary>
    private bool IsRecalled(Statement statement) => Body.Stages.Any(s => ReadInColumns(s).Contains(statement.Result) || (!s.Row.Contains(statement) && Operands(s.Row).Contains(statement.Result)));

    private void RowStatements(Stage stage)
    {
        List<Statement> statements = [.. OfRow(stage)];
        if (statements.Count == 0)
        {
            return;
        }

        foreach (Statement statement in statements.Where(IsRecalled))
        {
            W.Line($"{(IsMask(statement) ? "bool" : "float")} {statement.Result}_rows[row::kBatch];");
        }

        OpenRows();
        Recall(stage, own: false);
        foreach (Statement statement in statements)
        {
            W.Line(CudaText.Statement(statement, Program));
            if (IsRecalled(statement))
            {
                W.Line($"{statement.Result}_rows[i] = {statement.Result};");
            }
        }

        W.Close();
    }

    // ---- Sweeps -----------------------------------------------------------------------------------------------------------------------

    private void Reduce(Stage stage, int number)
    {
        string reduced = "reduced" + N(number);
        uint maxima = 0;
        W.Line($"float {reduced}[{N(stage.Reductions.Count)}][row::kBatch];");
        OpenRows();
        Label([stage]);
        Recall(stage, own: true);
        for (int k = 0; k < stage.Reductions.Count; k++)
        {
            Reduction reduction = stage.Reductions[k];
            maxima |= reduction.Max ? 1u << k : 0;
            W.Line($"float {reduction.Result} = {(reduction.Max ? "__int_as_float(0xff800000)" : "0.0f")};");
        }

        OpenPacks("if (at.inside(c0))");
        Loads(stage);
        OpenElements();
        Elements(stage);
        foreach (Reduction reduction in stage.Reductions)
        {
            W.Line(reduction.Max ? $"{reduction.Result} = max_({reduction.Result}, {reduction.Operand});" : $"{reduction.Result} += {reduction.Operand};");
        }

        W.Close().Close().Close();
        for (int k = 0; k < stage.Reductions.Count; k++)
        {
            W.Line($"{reduced}[{N(k)}][i] = {stage.Reductions[k].Result};");
        }

        W.Close();
        int stages = Body.Stages.Count - 1;
        string turn = stages % 2 == 0 ? N(number % 2) : number == 0 && stages == 1 ? "batch % 2" : $"(batch * {N(stages)} + {N(number)}) % 2";
        W.Line($"Rows::reduce<{maxima.ToString(System.Globalization.CultureInfo.InvariantCulture)}u>({reduced}, {turn});");
    }

    private void Finish(Stage final)
    {
        for (int i = 0; i < transposed.Count; i++)
        {
            W.Line($"row::Pack<{CudaText.Type(transposed[i].Format)}, kWidth> turned{N(i)}[Rows::kPacks][row::kBatch] = {{}};");
        }

        List<Output> packed = [.. final.Outputs.Where(o => o is StoreOutput or QuantizeOutput)];
        string Pack(Output output) => "out" + N(packed.IndexOf(output));
        OpenRows();
        Label([final]);
        Recall(final, own: true);
        foreach (RowOutput output in final.Outputs.OfType<RowOutput>())
        {
            W.Line($"if (at.leads && at.active(batch, i)) {output.Param.Name}[{CudaText.Index(output.Access, Program, null, "0")}] = {CudaText.Stored(output.Param, output.Operand)};");
        }

        OpenPacks("if (at.active(batch, i) && at.inside(c0))");
        foreach (Output output in packed)
        {
            W.Line($"row::Floats<kWidth> {Pack(output)};");
        }

        Loads(final);
        foreach (StoreOutput store in packed.OfType<StoreOutput>().Where(s => s.Accumulate))
        {
            W.Line($"const auto old{N(packed.IndexOf(store))} = row::load<kWidth>({Address(store.Param, store.Access)});");
        }

        OpenElements();
        Elements(final);
        foreach (Output output in final.Outputs)
        {
            Measure(output);
            string? line = output switch
            {
                StoreOutput { Accumulate: true } => $"{Pack(output)}[e] = old{N(packed.IndexOf(output))}[e] + {output.Operand};",
                StoreOutput => $"{Pack(output)}[e] = {output.Operand};",
                QuantizeOutput cast => $"{Pack(output)}[e] = {output.Operand} * scale{N(Casts.IndexOf(cast))};",
                SumOutput sum => $"total{N(sums.IndexOf(sum))}[pack][e] += {output.Operand};",
                _ => null,
            };
            if (line is not null)
            {
                W.Line(line);
            }
        }

        W.Close();
        foreach (Output output in packed)
        {
            switch (output)
            {
                case StoreOutput store:
                    W.Line($"row::store({Address(store.Param, store.Access)}, {Pack(output)});");
                    break;
                case QuantizeOutput { Transposed: null, Row: not null } cast:
                    W.Line($"row::store({Address(cast.Row, cast.RowAccess!)}, {Pack(output)});");
                    break;
                case QuantizeOutput { Transposed: not null } cast:
                    string turned = $"turned{N(transposed.IndexOf(cast))}[pack][i]";
                    W.Line($"{turned} = row::narrow<{CudaText.Type(cast.Format)}>({Pack(output)});");
                    if (cast.Row is not null)
                    {
                        W.Line($"row::put<kWidth>({Address(cast.Row, cast.RowAccess!)}, {turned});");
                    }

                    break;
            }
        }

        W.Close().Close().Close();
        Crossing();
    }

    private static string Offset(DimExpr offset) => offset.Equals(DimExpr.Zero) ? "" : " + " + offset.PrintFactor(CudaText.Symbol);

    /// <summary>What is complete after a batch: four rows of the transposed copies, sums of a slab.</summary>
    private void Crossing()
    {
        if (transposed.Count > 0)
        {
            OpenPacks("if (at.inside(c0))");
            for (int i = 0; i < transposed.Count; i++)
            {
                W.Line($"Turn{N(i)}::put(at.quad(batch), c0 - at.first, turned{N(i)}[pack]);");
            }

            W.Close().Close();
        }

        if (sums.Count > 0)
        {
            W.Open("if (at.ends_slab(batch))");
            OpenPacks("if (at.inside(c0))");
            for (int i = 0; i < sums.Count; i++)
            {
                string pitch = CudaText.Print(sums[i].Pitch), aligned = $"row::whole_packs(kWidth, {pitch}, {CudaText.Print(sums[i].Offset)})";
                W.Line($"row::store_sums<{aligned}>({sums[i].Partial.Name} + at.slab(batch) * ({pitch}){Offset(sums[i].Offset)} + c0, total{N(i)}[pack]);").Line($"total{N(i)}[pack] = {{}};");
            }

            W.Close().Close().Close();
        }
    }

    private void Flush()
    {
        if (transposed.Count == 0)
        {
            return;
        }

        W.Line("__syncthreads();");
        for (int i = 0; i < transposed.Count; i++)
        {
            W.Line($"Turn{N(i)}::flush({transposed[i].Transposed!.Name}{Offset(transposed[i].TransposedOffset!)}, {CudaText.Print(transposed[i].TransposedPitch!)}, kRows, kColumns, at.first);");
        }
    }
}
