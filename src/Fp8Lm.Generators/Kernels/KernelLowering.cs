using System;
using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Generators.Ir;
using Fp8Lm.Generators.Ir.Plan;
using Fp8Lm.Generators.Model;

namespace Fp8Lm.Generators.Kernels;

/// <summary>Fused groups -> kernel programs, in execution order.</summary>
internal sealed class KernelLowering
{
    private readonly LoweringContext context;
    private readonly Graph graph;
    private readonly string prefix;

    private KernelLowering(LoweringContext context, string prefix)
    {
        this.context = context;
        graph = context.Graph;
        this.prefix = prefix;
    }

    public static List<KernelProgram> Run(LoweringContext context, string prefix)
    {
        KernelLowering lowering = new(context, prefix);
        List<KernelProgram> programs = [];
        HashSet<string> names = new(StringComparer.Ordinal);
        foreach (Block block in context.Graph.Blocks)
        {
            foreach (FusedGroup group in context.Fusion.Of(block))
            {
                if (programs.Count > 0 && lowering.Join(programs[programs.Count - 1], group))
                {
                    continue;
                }

                KernelProgram program = lowering.Lower(group, names);
                List<KernelParam> counting = [.. program.Params.Where(p => p.Counts)];
                program.Params.RemoveAll(p => p.Counts);
                program.Params.AddRange(counting);
                programs.Add(program);
            }
        }

        MarkEvaluation(context.Graph, context.Fusion, programs);
        return programs;
    }

    /// <summary>
    /// Finishes column sums in the launch of those before: one alone is few blocks, and most of its time is waiting for memory. Each gets its sums in the
    /// order that it has alone. Not those of a parameter that is already there, unless they go on where it ends: they would add to the same elements.
    /// </summary>
    private bool Join(KernelProgram program, FusedGroup group)
    {
        if (program.ColumnSums.Count == 0 || group.Anchor?.Op != OpCode.AccumulateColumnSum || group.Block != program.Group.Block)
        {
            return false;
        }

        KernelProgram other = Begin("", group);
        LowerLibrary(other);
        ColumnSumProgram sum = other.ColumnSums[0];
        ColumnSumProgram? same = program.ColumnSums.LastOrDefault(s => s.Parameter == sum.Parameter);
        if (same is not null && !(same.Start + same.Columns).Equals(sum.Start))
        {
            return false;
        }

        program.ColumnSums.Add(sum);
        program.Comment.AddRange(other.Comment);
        program.Params.AddRange(other.Params.Select(p => p with { Name = p.Name + "_" + program.ColumnSums.Count.ToString(System.Globalization.CultureInfo.InvariantCulture) }));
        return true;
    }

    private KernelProgram Begin(string name, FusedGroup group)
    {
        KernelProgram program = new(name, group, group.Space)
        {
            TokenRows = group.Block.Phase == Phase.Head ? DimExpr.Symbol("ChunkRows") : DimExpr.MicroBatch * DimExpr.Sequence,
        };
        Describe(program);
        return program;
    }

    private KernelProgram Lower(FusedGroup group, HashSet<string> names)
    {
        KernelProgram program = Begin(NameOf(group, names), group);
        if (group.Anchor is { IsGroupedCast: true })
        {
            LowerGroupedCast(program);
            return program;
        }

        if (group.IsLibrary)
        {
            LowerLibrary(program);
            return program;
        }

        switch (group.Anchor?.Op)
        {
            case OpCode.Gemm:
                LowerGemm(program);
                break;
            case OpCode.Attention or OpCode.AttentionGradKeyValue or OpCode.AttentionGradQuery:
                LowerAttention(program);
                break;
        }

        List<Node> outputs = [.. group.Members.Where(m => m.Op is OpCode.Quantize or OpCode.Amax or OpCode.ColumnSum or OpCode.AccumulateGradient or OpCode.StoreGradient or OpCode.LossRow)];
        List<Value> stores = [.. group.Stores.Where(v => v.Op is not OpCode.Quantize and not OpCode.ColumnSum && !(group.Anchor?.Op == OpCode.Attention && v.Index == 1 && v.Node == group.Anchor))];
        int count = group.Anchor?.Op == OpCode.AttentionGradKeyValue ? 2 : 1;
        for (int i = 0; i < count; i++)
        {
            KernelBody body = new(i);
            program.Bodies.Add(body);
            new BodyBuilder(context, program, body).Build(
                count == 1 ? outputs : [.. outputs.Where(o => AnchorOutput(o.Inputs[0], group) == i)],
                count == 1 ? stores : [.. stores.Where(s => AnchorOutput(s, group) == i)]);
        }

        return program;
    }

    /// <summary>Which output of a two-output anchor a value depends on.</summary>
    internal static int AnchorOutput(Value value, FusedGroup group)
    {
        value = FusionPlan.Peel(value);
        if (value.Node == group.Anchor)
        {
            return value.Index;
        }

        return group.Members.Contains(value.Node) ? value.Node.Inputs.Select(i => AnchorOutput(i, group)).DefaultIfEmpty(-1).Max() : -1;
    }

    private void LowerGemm(KernelProgram program)
    {
        Node gemm = program.Group.Anchor!;
        GemmOperand a = Operand(program, gemm.Inputs[0], gemm.Data.AKMajor, "a");
        GemmOperand b = Operand(program, gemm.Inputs[1], gemm.Data.BKMajor, "b");
        DimExpr tokens = program.TokenRows;
        TensorType left = gemm.Inputs[0].Type, y = gemm.Types[0];
        GemmProgram product = gemm.Data.Gemm == GemmRole.Wgrad
            ? new GemmProgram(y.Dims[0], y.Columns, tokens * left.Outer, a, b, gemm.Data.Promote)
            : new GemmProgram(tokens * y.Outer, y.Columns, left.Columns, a, b, gemm.Data.Promote);
        program.Gemm = product with
        {
            Role = gemm.Data.Gemm,
            Weight = WeightOf(gemm, program.Group),
            ScaleA = ScaleOf(gemm.Inputs[0])?.Family ?? -1,
            ScaleB = ScaleOf(gemm.Inputs[1])?.Family ?? -1,
            Scales = gemm.Inputs.Length > 2 ? ScalesOf(program, gemm) : null,
        };
        foreach (Value input in gemm.Inputs)
        {
            if (ScaleOf(input) is { } scale)
            {
                program.Alphas.Add(context.Scale(program, scale.Family, scale.Index, "ScaleInverse", ElementType.F32, false));
            }
        }
    }

    /// <summary>Inverse scales of a product whose operands have one per row or block.</summary>
    private GroupScales ScalesOf(KernelProgram program, Node gemm)
    {
        Value copy = gemm.Inputs[1];
        NodeData cast = copy.Node.Data;
        TensorType weight = copy.Type;
        bool perBlock = cast.Granularity != Granularity.Row;
        // Per block they are operands of the product itself, per row of its epilogue.
        KernelParam Param(Value scales, string name) => perBlock ? context.Operand(program, scales, name) : context.Buffer(program, scales, context.Buffers.Places[scales], write: false);
        return new GroupScales(perBlock, Param(gemm.Inputs[2], "a_scales"), Param(gemm.Inputs[3], "b_scales"),
            cast.Granularity == Granularity.Square ? new WeightSquares(weight.Columns, copy.Index == 1) : null);
    }

    private void LowerGroupedCast(KernelProgram program)
    {
        Node node = program.Group.Anchor!;
        Value value = FusionPlan.Peel(node.Inputs[0]);
        (DimExpr pitch, DimExpr offset) = (node.Inputs[0].Type.Columns, DimExpr.Zero);
        KernelParam source;
        if (value.Op == OpCode.Parameter)
        {
            source = context.Master(program, value.Node.Data.Index);
        }
        else
        {
            pitch = Operand(program, node.Inputs[0], kMajor: true, "x").Pitch;
            offset = context.Buffers.Places[value].Offset;
            source = program.Params[0];
        }

        KernelParam? Output(int index) => program.Group.Stores.Contains(node.Out(index))
            ? context.Buffer(program, node.Out(index), context.Buffers.Places[node.Out(index)], write: true)
            : null;
        KernelParam? factor = node.Inputs[node.Inputs.Length - 1] is { Op: OpCode.MasterInverse } inverse
            ? context.StateScale(program, inverse.Node.Data.Index, "MasterInverse", ElementType.F32, false)
            : null;
        KernelParam? Amax(int index) => node.Data.Granularity == Granularity.Row ? context.Buffer(program, node.Inputs[index], context.Buffers.Places[node.Inputs[index]], write: false) : null;
        bool casts = node.Op == OpCode.Quantize;
        program.Cast = new GroupedCastProgram(node.Data.Granularity, node.Data.PowerOfTwo, LoweringContext.FormatOf(source.Type), pitch, offset, casts ? node.Data.Format : null,
            casts ? [source, factor, Amax(1), Amax(2), Output(0), Output(1), Output(2), Output(3)] : [source, factor, Output(0), Output(1)]);
        if (casts)
        {
            context.Statistics(program, node);
        }
    }

    private GemmOperand Operand(KernelProgram program, Value value, bool kMajor, string name)
    {
        context.Operand(program, value, name);
        TensorType read = value.Type;
        value = FusionPlan.Peel(value);
        TensorType type = value.Type;
        if (value.Op == OpCode.Parameter)
        {
            return new GemmOperand(Format.F32, kMajor, type.Columns, null);
        }

        Storage place = context.Buffers.Places[value];
        if (place.Transposed)
        {
            DimExpr rows = type.Rows == RowKind.Parameter ? type.Outer : place.Pitch;
            return new GemmOperand(place.Format, kMajor, rows, context.Buffers.Buffers[place.Buffer].Columns);
        }

        // Rows are those of the operand as the GEMM sees it, not as it was stored: heads may have been merged or split since.
        DimExpr pitch = type.Rows == RowKind.Parameter ? type.Columns
            : read.Outer.IsOne ? place.Pitch
            : read.Columns.Equals(type.Columns) ? place.OuterPitch : read.Columns;
        return new GemmOperand(place.Format, kMajor, pitch, null);
    }

    /// <summary>The weight that a product reads (perhaps a copy of it) or whose gradient it is; -1 where the program does not say.</summary>
    private static int WeightOf(Node gemm, FusedGroup group)
    {
        if (gemm.Data.Gemm != GemmRole.Wgrad)
        {
            return Parameter(gemm.Inputs[1].Node);
        }

        // An FP8 gradient with a current scale is stored by a kernel of its own; here its amax knows whose it is.
        return group.Members.Where(m => m.Op is OpCode.AccumulateGradient or OpCode.StoreGradient or OpCode.Amax).Select(m => m.Data.Index).Where(i => i >= 0).DefaultIfEmpty(-1).First();

        static int Parameter(Node node) => node.Op switch
        {
            OpCode.Parameter => node.Data.Index,
            OpCode.Quantize or OpCode.Cast or OpCode.Mul => node.Inputs.Select(i => Parameter(i.Node)).Max(),
            _ => -1,
        };
    }

    /// <summary>The scale slot an FP8 operand was cast with.</summary>
    internal static (int Family, InstanceIndex Index)? ScaleOf(Value value)
    {
        value = FusionPlan.Peel(value);
        return value.Op switch
        {
            OpCode.Concat => ScaleOf(value.Node.Inputs[0]),
            OpCode.Quantize or OpCode.CarryIn when value.Node.Data.Scale >= 0 => (value.Node.Data.Scale, value.Node.Data.ScaleIndex),
            _ => null,
        };
    }

    private void LowerAttention(KernelProgram program)
    {
        Node node = program.Group.Anchor!;
        bool backward = node.Op != OpCode.Attention;
        List<DimExpr> pitches = [];
        Format format = Format.BF16;
        for (int i = 0; i < (backward ? 6 : 3); i++)
        {
            Value value = FusionPlan.Peel(node.Inputs[i]);
            Storage place = context.Buffers.Places[value];
            context.Operand(program, value, OperandNames[i]);
            pitches.Add(place.Pitch);
            format = i == 0 ? place.Format : format;
        }

        if (!backward)
        {
            context.Operand(program, node.Out(1), "lse").Written = true;
        }

        TensorType q = node.Inputs[0].Type, k = node.Inputs[1].Type;
        program.Attention = new AttentionProgram(format, q.Dims[0], k.Dims[0], q.Columns, node.Data.Extent, node.Data.Number, pitches);
    }

    private static readonly string[] OperandNames = ["q", "k", "v", "d_o", "lse", "delta"];

    private void LowerLibrary(KernelProgram program)
    {
        Node node = program.Group.Anchor!;
        if (node.Op == OpCode.EmbedGradient)
        {
            context.Fixed(program, "tokens", ElementType.I32, "s.Tokens", false);
        }

        Value value = FusionPlan.Peel(node.Inputs[node.Inputs.Length - 1]);
        context.Operand(program, value, "d_y");
        DimExpr columns = value.Type.Columns;
        switch (node.Op)
        {
            case OpCode.EmbedGradient:
                context.Gradient(program, node.Data.Index);
                Integer(program, "count", DimExpr.MicroBatch * DimExpr.Sequence);
                Integer(program, "vocab", graph.Spec.Parameters[node.Data.Index].Shape[0]);
                Integer(program, "columns", columns);
                break;
            case OpCode.PositionGradient:
                context.Gradient(program, node.Data.Index);
                Integer(program, "batch", DimExpr.MicroBatch);
                Integer(program, "sequence", DimExpr.Sequence);
                Integer(program, "columns", columns);
                break;
            default:
                DimExpr rows = program.TokenRows * value.Type.Outer;
                program.Params.Add(new KernelParam("slabs", ElementType.Int64, $"(nint)(({rows.Print(LoweringContext.Symbol)} + 15) / 16)"));
                Integer(program, "columns", columns);
                program.ColumnSums.Add(new ColumnSumProgram(node.Data.Index, node.Data.Extent ?? DimExpr.Zero, columns));
                KernelParam gradient = context.Gradient(program, node.Data.Index);
                if (node.Data.Extent is { } start && !start.Equals(DimExpr.Zero))
                {
                    program.Params.Remove(gradient);
                    program.Params.Add(gradient with { Argument = $"{gradient.Argument} + (nint)({start.PrintFactor(LoweringContext.Symbol)} * 4)" });
                }

                break;
        }
    }

    private static void Integer(KernelProgram program, string name, DimExpr value) =>
        program.Params.Add(new KernelParam(name, ElementType.Int64, $"(nint)({value.Print(LoweringContext.Symbol)})"));

    // ---- Names and comments -----------------------------------------------------------------------------------------------------------

    private string NameOf(FusedGroup group, HashSet<string> names)
    {
        string phase = group.Block.Phase switch
        {
            Phase.Setup => "setup",
            Phase.Backward => "backward",
            _ => "forward",
        };
        Node lead = group.Anchor ?? group.Members.FirstOrDefault(m => m.Label.Length > 0) ?? group.Members[0];
        string role = group.Anchor?.Op switch
        {
            OpCode.Gemm => "_" + lead.Data.Gemm.ToString().ToLowerInvariant(),
            OpCode.AttentionGradKeyValue => "_kv",
            OpCode.AttentionGradQuery => "_q",
            OpCode.AccumulateColumnSum => "",
            OpCode.Quantize => "_cast",
            OpCode.GroupAmax => "_amax",
            OpCode.EmbedGradient or OpCode.PositionGradient => "_gradient",
            _ => "",
        };
        string label = lead.Label.Length > 0 ? lead.Label : lead.Op.ToString();
        if (group.Anchor?.Op == OpCode.AccumulateColumnSum)
        {
            label = "sums";    // of several parameters
        }
        else if (group.Anchor is { Class: OpClass.Sink } sink && sink.Data.Index >= 0)
        {
            string path = graph.Spec.Parameters[sink.Data.Index].Path;
            label = path.Substring(path.LastIndexOf('.') + 1);
        }

        string name = LoweringContext.Clean($"{prefix}_{phase}_{group.Block.Name}_{label}{role}".ToLowerInvariant());
        string unique = name;
        for (int i = 2; !names.Add(unique); i++)
        {
            unique = name + "_" + i.ToString(System.Globalization.CultureInfo.InvariantCulture);
        }

        return unique;
    }

    private void Describe(KernelProgram program)
    {
        FusedGroup group = program.Group;
        foreach (Node node in group.Members)
        {
            program.Comment.Add($"{node} : {string.Join(", ", node.Types.Select(t => t.ToString()))}{(node.Label.Length > 0 ? " (" + node.Label + ")" : "")}");
        }

        foreach (Value store in group.Stores)
        {
            if (context.Buffers.Places.TryGetValue(store, out Storage? place))
            {
                program.Comment.Add($"stores {store} -> {context.Buffers.Buffers[place.Buffer].Name} {place.Format.ToString().ToLowerInvariant()} {store.Type}{PerGroup(store)}{(place.Transposed ? " transposed" : "")}");
            }
        }
    }

    private static string PerGroup(Value store) => store.Node.IsGroupedCast && (store.Op == OpCode.GroupAmax || store.Index >= 2)
        ? ", one per " + store.Node.Data.Granularity.ToString().ToLowerInvariant()
        : "";

    /// <summary>Kernels of the head that the loss itself depends on; the others run in training only.</summary>
    private static void MarkEvaluation(Graph graph, FusionPlan fusion, List<KernelProgram> programs)
    {
        HashSet<FusedGroup> needed = [];
        Stack<Node> work = new(graph.Nodes.Where(n => n.Op == OpCode.LossRow));
        HashSet<Node> seen = [];
        while (work.Count > 0)
        {
            Node node = work.Pop();
            if (!seen.Add(node))
            {
                continue;
            }

            if (fusion.Owner.TryGetValue(node, out FusedGroup? group))
            {
                needed.Add(group);
            }

            foreach (Value input in node.Inputs)
            {
                work.Push(input.Node);
            }
        }

        foreach (KernelProgram program in programs.Where(p => p.Group.Block.Phase == Phase.Head))
        {
            program.Evaluates = needed.Contains(program.Group);
        }
    }
}
