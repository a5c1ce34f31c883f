using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using Fp8Lm.Generators.Ir;
using Fp8Lm.Generators.Kernels;
using Fp8Lm.Generators.Model;

namespace Fp8Lm.Generators.Emit.Cuda;

/// <summary>
/// Row kernels: lanes take packs of adjacent columns; a sweep over the columns per level of reductions, the last one stores. What several
/// sweeps read stays in registers or shared memory if it fits.
/// </summary>
internal sealed class CudaRowRenderer : CudaRowText
{
    private readonly List<KeptLoad> kept;

    /// <param name="Name">Of the variable that holds it.</param>
    /// <param name="Load">The first of the equal loads.</param>
    private sealed record KeptLoad(string Name, LoadStatement Load);

    private CudaRowRenderer(SourceWriter w, KernelProgram program)
        : base(w, program)
    {
        kept = Kept();
    }

    /// <summary>
    /// Reads so many packs at once that two blocks on a multiprocessor leave too few registers. ptxas aims at two blocks by itself and spills; told that one is
    /// enough, it takes what it needs.
    /// </summary>
    private bool IsWide => Body.Stages.Any(s => s.Columns.OfType<LoadStatement>().Count(InColumns) > 5);

    /// <summary>What crosses rows has a frame of its own.</summary>
    public static void Render(SourceWriter w, KernelProgram program)
    {
        if (program.Bodies[0].Sums.Any() || program.Bodies[0].Final.Outputs.Any(o => o is QuantizeOutput { Transposed: not null }))
        {
            CudaSlabRenderer.Render(w, program);
        }
        else
        {
            new CudaRowRenderer(w, program).Write();
        }
    }

    private void Write()
    {
        Extent();
        W.Line($"using Rows = row::Frame<kColumns, kWidth{(kept.Count > 0 ? ", " + N(KeptBytes) : "")}>;").Line("FP8LM_LAUNCH(Rows);").Line();
        W.Line($"extern \"C\" __global__ void __launch_bounds__(Rows::kThreads{(IsWide ? ", 1" : "")})").Line($"{Program.Name}({CudaText.List(Program.Params, CudaText.Declaration)})").Open();
        W.Line(CudaRenderer.BeginGrid).Line("const Rows::Position at(kRows);").Line("const long long row = at.row;");
        AmaxesBegin();
        Scales("row == 0 && at.leads");
        Label(Body.Stages);
        Keep();
        foreach (Stage stage in Body.Stages.Take(Body.Stages.Count - 1))
        {
            Reduce(stage);
        }

        Finish(Body.Final);
        AmaxesEnd();
        W.Close();
    }

    // ---- Kept loads -------------------------------------------------------------------------------------------------------------------

    private List<KeptLoad> Kept()
    {
        List<KeptLoad> found = [];
        foreach (LoadStatement load in Body.Stages.SelectMany(s => s.Columns).OfType<LoadStatement>().Where(l => InColumns(l) && l.Swap is null))
        {
            if (found.All(k => !Same(k.Load, load)) && Body.Stages.Count(s => s.Columns.OfType<LoadStatement>().Any(l => Same(l, load))) > 1)
            {
                found.Add(new KeptLoad("kept" + N(found.Count), load));
            }
        }

        return found;
    }

    /// <summary>All or none: sweeps that keep are unrolled, and unrolled loads of what is not kept would take the same registers.</summary>
    private int KeptBytes => kept.Sum(k => Bytes(k.Load.Param.Type));

    private void Keep()
    {
        if (kept.Count == 0)
        {
            return;
        }

        W.Line();
        int offset = 0;
        foreach (KeptLoad keep in kept)
        {
            W.Line($"row::Kept<Rows, {CudaText.Type(keep.Load.Param)}, kWidth, {N(offset)}> {keep.Name};");
            offset += Bytes(keep.Load.Param.Type);
        }

        W.Line("#pragma unroll").Open("for (int step = 0; step < Rows::kSteps; ++step)").Line("const int c0 = at.column(step);").Open("if (Rows::inside(c0))");
        foreach (KeptLoad keep in kept)
        {
            W.Line($"{keep.Name}.fetch(step, {Address(keep.Load)});");
        }

        W.Close().Close().Line("Rows::fetched();");
    }

    // ---- Sweeps -----------------------------------------------------------------------------------------------------------------------

    private void RowStatements(Stage stage)
    {
        foreach (Statement statement in stage.Row)
        {
            W.Line(CudaText.Statement(statement, Program));
        }
    }

    private void OpenSweep(string which)
    {
        W.Line($"#pragma unroll Rows::kUnroll{which}").Open("for (int step = 0; step < Rows::kSteps; ++step)").Line("const int c0 = at.column(step);");
    }

    private void Reduce(Stage stage)
    {
        W.Line();
        RowStatements(stage);
        foreach (Reduction reduction in stage.Reductions)
        {
            W.Line($"float {reduction.Result} = {(reduction.Max ? "__int_as_float(0xff800000)" : "0.0f")};");
        }

        OpenSweep("Reduction");
        W.Open("if (Rows::inside(c0))");
        Loads(stage);
        OpenPack(stage);
        foreach (Reduction reduction in stage.Reductions)
        {
            W.Line(Accumulate(stage, reduction));
        }

        ClosePack(stage);
        W.Close().Close();
        foreach (Reduction reduction in stage.Reductions)
        {
            W.Line($"{reduction.Result} = Rows::{(reduction.Max ? "max" : "sum")}({reduction.Result});");
        }
    }

    private void Finish(Stage final)
    {
        W.Line();
        RowStatements(final);
        foreach (RowOutput output in final.Outputs.OfType<RowOutput>())
        {
            W.Line($"if (at.leads) {output.Param.Name}[{CudaText.Index(output.Access, Program, null, "0")}] = {CudaText.Stored(output.Param, output.Operand)};");
        }

        List<Output> outputs = [.. final.Outputs.Where(o => o is not RowOutput)];
        if (outputs.Count == 0)
        {
            return;
        }

        OpenSweep("Last");
        List<Output> packed = [.. outputs.Where(o => o is not AmaxOutput)];
        string Pack(Output output) => "out" + N(packed.IndexOf(output));
        foreach (Output output in packed)
        {
            W.Line($"row::Floats<kWidth> {Pack(output)};");
        }

        W.Open("if (at.active && Rows::inside(c0))");
        Loads(final);
        foreach (StoreOutput store in packed.OfType<StoreOutput>().Where(s => s.Accumulate))
        {
            W.Line($"const auto old{N(packed.IndexOf(store))} = row::load<kWidth>({store.Param.Name} + {CudaText.Index(store.Access, Program, null, "c0")});");
        }

        OpenPack(final);
        foreach (Output output in outputs)
        {
            Measure(output);
            string? value = output switch
            {
                StoreOutput { Accumulate: true } => $"old{N(packed.IndexOf(output))}[e] + {output.Operand}",
                QuantizeOutput cast => $"{output.Operand} * scale{N(Casts.IndexOf(cast))}",
                AmaxOutput => null,
                _ => output.Operand,
            };
            if (value is not null)
            {
                W.Line($"{Pack(output)}[e] = {value};");
            }
        }

        ClosePack(final);
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
                W.Line($"row::store({param.Name} + {CudaText.Index(access!, Program, null, "c0")}, {Pack(output)});");
            }
        }

        W.Close().Close();
    }

    /// <summary>What an element adds to a reduction. Nothing where a choice says zero, which is most elements where the choice is for the label's.</summary>
    private static string Accumulate(Stage stage, Reduction reduction)
    {
        if (reduction.Max)
        {
            return $"{reduction.Result} = max_({reduction.Result}, {reduction.Operand});";
        }

        bool IsZero(string operand) => stage.Columns.Concat(stage.Row).OfType<ConstantStatement>().Any(c => c.Result == operand && c.Data.Number == 0);
        return stage.Columns.OfType<OpStatement>().FirstOrDefault(o => o.Result == reduction.Operand) is { Node.Op: OpCode.Select } choice && IsZero(choice.Operands[2])
            ? $"if ({choice.Operands[0]}) {reduction.Result} += {reduction.Operand};"
            : $"{reduction.Result} += {reduction.Operand};";
    }

    // ---- Packs ------------------------------------------------------------------------------------------------------------------------

    /// <summary>
    /// The elements of a pack. Where they are compared with the row's label, there are two texts of them: one pack of a row has the label, and the others, which know that they do not, have
    /// neither comparison nor choice. (With them, instructions and not memory set the time of the cross entropy.)
    /// </summary>
    private void OpenPack(Stage stage)
    {
        if (AsksForLabel(stage))
        {
            W.Open("const auto elements = [&](auto labelled)");
        }

        OpenElements();
        Elements(stage, "labelled.kValue && c == label");
    }

    private void ClosePack(Stage stage)
    {
        W.Close();
        if (AsksForLabel(stage))
        {
            W.Close(";").Line("row::with_label<kWidth>(c0, label, elements);");
        }
    }

    private void Loads(Stage stage)
    {
        foreach (LoadStatement load in stage.Columns.OfType<LoadStatement>().Where(InColumns))
        {
            W.Line($"const auto {load.Result}_pack = {Pack(load)};");
        }
    }

    private string Pack(LoadStatement load) => load.Swap is not null
        ? Swapped(load)
        : kept.FirstOrDefault(k => Same(k.Load, load)) is { } keep ? $"{keep.Name}.get(step, {Address(load)})" : $"row::load<kWidth>({Address(load)})";
}
