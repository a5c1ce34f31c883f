using System;
using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Generators.Ir;
using Fp8Lm.Generators.Ir.Plan;
using Fp8Lm.Generators.Model;

namespace Fp8Lm.Generators.Passes.Memory;

/// <summary>
/// A place in memory for every value that leaves its kernel. Carried values live in the slots of their loop, parts of a concatenation
/// inside the whole, slices inside what they are cut from; everything else gets a buffer. Schedule positions of first and last use make the
/// live intervals from which the runtime packs arenas for any size.
/// </summary>
internal sealed class StorageAssignment
{
    private readonly Graph graph;
    private readonly FusionPlan fusion;
    private readonly RecipeSpec recipe;
    private readonly BufferPlan plan = new();
    private readonly Dictionary<Block, (int First, int Last)> spans = [];
    private readonly HashSet<(int Buffer, Loop Loop)> captured = [];

    private StorageAssignment(Graph graph, FusionPlan fusion, RecipeSpec recipe)
    {
        this.graph = graph;
        this.fusion = fusion;
        this.recipe = recipe;
    }

    public static BufferPlan Run(Graph graph, FusionPlan fusion, RecipeSpec recipe)
    {
        StorageAssignment assignment = new(graph, fusion, recipe);
        assignment.Assign();
        assignment.Liveness();
        return assignment.plan;
    }

    // ---- Places -----------------------------------------------------------------------------------------------------------------------

    private void Assign()
    {
        foreach (Block block in graph.Blocks)
        {
            foreach (Carry carry in block.Carries)
            {
                AssignCarry(block, carry);
            }
        }

        foreach (Value whole in graph.Nodes.SelectMany(n => n.Inputs).Select(FusionPlan.Peel).Where(v => v.Op == OpCode.Concat).Distinct().ToList())
        {
            PlaceOf(whole);
        }

        foreach (FusedGroup group in fusion.Groups)
        {
            foreach (Value value in group.Stores)
            {
                PlaceOf(value);
            }

            // Views that kernels read.
            foreach (Value value in group.Members.SelectMany(m => m.Inputs).Select(FusionPlan.Peel).Where(v => v.Op is OpCode.Slice or OpCode.Concat))
            {
                PlaceOf(value);
            }
        }

        foreach (Value slice in graph.Nodes.Where(n => n.Op == OpCode.Slice).Select(n => n.Out()))
        {
            if (IsPlaced(FusionPlan.Peel(slice.Node.Inputs[0])))
            {
                PlaceOf(slice);
            }
        }
    }

    private bool IsPlaced(Value value) => plan.Places.ContainsKey(value) || (value.Op == OpCode.Slice && IsPlaced(FusionPlan.Peel(value.Node.Inputs[0])));

    private void AssignCarry(Block block, Carry carry)
    {
        Value parameter = carry.Parameter.Out();
        NodeData data = carry.Parameter.Data;
        bool slabs = FusionPlan.Peel(carry.Result).Op == OpCode.ColumnSum;
        Format format = data.Scale >= 0 ? data.Format : slabs ? Format.F32 : FormatOf(parameter);
        string name = (block.Loop!.Name + "." + (carry.Parameter.Label.Length > 0 ? carry.Parameter.Label : "carried")) + (data.Scale >= 0 ? data.Transposed ? ".transposed" : ".fp8" : "");
        int buffer = AddBuffer(new BufferSpec(
            name, "Activations", format, slabs ? BufferRows.Slabs : BufferRows.Tokens, parameter.Type.Outer, parameter.Type.Columns,
            block.Phase == Phase.Forward ? BufferScope.Carried : BufferScope.PingPong, block.Loop));
        Storage At(InstanceIndex index) => Contiguous(buffer, index, format, parameter.Type, data.Transposed, slabs ? BufferRows.Slabs : BufferRows.Tokens);

        plan.Places[parameter] = At(block.IncomingIndex);
        Place(carry.Initial, block.InitialIndex);
        Place(carry.Result, block.OutgoingIndex);
        if (carry.Out is not null)
        {
            plan.Places[carry.Out.Out()] = At(block.FinalIndex);
        }

        // What fills a slot may be computed per head where the slot is flat.
        void Place(Value value, InstanceIndex index)
        {
            value = FusionPlan.Peel(value);
            plan.Places[value] = At(index) with { OuterPitch = value.Type.Columns };
        }
    }

    private Storage PlaceOf(Value value)
    {
        value = FusionPlan.Peel(value);
        if (plan.Places.TryGetValue(value, out Storage? place))
        {
            return place;
        }

        if (value.Op == OpCode.Slice)
        {
            Storage whole = PlaceOf(value.Node.Inputs[0]);
            return plan.Places[value] = whole with { Offset = whole.Offset + value.Node.Data.Extent!, OuterPitch = value.Type.Dims.Count > 1 ? value.Node.Inputs[0].Type.Columns : value.Type.Columns };
        }

        if (value.Op == OpCode.Concat)
        {
            return PlaceParts(value);
        }

        if (Overwritten(value) is { } taken)
        {
            return plan.Places[value] = PlaceOf(taken);
        }

        bool slabs = value.Op == OpCode.ColumnSum;
        bool transposed = value.Op == OpCode.Quantize && value.Index == 1;
        bool inHead = value.Node.Block.Phase == Phase.Head && !UsedOutside(value);
        BufferRows rows = Rows(value, slabs, inHead);
        int buffer = AddBuffer(IsGroups(value) ? Groups(value, Own(value, rows, transposed)) : Own(value, rows, transposed));
        return plan.Places[value] = Contiguous(buffer, Index(value), FormatOf(value), value.Type, transposed, rows);
    }

    /// <summary>One number per row, block or square: inverse scales, and the amax that they are made of.</summary>
    private static bool IsGroups(Value value) => value.Op == OpCode.GroupAmax || (value.Op == OpCode.Quantize && value.Index >= 2);

    /// <summary>What such a value takes: those of the row-major copy count along rows, those of the transposed one along columns.</summary>
    private static BufferSpec Groups(Value value, BufferSpec spec)
    {
        const int Group = 128;
        bool alongColumns = value.Index % 2 == 1;
        // An amax is read by the kernel behind it only; what setup makes for keeps are the scales.
        spec = value.Op == OpCode.GroupAmax && spec.Category == "Weights" ? spec with { Category = "Workspace", Scope = BufferScope.Single } : spec;
        return value.Node.Data.Granularity switch
        {
            Granularity.Row => alongColumns ? spec with { Rows = BufferRows.None, Outer = DimExpr.One } : spec with { Columns = DimExpr.One },
            Granularity.Block => alongColumns ? spec with { RowsPerElement = Group } : spec with { ColumnsPerElement = Group },
            _ => spec with { RowsPerElement = Group, ColumnsPerElement = Group },
        };
    }

    /// <summary>
    /// The value of the head whose memory this one takes over: same shape and format, read element by element by the row kernel that makes this
    /// one, and by nothing else. The gradient of the logits replaces the logits, the largest activation there is.
    /// </summary>
    private Value? Overwritten(Value value)
    {
        Block block = value.Node.Block;
        if (block.Phase != Phase.Head || value.Node.Class != OpClass.Elementwise || !fusion.Owner.TryGetValue(value.Node, out FusedGroup? group) || !group.IsRow || UsedOutside(value))
        {
            return null;
        }

        return fusion.Of(block).Where(g => g.Index < group.Index && !g.IsLibrary).SelectMany(g => g.Stores)
            .FirstOrDefault(v => v.Type.Equals(value.Type) && v.Node.Class != OpClass.Cast && FormatOf(v) == FormatOf(value) && plan.Places.TryGetValue(v, out Storage? place)
                && plan.Places.Values.Count(p => p.Buffer == place.Buffer) == 1 && !UsedOutside(v) && ReadersOf(v).SequenceEqual([group])
                && !group.Members.Any(m => m.Op is OpCode.PairSwap && Reaches(m.Inputs[0], v)));
    }

    private IEnumerable<FusedGroup> ReadersOf(Value value) =>
        fusion.Groups.Where(g => fusion.Owner[value.Node] != g && g.Members.Any(m => m.Inputs.Any(i => Reaches(i, value))));

    /// <summary>Parts stand side by side in the whole; those of a transposed whole stand below each other.</summary>
    private Storage PlaceParts(Value whole)
    {
        bool transposed = whole.Node.Data.Transposed;
        bool slabs = whole.Node.Data.Index == 1 && FusionPlan.Peel(whole.Node.Inputs[0]).Op == OpCode.ColumnSum;
        Value first = FusionPlan.Peel(whole.Node.Inputs[0]);
        bool inHead = whole.Node.Block.Phase == Phase.Head;
        BufferRows rows = Rows(first, slabs, inHead && !UsedOutside(whole));
        BufferSpec spec = Own(first, rows, transposed) with { Columns = whole.Type.Columns, Outer = whole.Type.Outer, Name = NameOf(whole, transposed) };
        int buffer = AddBuffer(spec);
        Storage place = Contiguous(buffer, Index(first), FormatOf(first), whole.Type, transposed, rows);
        plan.Places[whole] = place;
        DimExpr start = DimExpr.Zero;
        foreach (Value part in whole.Node.Inputs)
        {
            Value root = FusionPlan.Peel(part);
            Storage at = transposed
                ? place with { Offset = start * TokenRows(rows) }
                : place with { Offset = start, OuterPitch = whole.Type.Dims.Count > 1 ? whole.Type.Columns : root.Type.Columns };
            plan.Places[root] = at;
            start += part.Type.Columns;
        }

        return place;
    }

    private static DimExpr TokenRows(BufferRows rows) => rows == BufferRows.Chunk ? DimExpr.Symbol("ChunkRows") : DimExpr.MicroBatch * DimExpr.Sequence;

    private BufferSpec Own(Value value, BufferRows rows, bool transposed)
    {
        Block block = value.Node.Block;
        bool weight = block.Phase == Phase.Setup;
        BufferScope scope = block.Loop is null ? BufferScope.Single
            : weight ? BufferScope.PerLayerAlways
            : block.Phase == Phase.Forward && UsedOutside(value) ? BufferScope.PerLayer
            : BufferScope.Single;
        string category = weight ? "Weights" : value.Type.Rows == RowKind.Parameter || rows is BufferRows.Slabs or BufferRows.ChunkSlabs ? "Workspace" : "Activations";
        TensorType type = value.Type;
        return new BufferSpec(NameOf(value, transposed), category, FormatOf(value), rows, type.Outer, type.Columns, scope, block.Loop);
    }

    private string NameOf(Value value, bool transposed)
    {
        Block block = value.Node.Block;
        string name = value.Node.Label.Length > 0 ? value.Node.Label : value.Op.ToString().ToLowerInvariant();
        string prefix = block.Name + (block.Phase == Phase.Backward ? ".grad" : "") + ".";
        string suffix = value.Op switch
        {
            OpCode.Quantize when value.Index >= 2 => value.Index == 2 ? ".fp8_scales" : ".transposed_scales",
            OpCode.Quantize => transposed ? ".transposed" : ".fp8",
            OpCode.GroupAmax => value.Index == 0 ? ".row_amax" : ".column_amax",
            OpCode.ColumnSum => ".sums",
            OpCode.RowSum or OpCode.RowMax or OpCode.Rsqrt => "." + value.Op.ToString().ToLowerInvariant(),
            OpCode.Attention when value.Index == 1 => ".lse",
            _ => "",
        };
        return prefix + name + suffix;
    }

    private static BufferRows Rows(Value value, bool slabs, bool inHead) => value.Type.Rows switch
    {
        RowKind.Parameter => BufferRows.None,
        RowKind.Position => BufferRows.Positions,
        _ => slabs ? inHead ? BufferRows.ChunkSlabs : BufferRows.Slabs : inHead ? BufferRows.Chunk : BufferRows.Tokens,
    };

    private static InstanceIndex Index(Value value)
    {
        Block block = value.Node.Block;
        return block.Loop is null ? InstanceIndex.First : InstanceIndex.Layer;
    }

    private static Storage Contiguous(int buffer, InstanceIndex index, Format format, TensorType type, bool transposed, BufferRows rows) =>
        new(buffer, index, format, transposed ? TokenRows(rows) * type.Outer : rows is BufferRows.Slabs or BufferRows.ChunkSlabs ? type.Columns : type.Elements,
            DimExpr.Zero, type.Columns, transposed, rows);

    private int AddBuffer(BufferSpec spec)
    {
        // Names tell buffers apart in plans and messages.
        int copies = plan.Buffers.Count(b => b.Name == spec.Name || b.Name.StartsWith(spec.Name + "~", StringComparison.Ordinal));
        plan.Buffers.Add(copies == 0 ? spec : spec with { Name = spec.Name + "~" + (copies + 1).ToString(System.Globalization.CultureInfo.InvariantCulture) });
        return plan.Buffers.Count - 1;
    }

    /// <summary>Statistics are F32, casts have their target's format, the rest the recipe's compute format.</summary>
    private Format FormatOf(Value value)
    {
        if (IsGroups(value))
        {
            return Format.F32;
        }

        if (value.Op is OpCode.Quantize or OpCode.Cast && (value.Op == OpCode.Quantize || value.Type.Rows == RowKind.Parameter || value.Node.Data.Fixed is not null))
        {
            return value.Node.Data.Format;
        }

        bool statistics = value.Type.Columns.IsOne || value.Type.Rows == RowKind.Position || value.Op is OpCode.ColumnSum or OpCode.RowSum or OpCode.RowMax;
        return statistics ? Format.F32 : recipe.Compute;
    }

    private bool UsedOutside(Value value) =>
        graph.Nodes.Any(n => n.Block != value.Node.Block && n.Inputs.Any(i => Reaches(i, value)))
        || graph.Blocks.SelectMany(b => b.Carries).Any(c => Reaches(c.Initial, value));

    /// <summary>Through views and values that are computed on the fly.</summary>
    private bool Reaches(Value from, Value value)
    {
        from = FusionPlan.Peel(from);
        if (from == value)
        {
            return true;
        }

        bool through = from.Op is OpCode.Slice or OpCode.Concat || (FusionPlan.IsInline(from) && !(fusion.Owner.TryGetValue(from.Node, out FusedGroup? g) && g.Stores.Contains(from)));
        return through && from.Node.Inputs.Any(i => Reaches(i, value));
    }

    // ---- Liveness ---------------------------------------------------------------------------------------------------------------------

    /// <summary>Positions count kernels in program order, setup excluded (its results always live).</summary>
    private void Liveness()
    {
        int position = 0;
        Dictionary<FusedGroup, int> at = [];
        foreach (Block block in graph.Blocks)
        {
            int first = position;
            foreach (FusedGroup group in fusion.Of(block))
            {
                at[group] = position++;
            }

            spans[block] = (first, Math.Max(first, position - 1));
        }

        foreach (FusedGroup group in fusion.Groups)
        {
            foreach (Value value in group.Stores)
            {
                Touch(value, group.Block, at[group]);
            }

            foreach (Value value in Reads(group))
            {
                Touch(value, group.Block, at[group]);
            }
        }

        foreach (Block block in graph.Blocks)
        {
            foreach (Carry carry in block.Carries)
            {
                Extend(plan.Places[carry.Parameter.Out()].Buffer, spans[block].First, spans[block].Last);
            }
        }

        for (int index = 0; index < plan.Buffers.Count; index++)
        {
            BufferSpec buffer = plan.Buffers[index];
            if (buffer.Category == "Weights")
            {
                buffer.First = 0;
                buffer.Last = position;
            }

            buffer.First = Math.Min(buffer.First, Math.Max(buffer.Last, 0));
            buffer.Last = Math.Max(buffer.Last, buffer.First);
            // Under checkpointing the forward body runs again inside backward, and reads again what it captured from outside.
            int number = index;
            IEnumerable<Block> again = graph.Blocks.Where(b => b.Phase == Phase.Backward && b.Loop is not null && (b.Loop == buffer.Loop || captured.Contains((number, b.Loop))));
            buffer.LastCheckpointed = again.Select(b => spans[b].Last).Append(buffer.Last).Max();
        }
    }

    private void Touch(Value value, Block block, int position)
    {
        if (!plan.Places.TryGetValue(FusionPlan.Peel(value), out Storage? place))
        {
            return;
        }

        BufferSpec buffer = plan.Buffers[place.Buffer];
        Block home = value.Node.Block;
        if (block.Phase == Phase.Forward && block.Loop is not null)
        {
            captured.Add((place.Buffer, block.Loop));
        }

        bool acrossBlocks = buffer.Scope != BufferScope.Single || block != home;
        if (acrossBlocks && block.Loop is not null)
        {
            Extend(place.Buffer, spans[block].First, spans[block].Last);
        }
        else if (block.Phase == Phase.Head)
        {
            // Chunks run in a loop: everything of the head lives while it runs.
            Extend(place.Buffer, spans[block].First, spans[block].Last);
        }
        else
        {
            Extend(place.Buffer, position, position);
        }

        if (home != block && home.Loop is not null && home.Phase != Phase.Setup)
        {
            Extend(place.Buffer, spans[home].First, spans[home].Last);
        }
    }

    private void Extend(int buffer, int first, int last)
    {
        BufferSpec spec = plan.Buffers[buffer];
        spec.First = Math.Min(spec.First, first);
        spec.Last = Math.Max(spec.Last, last);
    }

    /// <summary>Stored values that a group reads, through views and inlined expressions.</summary>
    private IEnumerable<Value> Reads(FusedGroup group)
    {
        HashSet<Value> seen = [];
        Stack<Value> work = new(group.Members.SelectMany(m => m.Inputs).Select(FusionPlan.Peel));
        while (work.Count > 0)
        {
            Value value = work.Pop();
            if (!seen.Add(value))
            {
                continue;
            }

            if (plan.Places.ContainsKey(value))
            {
                yield return value;
                if (value.Op is OpCode.Slice or OpCode.Concat)
                {
                    continue;
                }
            }

            if (FusionPlan.IsInline(value) && !fusion.IsRead(value, group))
            {
                foreach (Value input in value.Node.Inputs)
                {
                    work.Push(FusionPlan.Peel(input));
                }
            }
        }
    }
}
