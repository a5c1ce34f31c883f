using System;
using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Generators.Ir;
using Fp8Lm.Generators.Ir.Plan;

namespace Fp8Lm.Generators.Passes.Fusion;

/// <summary>
/// Decides which nodes share a kernel and which values go to memory.
/// <list type="bullet">
/// <item>Anchors (GEMM, attention) start a group; element-wise ops, casts and column sums join the last group that produces one of their
/// operands, if the index space agrees: the epilogue.</item>
/// <item>Reductions over rows need row kernels; everything that follows in the same space joins them: the prologue and epilogue of a norm.</item>
/// <item>An element-wise value without operands from its own block costs nothing to compute again; it is inlined wherever it is used. So is a
/// forward value in backward, unless saving the value itself needs less memory than saving what it is computed from.</item>
/// </list>
/// </summary>
internal sealed class FusionGrouping
{
    private readonly Graph graph;
    private readonly FusionPlan plan = new();
    private readonly HashSet<Value> pinned = [];
    private int front;

    private FusionGrouping(Graph graph) => this.graph = graph;

    public static FusionPlan Run(Graph graph)
    {
        FusionGrouping grouping = new(graph);
        grouping.Group();
        // The kernel writes its row sums whether or not a gradient (none passes through a comparison) reads them.
        foreach (Node attention in grouping.plan.Groups.Select(g => g.Anchor).OfType<Node>().Where(a => a.Op == OpCode.Attention))
        {
            grouping.Store(attention.Out(1));
        }

        // Values that all their readers compute for themselves leave kernels behind that write nothing.
        grouping.plan.Groups.RemoveAll(g => g.Anchor is null && g.Stores.Count == 0 && g.Members.All(m => m.Class is OpClass.Elementwise or OpClass.RowReduction));
        return grouping.plan;
    }

    private void Group()
    {
        foreach (Block block in graph.Blocks)
        {
            foreach (Node node in block.Nodes.Where(n => n.Op is not OpCode.ColumnSum and not OpCode.AccumulateColumnSum).ToList())
            {
                Place(node);
            }

            // Column sums come last: a row kernel that reads their operands anyway is a better home than a GEMM's epilogue.
            foreach (Node node in block.Nodes.Where(n => n.Op is OpCode.ColumnSum or OpCode.AccumulateColumnSum).ToList())
            {
                Place(node);
            }

            foreach (Carry carry in block.Carries)
            {
                Materialize(carry.Result);
            }

            foreach (Carry carry in graph.Blocks.SelectMany(b => b.Carries).Where(c => FusionPlan.Peel(c.Initial).Node.Block == block))
            {
                Materialize(carry.Initial);
            }

            if (graph.Logits.Node?.Block == block)
            {
                Materialize(graph.Logits);
            }

            foreach (FusedGroup group in plan.Of(block).ToList())
            {
                StoreOperands(group);
            }

            SinkStores(block);
        }
    }

    // ---- Grouping ---------------------------------------------------------------------------------------------------------------------

    private void Place(Node node)
    {
        switch (node.Class)
        {
            case OpClass.Anchor:
                foreach (Value input in node.Inputs)
                {
                    Materialize(input);
                }

                Join(node, NewGroup(node.Block, node, Space.Of(node)));
                break;
            case OpClass.Cast when node.IsGroupedCast:
                foreach (Value input in node.Inputs.Where(i => i.Op != OpCode.MasterInverse))
                {
                    Materialize(input);
                }

                Join(node, NewGroup(node.Block, node, Space.Of(node)));
                break;
            case OpClass.Sink when node.Op is OpCode.EmbedGradient or OpCode.PositionGradient or OpCode.AccumulateColumnSum:
                foreach (Value input in node.Inputs.Where(i => i.Op != OpCode.Tokens))
                {
                    Materialize(input);
                }

                Join(node, NewGroup(node.Block, node, Space.Of(node)));
                break;
            case OpClass.Elementwise when Producers(node).Count == 0:
            case OpClass.Leaf:
            case OpClass.View:
                break;
            case OpClass.Composite:
                throw new InvalidOperationException($"{node} should have been expanded");
            default:
                foreach (Value input in node.Inputs.Where(i => i.Op != OpCode.Amax && NeedsMemory(node, i)))
                {
                    Materialize(input);
                }

                Assign(node);
                break;
        }
    }

    /// <summary>Operands that a kernel can only read from memory: permuted access, slices, concatenations, and what a current scale was measured on.</summary>
    private static bool NeedsMemory(Node user, Value operand)
    {
        Value root = FusionPlan.Peel(operand);
        return user.Op is OpCode.PairSwap or OpCode.Tile || root.Op is OpCode.Slice or OpCode.Concat || root.Op == OpCode.Amax || (user.Op is OpCode.Quantize or OpCode.StoreGradient && user.Data.CurrentScale);
    }

    private void Assign(Node node)
    {
        List<(FusedGroup Group, bool Memory)> producers = Producers(node);
        Space space = Space.Of(node);
        int last = producers.Count == 0 ? -1 : producers.Max(p => p.Group.Index);

        bool CanJoin(FusedGroup group) =>
            !group.IsLibrary
            && group.Index >= last
            && (group.Space == space || (space.IsRowScalarOf(group.Space) && group.IsRow && node.Op != OpCode.ColumnSum))
            && (group.IsRow || node.Class != OpClass.RowReduction)
            && !producers.Any(p => p.Memory && p.Group == group);

        List<FusedGroup> candidates = [.. plan.Of(node.Block).Where(CanJoin)];
        bool Near(FusedGroup group) => group.IsRow && (SharesOperand(node, group) || ReadsFrom(group, producers));
        FusedGroup? home = node.Op == OpCode.ColumnSum
            ? candidates.FirstOrDefault(Near) ?? candidates.FirstOrDefault(g => g.Index == last)
            : candidates.FirstOrDefault(g => g.Index == last) ?? candidates.FirstOrDefault(Near);
        Join(node, home ?? NewGroup(node.Block, null, space));
    }

    /// <summary>Whether the group already reads or computes one of the node's operands.</summary>
    private bool SharesOperand(Node node, FusedGroup group)
    {
        HashSet<Node> wanted = [.. Closure(node.Inputs)];
        return group.Members.Any(m => wanted.Contains(m) || Closure(m.Inputs).Any(wanted.Contains));
    }

    /// <summary>Whether the group reads what one of the producers makes: a second reduction over the same kernel's output belongs to the first.</summary>
    private bool ReadsFrom(FusedGroup group, List<(FusedGroup Group, bool Memory)> producers) =>
        group.Members.SelectMany(Producers).Any(mine => mine.Group != group && producers.Any(p => p.Group == mine.Group));

    /// <summary>Operands down to what is computed or read as it is, through views and inlined values.</summary>
    private IEnumerable<Node> Closure(IEnumerable<Value> inputs)
    {
        Stack<Node> work = new(inputs.Select(i => i.Node));
        HashSet<Node> seen = [];
        while (work.Count > 0)
        {
            Node node = work.Pop();
            if (node.Op == OpCode.Constant || !seen.Add(node))
            {
                continue;
            }

            yield return node;
            if (!plan.Owner.ContainsKey(node))
            {
                foreach (Value input in node.Inputs)
                {
                    work.Push(input.Node);
                }
            }
        }
    }

    /// <summary>Groups of the node's own block that its operands come from, and whether the operand must be read from memory.</summary>
    private List<(FusedGroup Group, bool Memory)> Producers(Node node)
    {
        List<(FusedGroup, bool)> found = [];
        HashSet<(Node, bool)> seen = [];
        void Visit(Value value, bool memory)
        {
            if (value.Node.Block != node.Block || !seen.Add((value.Node, memory)))
            {
                return;
            }

            if (plan.Owner.TryGetValue(value.Node, out FusedGroup? group))
            {
                found.Add((group, memory || group.IsLibrary));
                return;
            }

            bool below = memory || value.Op is OpCode.Slice or OpCode.Concat;
            foreach (Value input in value.Node.Inputs)
            {
                Visit(input, below || NeedsMemory(value.Node, input));
            }
        }

        foreach (Value input in node.Inputs)
        {
            Visit(input, NeedsMemory(node, input));
        }

        return found;
    }

    private FusedGroup NewGroup(Block block, Node? anchor, Space space)
    {
        FusedGroup group = new(plan.Groups.Count, block, anchor, space);
        plan.Groups.Add(group);
        return group;
    }

    private void Join(Node node, FusedGroup group)
    {
        group.Members.Add(node);
        plan.Owner[node] = group;
    }

    // ---- Memory -----------------------------------------------------------------------------------------------------------------------

    /// <summary>Makes sure a value stands in memory; it will not be recomputed by the kernels that read it.</summary>
    private void Materialize(Value value)
    {
        value = FusionPlan.Peel(value);
        switch (value.Node.Class)
        {
            case OpClass.View when value.Op == OpCode.Slice:
                Materialize(value.Node.Inputs[0]);
                return;
            case OpClass.View:
                foreach (Value part in value.Node.Inputs)
                {
                    Materialize(part);
                }

                return;
            case OpClass.Leaf when value.Op != OpCode.Constant || value.Type.Rows != RowKind.Token:
                return;
        }

        if (!plan.Owner.ContainsKey(value.Node))
        {
            // It depends on nothing that its block computes, so it can run before every kernel that may read it.
            FusedGroup group = new(--front, value.Node.Block, null, Space.Of(value.Node));
            plan.Groups.Add(group);
            Join(value.Node, group);
            StoreOperands(plan.Owner[value.Node]);
        }

        pinned.Add(value);
        Store(value);
    }

    private void Store(Value value)
    {
        FusedGroup group = plan.Owner[value.Node];
        if (!group.Stores.Contains(value))
        {
            group.Stores.Add(value);
        }
    }

    private bool IsStored(Value value) => plan.Owner.TryGetValue(value.Node, out FusedGroup? group) && group.Stores.Contains(value);

    /// <summary>Casts store themselves; every other operand from another group is stored by its producer or inlined here.</summary>
    private void StoreOperands(FusedGroup group)
    {
        foreach (Node node in group.Members.ToList())
        {
            if (node.Class == OpClass.Cast && node.Op != OpCode.Amax)
            {
                for (int i = 0; i < node.Types.Count; i++)
                {
                    if (node.Types.Count == 1 || IsUsed(node.Out(i)))
                    {
                        Store(node.Out(i));
                    }
                }
            }

            if (node != group.Anchor)
            {
                foreach (Value input in node.Inputs)
                {
                    Demand(input, group);
                }
            }
        }
    }

    private bool IsUsed(Value value) =>
        graph.Nodes.Any(n => n.Inputs.Contains(value)) || graph.Blocks.SelectMany(b => b.Carries).Any(c => c.Initial == value || c.Result == value);

    private void Demand(Value value, FusedGroup group)
    {
        value = FusionPlan.Peel(value);
        OpClass kind = value.Node.Class;
        if (kind == OpClass.Leaf || value.Op == OpCode.Amax || (plan.Owner.TryGetValue(value.Node, out FusedGroup? owner) && owner == group) || plan.IsRead(value, group))
        {
            return;
        }

        if (kind == OpClass.View)
        {
            Materialize(value);
            return;
        }

        bool owned = plan.Owner.ContainsKey(value.Node);
        bool setup = value.Node.Block.Phase == Phase.Setup && group.Block.Phase != Phase.Setup;
        if (setup || (FusionPlan.IsInline(value) && !group.Space.Computes(value.Type)))
        {
            Materialize(value);
        }
        else if (FusionPlan.IsInline(value) && (!owned || (value.Node.Block != group.Block && NewStores(value, []).Count <= 1)))
        {
            foreach (Value input in value.Node.Inputs)
            {
                if (NeedsMemory(value.Node, input))
                {
                    Materialize(input);
                }
                else
                {
                    Demand(input, group);
                }
            }
        }
        else if (owned)
        {
            Store(value);
        }
        else
        {
            Materialize(value);
        }
    }

    /// <summary>What would have to be stored in addition if a forward value were computed again in backward.</summary>
    private HashSet<Value> NewStores(Value value, HashSet<Value> found)
    {
        value = FusionPlan.Peel(value);
        if (value.Node.Class == OpClass.Leaf || IsStored(value))
        {
            return found;
        }

        if (!FusionPlan.IsInline(value))
        {
            // One number per row is cheap enough not to count.
            if (!value.Type.Columns.IsOne)
            {
                found.Add(value);
            }

            return found;
        }

        foreach (Value input in value.Node.Inputs)
        {
            NewStores(input, found);
        }

        return found;
    }

    /// <summary>
    /// Stored element-wise values that nobody needs in memory (no library kernel, loop, or slice reads them) are computed by their readers
    /// instead, when what they are computed from is stored anyway or takes fewer stores: same or fewer reads, fewer writes.
    /// </summary>
    private void SinkStores(Block block)
    {
        foreach (FusedGroup group in plan.Of(block))
        {
            List<Value> free = [.. group.Stores.Where(v => !pinned.Contains(v) && FusionPlan.IsInline(v))];
            foreach (Value value in free.OrderByDescending(v => group.Members.IndexOf(v.Node)).ToList())
            {
                if (Inside(value, group).All(group.Stores.Contains))
                {
                    group.Stores.Remove(value);
                    free.Remove(value);
                }
            }

            HashSet<Value> sources = [.. free.SelectMany(v => Sources(v, group))];
            if (free.Count > 1 && sources.Count(s => !group.Stores.Contains(s)) < free.Count)
            {
                group.Stores.RemoveAll(free.Contains);
                foreach (Value source in sources)
                {
                    Store(source);
                }
            }
        }
    }

    private IEnumerable<Value> Inside(Value value, FusedGroup group) =>
        value.Node.Inputs.Select(FusionPlan.Peel).Where(v => plan.Owner.TryGetValue(v.Node, out FusedGroup? g) && g == group);

    /// <summary>What a value is computed from inside its group: the anchor's outputs, reductions, and values that stay stored.</summary>
    private IEnumerable<Value> Sources(Value value, FusedGroup group) =>
        Inside(value, group).SelectMany(v => FusionPlan.IsInline(v) && !pinned.Contains(v) ? Sources(v, group) : [v]);
}
