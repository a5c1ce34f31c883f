using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Generators.Ir;
using Fp8Lm.Generators.Model;

namespace Fp8Lm.Generators.Passes.Precision;

/// <summary>
/// Slices and concatenations are views: parts are written and read in place. Where memory cannot be laid out like that (a part that
/// belongs to two wholes or to another block, a slice of heads read as one flat row) a copy is made explicit.
/// </summary>
internal static class ViewCopies
{
    public static void Run(Graph graph)
    {
        HashSet<Value> parts = [.. graph.Blocks.SelectMany(b => b.Carries).SelectMany(c => new[] { Peel(c.Initial), Peel(c.Result) })];
        new Rewriter(graph).Run((b, node) => node.Op switch
        {
            OpCode.Reshape when Strided(node.Inputs[0]) && !node.Types[0].Columns.Equals(node.Inputs[0].Type.Columns) => [b.Reshape(Copy(b, node.Inputs[0]), node.Types[0].Dims)],
            OpCode.Concat => Own(b, node, parts),
            _ => null,
        });
    }

    private static Value[]? Own(GraphBuilder b, Node node, HashSet<Value> taken)
    {
        bool heads = node.Types[0].Dims.Count > 1;
        // A value of another block has a place of its own: outside a loop there is one, inside one a layer.
        Value[] parts = [.. node.Inputs.Select(p => Computed(p) && !heads && Peel(p).Node.Block == node.Block && taken.Add(Peel(p)) ? p : Copy(b, p))];
        if (!parts.SequenceEqual(node.Inputs))
        {
            node.Inputs = parts;
        }

        return null;
    }

    /// <summary>A slice or concatenation of [H, D]: rows of one head are apart by more than their length.</summary>
    private static bool Strided(Value value) => Peel(value).Op is OpCode.Slice or OpCode.Concat && Peel(value).Type.Dims.Count > 1;

    private static bool Computed(Value value) =>
        OpTable.Class(Peel(value).Op) is OpClass.Elementwise or OpClass.Anchor or OpClass.Cast or OpClass.RowReduction
        || (Peel(value).Op == OpCode.Constant && Peel(value).Type.Rows == RowKind.Token);

    private static Value Copy(GraphBuilder b, Value value) =>
        b.Node(OpCode.Cast, [value], value.Type, new NodeData { Index = b.Graph.NodeCount, Transposed = Peel(value).Node.Data.Transposed });

    private static Value Peel(Value value)
    {
        while (value.Op == OpCode.Reshape)
        {
            value = value.Node.Inputs[0];
        }

        return value;
    }
}
