using System;
using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Generators.Ir;
using Fp8Lm.Generators.Model;

namespace Fp8Lm.Generators.Passes.Autodiff;

/// <summary>
/// Reverse-mode differentiation of the loss with respect to every parameter. Every forward block gets a backward block, a repeated block
/// one body that runs from the last layer to the first. Gradients of parameters are added to where they are kept the moment they arise;
/// gradients of values captured by a loop travel through it as carried sums.
/// </summary>
internal sealed class ReverseModeAutodiff
{
    private readonly Graph graph;
    private readonly Dictionary<Value, Value> gradients = [];
    private readonly Dictionary<Value, List<(DimExpr Start, Value Gradient)>> parts = [];

    private ReverseModeAutodiff(Graph graph) => this.graph = graph;

    public static void Run(Graph graph) => new ReverseModeAutodiff(graph).Differentiate();

    private void Differentiate()
    {
        List<Block> forward = [.. graph.Blocks];
        foreach (Block block in Enumerable.Reverse(forward))
        {
            if (block.Phase == Phase.Head)
            {
                // The head's backward half belongs to the same chunk.
                Walk(block, [.. block.Nodes], new GraphBuilder(graph, block));
            }
            else if (block.Loop is null)
            {
                Block backward = graph.AddBlock(Phase.Backward, null, block.Name);
                Walk(block, [.. block.Nodes], new GraphBuilder(graph, backward));
            }
            else
            {
                DifferentiateLoop(block);
            }
        }
    }

    private void DifferentiateLoop(Block body)
    {
        Block backward = graph.AddBlock(Phase.Backward, body.Loop, body.Name);
        GraphBuilder builder = new(graph, backward);
        Block before = graph.Blocks[graph.Blocks.IndexOf(backward) - 1];
        Block after = graph.AddBlock(Phase.Backward, null, "before_" + body.Name);

        HashSet<Node> inside = [.. body.Nodes];
        List<Value> captured = [.. body.Nodes.SelectMany(n => n.Inputs).Where(v => !inside.Contains(v.Node) && v.Type.Rows == RowKind.Token && Flows(v)).Distinct()];
        List<(Value Target, Carry Carry)> sums = [];

        // Gradient with respect to the values after the loop flows into the last layer's results.
        foreach (Carry carry in body.Carries)
        {
            if (carry.Out is not null)
            {
                ResolveParts(new GraphBuilder(graph, before), carry.Out.Out());
            }

            Value? outer = carry.Out is null ? null : Gradient(carry.Out.Out());
            Carry incoming = AddCarry(backward, outer ?? Zero(before, carry.Initial.Type));
            sums.Add((carry.Initial, incoming));
            Accumulate(builder, carry.Result, incoming.Parameter.Out());
        }

        foreach (Value value in captured)
        {
            ResolveParts(new GraphBuilder(graph, before), value);
            Value? outer = Gradient(value);
            Carry incoming = AddCarry(backward, outer ?? Zero(before, value.Type));
            gradients.Remove(value);
            gradients[value] = incoming.Parameter.Out();
            sums.Add((value, incoming));
        }

        Walk(body, [.. body.Nodes], builder);

        foreach (Value value in captured)
        {
            ResolveParts(builder, value);
        }

        for (int i = 0; i < sums.Count; i++)
        {
            (Value target, Carry carry) = sums[i];
            Value? result = i < body.Carries.Count ? Gradient(body.Carries[i].Parameter.Out()) : Gradient(target);
            carry.Result = result ?? Zero(backward, target.Type);
            if (i >= body.Carries.Count)
            {
                gradients.Remove(target);
            }
        }

        GraphBuilder outside = new(graph, after);
        foreach ((Value target, Carry carry) in sums)
        {
            if (!Flows(target))
            {
                continue;
            }

            Node node = graph.Add(after, OpCode.CarryOut, [], [target.Type], new NodeData { Index = backward.Carries.IndexOf(carry), Number = backward.Id });
            carry.Out = node;
            Accumulate(outside, target, node.Out());
        }
    }

    private Carry AddCarry(Block block, Value initial)
    {
        Node parameter = graph.Add(block, OpCode.CarryIn, [], [initial.Type], new NodeData { Index = block.Carries.Count });
        Carry carry = new(parameter, initial);
        block.Carries.Add(carry);
        return carry;
    }

    private Value Zero(Block block, TensorType type) => new GraphBuilder(graph, block).Zeros(type, type.Columns);

    private Value? Gradient(Value value) => gradients.TryGetValue(value, out Value gradient) ? gradient : null;

    private static bool Flows(Value value) => !value.Type.Mask && value.Op is not (OpCode.Tokens or OpCode.Labels or OpCode.Constant or OpCode.Uniform);

    private void Accumulate(GraphBuilder builder, Value target, Value gradient)
    {
        if (!Flows(target))
        {
            return;
        }

        if (target.Op == OpCode.Parameter)
        {
            ParameterGradients.Accumulate(builder, target, gradient);
            return;
        }

        gradient = builder.ReduceTo(gradient, target.Type);
        gradients[target] = gradients.TryGetValue(target, out Value sum) ? builder.Add(sum, gradient) : gradient;
    }

    private void AddPart(Value target, DimExpr start, Value gradient)
    {
        if (!parts.TryGetValue(target, out List<(DimExpr, Value)>? list))
        {
            parts[target] = list = [];
        }

        list.Add((start, gradient));
    }

    /// <summary>
    /// Gradients of slices that tile a value become one Concat, which later costs nothing (the parts are written in place); others are
    /// padded with zeros and summed.
    /// </summary>
    private void ResolveParts(GraphBuilder builder, Value target)
    {
        if (!parts.TryGetValue(target, out List<(DimExpr Start, Value Gradient)>? list))
        {
            return;
        }

        parts.Remove(target);
        DimExpr end = DimExpr.Zero;
        List<Value> tiles = [];
        while (list.FirstOrDefault(p => p.Start.Equals(end)) is { Gradient.Node: not null } next)
        {
            tiles.Add(next.Gradient);
            end += next.Gradient.Type.Columns;
            if (tiles.Count > list.Count)
            {
                break;
            }
        }

        if (tiles.Count == list.Count && end.Equals(target.Type.Columns))
        {
            Accumulate(builder, target, builder.Concat(tiles));
            return;
        }

        foreach ((DimExpr start, Value gradient) in list)
        {
            DimExpr rest = target.Type.Columns - start - gradient.Type.Columns;
            List<Value> padded = [gradient];
            if (!start.Equals(DimExpr.Zero))
            {
                padded.Insert(0, builder.Zeros(gradient.Type, start));
            }

            if (!rest.Equals(DimExpr.Zero))
            {
                padded.Add(builder.Zeros(gradient.Type, rest));
            }

            Accumulate(builder, target, builder.Concat(padded));
        }
    }

    private void Walk(Block block, List<Node> nodes, GraphBuilder builder)
    {
        foreach (Node node in Enumerable.Reverse(nodes))
        {
            ResolveParts(builder, node.Out());
            VjpContext context = new(builder, node, Gradient, (t, g) => Accumulate(builder, t, g), (t, start, g) => AddPart(t, start, g));
            if (node.Op == OpCode.CrossEntropy)
            {
                // d loss / d logits is the node's second output; the loss itself has gradient 1.
                context.Add(0, node.Out(1));
            }
            else if (node.Types.Where((_, i) => i == 0 || VjpRules.UsesGradientOf(node.Op, i)).Select((_, i) => Gradient(node.Out(i))).Any(g => g is not null))
            {
                builder.Site = node.Site;
                builder.Label = node.Label;
                VjpRules.Of(node.Op)(context);
            }
        }
    }
}
