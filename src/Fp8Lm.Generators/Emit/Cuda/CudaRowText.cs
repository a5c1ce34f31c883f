using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using Fp8Lm.Generators.Ir;
using Fp8Lm.Generators.Kernels;
using Fp8Lm.Generators.Model;

namespace Fp8Lm.Generators.Emit.Cuda;

/// <summary>What the texts of all row kernels have in common: widths of packs, scales, elements of a pack.</summary>
internal abstract class CudaRowText
{
    protected CudaRowText(SourceWriter w, KernelProgram program)
    {
        W = w;
        Program = program;
        Body = program.Bodies[0];
        Casts = [.. Body.Final.Outputs.OfType<QuantizeOutput>()];
        // The amax of a current scale was measured by a kernel before this one.
        Amaxes = [.. Body.Amaxes.Where(a => Body.Final.Outputs.Any(o => (o is QuantizeOutput { CurrentScale: false } q && q.Amax == a) || (o is AmaxOutput m && m.Amax == a)))];
    }

    protected SourceWriter W { get; }

    protected KernelProgram Program { get; }

    protected KernelBody Body { get; }

    protected List<QuantizeOutput> Casts { get; }

    protected List<KernelParam> Amaxes { get; }

    protected IEnumerable<LoadStatement> PackLoads => Body.Stages.SelectMany(s => s.Columns).OfType<LoadStatement>().Where(InColumns);

    protected static string N(int number) => number.ToString(CultureInfo.InvariantCulture);

    protected static bool InColumns(LoadStatement load) => load.Access.Column;

    protected static bool Same(LoadStatement a, LoadStatement b) => a.Param == b.Param && a.Access == b.Access && a.Ids == b.Ids && a.Swap == b.Swap;

    protected static int Bytes(ElementType type) => type switch
    {
        ElementType.F32 => 4,
        ElementType.BF16 or ElementType.F16 => 2,
        _ => 1,
    };

    protected string Address(LoadStatement load) => $"{load.Param.Name} + {CudaText.Index(load.Access, Program, load.Ids, "c0")}";

    protected string Address(KernelParam param, Access access) => $"{param.Name} + {CudaText.Index(access, Program, null, "c0")}";

    /// <summary>The other half of rotary pairs, which lies in another pack or is a shuffle of this one.</summary>
    protected string Swapped(LoadStatement load)
    {
        PairSwap swap = load.Swap!;
        string start = $"{load.Param.Name} + {CudaText.Index(load.Access with { Column = false }, Program, load.Ids, "0")}";
        return $"row::load_{(swap.Interleaved ? "neighbours" : "halves")}<kWidth>({start}, c0, {CudaText.Print(swap.Rotated)}, {CudaText.Print(swap.Size)})";
    }

    /// <summary>Rows, columns and the width of a pack.</summary>
    protected void Extent()
    {
        W.Line($"constexpr long long kRows = {CudaText.Print(Program.Rows)};").Line($"constexpr long long kColumns = {CudaText.Print(Program.Space.Columns)};");
        W.Line($"constexpr int kWidth = row::pack_width({string.Join(", ", Extents())});");
    }

    protected void AmaxesBegin()
    {
        for (int i = 0; i < Amaxes.Count; i++)
        {
            W.Line($"unsigned amax{N(i)} = 0;");
        }

        for (int i = 0; i < Casts.Count; i++)
        {
            W.Line(CudaText.Counted($"CastCounter<{CudaText.Type(Casts[i].Format)}> counter{N(i)};"));
        }
    }

    protected void AmaxesEnd()
    {
        for (int i = 0; i < Amaxes.Count; i++)
        {
            W.Line($"row::block_amax({Amaxes[i].Name}, amax{N(i)});");
        }

        for (int i = 0; i < Casts.Count; i++)
        {
            W.Line(CudaText.Counted($"counter{N(i)}.flush_block<Rows::kThreads>({Casts[i].Statistics!.Name}, scale{N(i)});"));
        }
    }

    /// <summary>Takes an element into the amax that an output records, if it does, and into what is counted of a cast.</summary>
    protected void Measure(Output output)
    {
        KernelParam? amax = output is QuantizeOutput { CurrentScale: false } q ? q.Amax : output is AmaxOutput a ? a.Amax : null;
        if (amax is not null)
        {
            string running = "amax" + N(Amaxes.IndexOf(amax));
            W.Line($"{running} = amax_bits({running}, {output.Operand});");
        }

        if (output is QuantizeOutput counted)
        {
            W.Line(CudaText.Counted($"counter{N(Casts.IndexOf(counted))}.add({output.Operand}, scale{N(Casts.IndexOf(counted))});"));
        }
    }

    /// <param name="once">True for one thread of the launch.</param>
    protected void Scales(string once)
    {
        for (int i = 0; i < Casts.Count; i++)
        {
            if (Casts[i].CurrentScale)
            {
                string fmax = Casts[i].Format == Format.E4M3 ? "448.0f" : "57344.0f";
                W.Line($"const float scale{N(i)} = {(Casts[i].KeepsScale ? "state_scale" : "current_scale")}(*{Casts[i].Amax!.Name}, {fmax}{(Casts[i].KeepsScale ? $", *{Casts[i].Scale.Name}" : "")});")
                    .Line($"if ({once}) {{ *{Casts[i].Scale.Name} = scale{N(i)}; *{Casts[i].ScaleInverse!.Name} = 1.0f / scale{N(i)}; }}");
            }
            else
            {
                W.Line($"const float scale{N(i)} = *{Casts[i].Scale.Name};");
            }
        }
    }

    /// <summary>Everything that a pack's address is made of.</summary>
    private IEnumerable<string> Extents()
    {
        List<DimExpr> extents = [Program.Space.Columns];
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

        foreach (LoadStatement load in Body.Stages.SelectMany(s => s.Columns).OfType<LoadStatement>())
        {
            // A token's row of another block: the pitch counts whatever the access starts from.
            Add(load.Access.Base == AccessBase.None ? load.Access with { Pitch = DimExpr.Zero } : load.Access);
            if (load.Swap is not null)
            {
                extents.Add(load.Swap.Size);
            }
        }

        foreach (Output output in Body.Final.Outputs)
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
        IEnumerable<string> halves = Body.Stages.SelectMany(s => s.Columns).OfType<LoadStatement>().Where(l => l.Swap is { Interleaved: false })
            .Select(l => l.Swap!.Rotated.PrintFactor(CudaText.Symbol) + " / 2");
        return printed.Concat(halves).Distinct();
    }

    /// <summary>What the elements of a row in some stages are compared with, once per row: stores of the last sweep could change it for all the compiler knows.</summary>
    protected void Label(IEnumerable<Stage> stages)
    {
        if (stages.Any(AsksForLabel))
        {
            W.Line("const int label = labels[row];");
        }
    }

    protected static bool AsksForLabel(Stage stage) => stage.Columns.OfType<SpecialStatement>().Any(s => s.Node.Op == OpCode.IsLabel);

    protected void OpenElements() => W.Line("#pragma unroll").Open("for (int e = 0; e < kWidth; ++e)");

    /// <param name="label">What an element is at the row's label: a comparison, or, where the text is there with and without, that too.</param>
    protected void Elements(Stage stage, string label = "c == label")
    {
        if (stage.Columns.Any(c => c is SpecialStatement))
        {
            W.Line("const int c = c0 + e;");
        }

        foreach (Statement statement in stage.Columns)
        {
            W.Line(statement switch
            {
                LoadStatement load when InColumns(load) => $"const float {load.Result} = {load.Result}_pack[e];",
                SpecialStatement { Node.Op: OpCode.IsLabel } => $"const bool {statement.Result} = {label};",
                _ => CudaText.Statement(statement, Program),
            });
        }
    }
}
