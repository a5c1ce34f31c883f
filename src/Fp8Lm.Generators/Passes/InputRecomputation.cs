using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Generators.Ir;
using Fp8Lm.Generators.Model;

namespace Fp8Lm.Generators.Passes;

/// <summary>
/// The gradient of a weight reads the linear's input. Where that is a norm of what backward reads anyway, it is not kept: the row kernel that computes the norm's gradient
/// has the normalised values in registers and writes the copy, and the gradient of the weight runs behind it. An FP8 cast loses its transposed copy in forward to the
/// one in backward, byte for byte the same traffic; a 16-bit input is written twice.
/// </summary>
internal sealed class InputRecomputation
{
    private readonly Graph graph;
    private readonly Dictionary<Node, List<Node>> users;

    private InputRecomputation(Graph graph)
    {
        this.graph = graph;
        users = graph.Users();
    }

    public static void Run(Graph graph, RecipeSpec recipe)
    {
        if (recipe.Recompute == Model.Recompute.Nothing)
        {
            return;
        }

        foreach (Block backward in graph.Blocks.Where(b => b.Phase == Phase.Backward && b.Loop is not null))
        {
            foreach (Value operand in backward.Nodes.Where(IsWeightGradient).Select(n => n.Inputs[1]).Distinct().ToList())
            {
                // Nodes move, so every input looks at the block anew.
                new InputRecomputation(graph).Recompute(operand, backward);
            }
        }
    }

    private static bool IsWeightGradient(Node node) => node.Op == OpCode.Gemm && node.Data.Gemm == GemmRole.Wgrad;

    private void Recompute(Value operand, Block backward)
    {
        Node source = operand.Node;
        bool cast = source.Op == OpCode.Quantize;
        Value value = cast ? source.Inputs[0] : operand;
        List<Node> products = [.. Readers(operand).Where(r => r.Block == backward && r.Class == OpClass.Anchor)];
        if (source.Block.Phase != Phase.Forward || source.Block.Loop != backward.Loop || source.IsGroupedCast || IsCarried(operand) || !SlopeRange.IsFunction(value.Node)
            || !products.All(IsWeightGradient) || (cast && Readers(operand).Any(r => r.Block != source.Block && !products.Contains(r))))
        {
            return;
        }

        HashSet<Value> read = [.. backward.Nodes.Where(n => n.Class == OpClass.Elementwise).SelectMany(n => n.Inputs)];
        HashSet<Value> ends = [];
        if (!Reaches(value, read, ends) || !ends.Any(e => e.Type.Columns.IsOne && Behind(e.Node).Any(n => n.Class == OpClass.RowReduction)))
        {
            return;
        }

        // The kernel that has everything at hand is that of a reduction over the same values. One that runs before the products have their other operands, for another use
        // of these values, is not it: the products could not stand behind it.
        List<Value> whole = [.. ends.Where(e => e.Type.Rows == RowKind.Token && !e.Type.Columns.IsOne)];
        int ready = products.SelectMany(p => p.Inputs).Max(i => backward.Nodes.IndexOf(i.Node));
        Node? reduction = backward.Nodes.Skip(ready + 1).FirstOrDefault(n => n.Class == OpClass.RowReduction && n.Inputs[0].Type.Equals(value.Type) && whole.All(Within(n, backward).Contains));
        if (reduction is null || products.Any(p => Within(reduction, backward).Any(v => v.Node == p)))
        {
            return;
        }

        Insert(operand, value, cast, products, ends, backward, reduction);
    }

    /// <summary>Whether backward can compute a value from what its element-wise ops read; what the computation ends in.</summary>
    private static bool Reaches(Value value, HashSet<Value> read, HashSet<Value> ends)
    {
        if (value.Op == OpCode.Constant || value.Op == OpCode.Parameter)
        {
            return true;
        }

        bool statistic = value.Type.Columns.IsOne;
        if (!statistic && SlopeRange.IsFunction(value.Node))
        {
            HashSet<Value> below = [];
            if (value.Node.Inputs.All(i => Reaches(i, read, below)))
            {
                ends.UnionWith(below);
                return true;
            }
        }

        return (statistic || read.Contains(value)) && (ends.Add(value) || true);
    }

    private void Insert(Value operand, Value value, bool cast, List<Node> products, HashSet<Value> ends, Block backward, Node reduction)
    {
        List<Node> moved = [.. Dependents(products, backward)];
        Dictionary<string, Node> existing = [];
        foreach (Node node in backward.Nodes.Take(backward.Nodes.IndexOf(reduction)).Where(SlopeRange.IsFunction))
        {
            existing[Key(node.Op, node.Inputs, node.Data)] = node;
        }

        int before = backward.Nodes.Count;
        Value copy = Copy(value);
        NodeData data = cast
            ? operand.Node.Data with { CurrentScale = false, FixedScale = true }
            : new NodeData { Index = graph.NodeCount };
        Node store = graph.Add(backward, cast ? OpCode.Quantize : OpCode.Cast, [copy], [.. operand.Node.Types], data, operand.Node.Site, operand.Node.Label);
        List<Node> added = backward.Nodes.GetRange(before, backward.Nodes.Count - before);
        backward.Nodes.RemoveRange(before, added.Count);
        backward.Nodes.RemoveAll(moved.Contains);
        // Another cast of the same value may have brought nodes that this one shares, which stand behind that end.
        int behind = Within(store, backward).Select(v => backward.Nodes.IndexOf(v.Node)).Append(backward.Nodes.IndexOf(EndOf(reduction, backward))).Max() + 1;
        backward.Nodes.InsertRange(behind, [.. added, .. moved]);
        foreach (Node product in products)
        {
            product.Inputs = [.. product.Inputs.Select(i => i == operand ? store.Out(operand.Index) : i)];
        }

        Value Copy(Value of)
        {
            if (ends.Contains(of) || of.Op is OpCode.Constant or OpCode.Parameter)
            {
                return of;
            }

            Value[] inputs = [.. of.Node.Inputs.Select(Copy)];
            return existing.TryGetValue(Key(of.Op, inputs, of.Node.Data), out Node? known)
                ? known.Out()
                : graph.Add(backward, of.Op, inputs, [.. of.Node.Types], of.Node.Data, of.Node.Site, of.Node.Label).Out();
        }
    }

    /// <summary>
    /// The last element-wise op of what a reduction's kernel computes from it, before a product needs any of that. Behind it the kernel reads all that it will read, so a cast is
    /// seen to belong there.
    /// </summary>
    private static Node EndOf(Node reduction, Block block)
    {
        HashSet<Node> found = [reduction];
        Node last = reduction;
        foreach (Node node in block.Nodes.Where(n => n.Inputs.Any(i => found.Contains(i.Node))))
        {
            if (node.Class == OpClass.Anchor)
            {
                break;
            }

            found.Add(node);
            last = node.Class is OpClass.Elementwise ? node : last;
        }

        return last;
    }

    private static string Key(OpCode op, Value[] inputs, NodeData data) => $"{op}|{string.Join(",", inputs.Select(i => i.Node.Id + "." + i.Index))}|{data}";

    /// <summary>Nodes of a block that need one of some nodes, and those themselves, in order.</summary>
    private static List<Node> Dependents(List<Node> roots, Block block)
    {
        HashSet<Node> found = [.. roots];
        foreach (Node node in block.Nodes.Where(n => n.Inputs.Any(i => found.Contains(i.Node))))
        {
            found.Add(node);
        }

        return [.. block.Nodes.Where(found.Contains)];
    }

    /// <summary>Values that a node of a block is computed from, inside the block and where they enter it.</summary>
    private static HashSet<Value> Within(Node root, Block block)
    {
        HashSet<Value> seen = [];
        Stack<Node> work = new([root]);
        while (work.Count > 0)
        {
            foreach (Value input in work.Pop().Inputs.Where(seen.Add).Where(i => i.Node.Block == block && i.Node.Class is OpClass.Elementwise or OpClass.RowReduction))
            {
                work.Push(input.Node);
            }
        }

        return seen;
    }

    private static IEnumerable<Node> Behind(Node node) => node.Class == OpClass.Elementwise ? node.Inputs.SelectMany(i => Behind(i.Node)).Append(node) : [node];

    private bool IsCarried(Value value) => graph.Blocks.SelectMany(b => b.Carries).Any(c => c.Initial == value || c.Result == value);

    private IEnumerable<Node> Readers(Value value) => users.TryGetValue(value.Node, out List<Node>? readers) ? readers.Where(r => r.Inputs.Contains(value)) : [];
}
