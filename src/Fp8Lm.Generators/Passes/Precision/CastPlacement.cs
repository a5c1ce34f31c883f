using System;
using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Generators.Ir;
using Fp8Lm.Generators.Model;

namespace Fp8Lm.Generators.Passes.Precision;

/// <summary>
/// Moves casts and column sums to where their input is produced, so that they can ride in the producer's kernel:
/// across the back edge of a loop (the producer of a layer's input is the layer that ran before), and through concatenations (every
/// part is cast in place). What cannot move stays a kernel of its own.
/// </summary>
internal static class CastPlacement
{
    public static void Run(Graph graph)
    {
        foreach (Block block in graph.Blocks.ToList())
        {
            HoistOverBackEdge(graph, block);
        }

        DistributeOverConcat(graph);
    }

    private static bool Moves(Node node) => node.Op is OpCode.Quantize or OpCode.ColumnSum or OpCode.Amax && !(node.Op == OpCode.Quantize && (node.Data.CurrentScale || node.IsGroupedCast));

    private static void HoistOverBackEdge(Graph graph, Block body)
    {
        foreach (Carry carry in body.Carries.ToList())
        {
            foreach (Node cast in body.Nodes.Where(n => Moves(n) && Root(n.Inputs[0]) == carry.Parameter.Out()).ToList())
            {
                int scale = cast.Data.Scale;
                if (scale >= 0)
                {
                    graph.Scales[scale] = graph.Scales[scale] with { Carried = true };
                }

                Node before = Clone(graph, HomeOf(graph, carry.Initial, body), cast, carry.Initial, body.InitialIndex);
                Node after = Clone(graph, body, cast, carry.Result, body.OutgoingIndex);
                if (cast.Op == OpCode.Amax)
                {
                    // The producer's kernel ran in the layer before; the cast needs to wait for nobody.
                    body.Nodes.Remove(cast);
                    foreach (Node node in graph.Nodes.Where(n => n.Inputs.Contains(cast.Out())))
                    {
                        node.Inputs = [.. node.Inputs.Where(v => v != cast.Out())];
                    }

                    continue;
                }

                Dictionary<Value, Value> replaced = [];
                for (int i = 0; i < cast.Types.Count; i++)
                {
                    NodeData data = new() { Index = body.Carries.Count, Format = cast.Data.Format, Scale = scale, ScaleIndex = body.IncomingIndex, Transposed = i == 1 };
                    Node parameter = graph.Add(body, OpCode.CarryIn, [], [cast.Types[i]], data, cast.Site, cast.Label);
                    body.Nodes.Remove(parameter);
                    body.Nodes.Insert(0, parameter);
                    body.Carries.Add(new Carry(parameter, before.Out(i)) { Result = after.Out(i) });
                    replaced[cast.Out(i)] = parameter.Out();
                }

                // Users in other blocks (the weight gradient of a forward input) read the same carried copy.
                foreach (Node node in graph.Nodes)
                {
                    node.Inputs = [.. node.Inputs.Select(v => replaced.TryGetValue(v, out Value r) ? r : v)];
                }

                body.Nodes.Remove(cast);
            }
        }

        // Amax and carried slots: whoever still names a slot of a carried family by layer means the incoming one.
        foreach (Node node in graph.Nodes.Where(n => n.Op == OpCode.Quantize && n.Data.CurrentScale && n.Block == body && graph.Scales[n.Data.Scale].Carried))
        {
            node.Data = node.Data with { ScaleIndex = body.IncomingIndex };
        }
    }

    private static Value Root(Value value)
    {
        while (value.Op == OpCode.Reshape)
        {
            value = value.Node.Inputs[0];
        }

        return value;
    }

    /// <summary>
    /// Where a cast of the initial value goes: to its producer, unless that is the head, whose chunks would have to fill a transposed copy piece
    /// by piece; then to a block of its own right before the loop.
    /// </summary>
    private static Block HomeOf(Graph graph, Value initial, Block body)
    {
        Block home = initial.Node.Block;
        if (home.Loop is null && (home.Phase is Phase.Forward or Phase.Backward))
        {
            return home;
        }

        Block before = graph.Blocks[graph.Blocks.IndexOf(body) - 1];
        return before.Loop is null && (before.Phase is Phase.Forward or Phase.Backward)
            ? before
            : graph.AddBlock(body.Phase, null, "before_" + body.Name, graph.Blocks.IndexOf(body));
    }

    private static Node Clone(Graph graph, Block block, Node cast, Value input, InstanceIndex index)
    {
        Value shaped = input;
        if (!input.Type.Equals(cast.Inputs[0].Type))
        {
            shaped = graph.Add(block, OpCode.Reshape, [input], [cast.Inputs[0].Type], site: cast.Site).Out();
        }

        return graph.Add(block, cast.Op, [shaped], [.. cast.Types], cast.Data with { ScaleIndex = cast.Data.Scale >= 0 ? index : default }, cast.Site, cast.Label);
    }

    private static void DistributeOverConcat(Graph graph) => new Rewriter(graph).Run((b, node) =>
    {
        // What a loop carries has to be one value in one slot, which the cast of the whole can write and casts of parts cannot.
        if ((!Moves(node) && node.Op != OpCode.AccumulateColumnSum) || (node.Op == OpCode.Quantize && IsCarried(graph, node)))
        {
            return null;
        }

        if (node.Op == OpCode.AccumulateColumnSum)
        {
            return Accumulate(b, node);
        }

        Value concat = node.Inputs[0];
        if (concat.Op != OpCode.Concat || concat.Type.Dims.Count != 1)
        {
            return null;
        }

        HashSet<Value> seen = [];
        List<Node> parts = [.. concat.Node.Inputs.Select(p => b.Node(node.Op, [node.Op != OpCode.Quantize || seen.Add(Root(p)) ? p : Again(b, p)], [.. node.Types.Select(t => t.Rows == RowKind.Scalar ? t : p.Type)], node.Data))];
        return node.Op == OpCode.Amax
            ? [parts[0].Out()]
            : [.. Enumerable.Range(0, node.Types.Count).Select(i =>
                b.Node(OpCode.Concat, [.. parts.Select(p => p.Out(i))], node.Types[i], node.Data with { Transposed = i == 1 && node.Op == OpCode.Quantize, Index = node.Op == OpCode.ColumnSum ? 1 : -1 }))];
    });

    /// <summary>A part that occurs twice is cast twice, once for each place: codes are not copied, and their transposed copy could not be, row by row.</summary>
    private static Value Again(GraphBuilder b, Value part) => b.Node(OpCode.Cast, [part], part.Type, new NodeData { Index = b.Graph.NodeCount });

    private static bool IsCarried(Graph graph, Node cast) => graph.Blocks.SelectMany(b => b.Carries).Any(c => c.Initial.Node == cast || c.Result.Node == cast);

    /// <summary>Column sums of the parts go to their own ranges of the gradient.</summary>
    private static Value[]? Accumulate(GraphBuilder b, Node node)
    {
        Value slabs = node.Inputs[0];
        if (slabs.Op != OpCode.Concat)
        {
            return null;
        }

        DimExpr start = DimExpr.Zero;
        Value last = default;
        foreach (Value part in slabs.Node.Inputs)
        {
            last = b.Node(OpCode.AccumulateColumnSum, [part], TensorType.Scalar, node.Data with { Extent = start });
            start += part.Type.Columns;
        }

        return [last];
    }
}
