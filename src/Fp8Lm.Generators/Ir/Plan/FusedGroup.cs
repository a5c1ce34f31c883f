using System.Collections.Generic;
using System.Linq;

namespace Fp8Lm.Generators.Ir.Plan;

/// <summary>
/// Nodes that become one kernel: an anchor with its epilogue, or a row kernel (element-wise ops, reductions over rows, casts). Groups of a
/// block are in execution order; a group reads only what earlier groups store.
/// </summary>
internal sealed class FusedGroup(int index, Block block, Node? anchor, Space space)
{
    public int Index { get; } = index;

    public Block Block { get; } = block;

    /// <summary>Library kernel whose epilogue this is; null for a row kernel.</summary>
    public Node? Anchor { get; } = anchor;

    public Space Space { get; } = space;

    /// <summary>In the block's order.</summary>
    public List<Node> Members { get; } = [];

    /// <summary>Values of members (or of the anchor) that are written to memory.</summary>
    public List<Value> Stores { get; } = [];

    /// <summary>A library kernel without epilogue (gradients of embeddings, finishing column sums, casts with scales per row or block).</summary>
    public bool IsLibrary => Anchor?.Class is OpClass.Sink or OpClass.Cast;

    public bool IsRow => Anchor is null;

    public override string ToString() =>
        $"{Block.Phase}/{Block.Name}#{Index} {(Anchor is null ? "row" : Anchor.Op.ToString())} [{Space}]: {string.Join(" ", Members.Select(m => m.Name))} stores {string.Join(" ", Stores.Select(s => s.ToString()))}";
}

/// <summary>The kernels of a model, and which group computes which node.</summary>
internal sealed class FusionPlan
{
    public List<FusedGroup> Groups { get; } = [];

    public Dictionary<Node, FusedGroup> Owner { get; } = [];

    /// <summary>Whether a kernel reads the value from memory: another one that runs before stores it.</summary>
    public bool IsRead(Value value, FusedGroup reader) =>
        Owner.TryGetValue(value.Node, out FusedGroup? owner) && owner != reader && owner.Stores.Contains(value) && (owner.Block != reader.Block || owner.Index < reader.Index);

    public IEnumerable<FusedGroup> Of(Block block) => Groups.Where(g => g.Block == block).OrderBy(g => g.Index);

    /// <summary>The value under reshapes: same memory, same numbers in the same order.</summary>
    public static Value Peel(Value value)
    {
        while (value.Op == OpCode.Reshape)
        {
            value = value.Node.Inputs[0];
        }

        return value;
    }

    /// <summary>Whether kernels compute the value on the fly from its operands when it is not stored.</summary>
    public static bool IsInline(Value value) => value.Node.Class == OpClass.Elementwise;
}
