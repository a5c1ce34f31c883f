using System;
using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Generators.Ir;
using Fp8Lm.Generators.Ir.Language;
using Fp8Lm.Generators.Model;

namespace Fp8Lm.Generators.Passes;

/// <summary>
/// ModelSpec -> typed graph of the forward pass. Symbolic shape inference happens here: every op's rule checks its operands
/// and reports errors at the call's site; after an error the op's results are unknown and calls that use them are passed over, so one mistake
/// gives one message.
/// </summary>
internal sealed class GraphConstruction
{
    private readonly ModelSpec spec;
    private readonly List<CompileError> errors;
    private readonly Graph graph;
    private readonly Dictionary<int, Value> values = [];
    private readonly Dictionary<(Block Body, Node Original), Node> copies = [];

    private GraphConstruction(ModelSpec spec, List<CompileError> errors)
    {
        this.spec = spec;
        this.errors = errors;
        graph = new Graph(spec);
    }

    /// <summary>The graph, or null when there were errors.</summary>
    public static Graph? Run(ModelSpec spec, List<CompileError> errors)
    {
        GraphConstruction construction = new(spec, errors);
        construction.Build();
        return errors.Count == 0 ? construction.graph : null;
    }

    private void Build()
    {
        int head = HeadStart();
        Block block = graph.AddBlock(Phase.Forward, null, "stem");
        for (int i = 0; i < spec.Forward.Count; i++)
        {
            if (i == head)
            {
                block = graph.AddBlock(Phase.Head, null, "head");
            }

            if (spec.Forward[i] is LoopSpec loop)
            {
                BuildLoop(loop);
                block = graph.AddBlock(Phase.Forward, null, "after_" + loop.Name);
            }
            else
            {
                BuildOp(new GraphBuilder(graph, block), (OpSpec)spec.Forward[i]);
            }
        }
    }

    /// <summary>
    /// Where the head begins: the last linear from which only element-wise ops lead to the loss. It runs chunk by chunk, so that the
    /// [tokens, vocabulary] matrix never lives.
    /// </summary>
    private int HeadStart()
    {
        IReadOnlyList<StatementSpec> statements = spec.Forward;
        int start = statements.Count - 1;
        HashSet<int> needed = Operands(statements[start]);
        for (int i = start - 1; i >= 0 && statements[i] is OpSpec op; i--)
        {
            if (!op.Results.Any(needed.Contains))
            {
                return start;
            }

            if (op.Op == "linear")
            {
                // Nothing that the head computes on the way may come from before, except the linear's own input.
                HashSet<int> inside = new(statements.Skip(i).OfType<OpSpec>().SelectMany(s => s.Results));
                bool closed = statements.Skip(i + 1).OfType<OpSpec>().All(s => Operands(s).All(inside.Contains));
                return closed ? i : start;
            }

            if (op.Op is "attention" or "concat" or "slice" or "reshape" or "embed" or "position_embed" or "rotary" or "dropout")
            {
                return start;
            }

            needed.UnionWith(Operands(op));
        }

        return start;
    }

    private static HashSet<int> Operands(StatementSpec statement) =>
        statement is OpSpec op ? new(op.Operands.Where(o => o.Kind == OperandKind.Value).Select(o => o.Index)) : [];

    private void BuildLoop(LoopSpec loop)
    {
        Loop info = new(loop.Id, loop.Name, loop.Count, loop.Checkpoint);
        Block body = graph.AddBlock(Phase.Forward, info, loop.Name);
        List<(CarriedSpec Spec, Carry Carry)> carries = [];
        foreach (CarriedSpec carried in loop.Carried)
        {
            // The value may be what another loop leaves behind, with nothing between the two.
            if (Resolve(carried.Initial) is not { } initial)
            {
                continue;
            }

            Node parameter = graph.Add(body, OpCode.CarryIn, [], [initial.Type], new NodeData { Index = body.Carries.Count }, loop.Site);
            Carry carry = new(parameter, initial);
            body.Carries.Add(carry);
            carries.Add((carried, carry));
            values[carried.Parameter] = parameter.Out();
        }

        GraphBuilder builder = new(graph, body);
        foreach (StatementSpec statement in loop.Body)
        {
            BuildOp(builder, (OpSpec)statement);
        }

        foreach ((CarriedSpec spec, Carry carry) in carries)
        {
            if (Resolve(spec.BodyResult) is not { } result)
            {
                continue;
            }

            if (!result.Type.Equals(carry.Initial.Type))
            {
                errors.Add(new CompileError("FP8L0313", loop.Site, loop.Name, carry.Initial.Type.Features(), result.Type.Features()));
                continue;
            }

            carry.Result = result;
        }

        // The values after the loop live in whatever block comes next; it is made by the caller, so they are placed on first use.
        foreach ((CarriedSpec spec, Carry carry) in carries)
        {
            pendingOuts[spec.Result] = (body, carry);
        }
    }

    private readonly Dictionary<int, (Block Body, Carry Carry)> pendingOuts = [];

    private Value? Resolve(int id)
    {
        if (values.TryGetValue(id, out Value value))
        {
            return value;
        }

        if (pendingOuts.TryGetValue(id, out (Block Body, Carry Carry) pending))
        {
            // Outside of the loop that uses it first: the straight block right behind the loop.
            Block home = graph.Blocks[graph.Blocks.IndexOf(pending.Body) + 1];
            Node node = graph.Add(home, OpCode.CarryOut, [], [pending.Carry.Initial.Type], new NodeData { Index = pending.Body.Carries.IndexOf(pending.Carry), Number = pending.Body.Id });
            pending.Carry.Out = node;
            return values[id] = node.Out();
        }

        // An op with an error has no results, and so whatever reads them has none.
        return errors.Count > 0 ? null : throw new InvalidOperationException($"value {id} is read before anything makes it");
    }

    /// <summary>
    /// What a loop reads of values that are made of weights alone is computed once more in its body, where it is fused into what reads it: gradients of such values have tokens
    /// and go straight to the weights, layer by layer.
    /// </summary>
    private Value Inside(GraphBuilder builder, Value value)
    {
        if (builder.Block.Loop is null || value.Node.Block == builder.Block || value.Type.Rows == RowKind.Token)
        {
            return value;
        }

        if (!copies.TryGetValue((builder.Block, value.Node), out Node? copy))
        {
            Value[] inputs = [.. value.Node.Inputs.Select(i => Inside(builder, i))];
            copy = graph.Add(builder.Block, value.Op, inputs, [.. value.Node.Types], value.Node.Data, value.Node.Site, value.Node.Label);
            copies.Add((builder.Block, value.Node), copy);
        }

        return copy.Out(value.Index);
    }

    private void BuildOp(GraphBuilder builder, OpSpec op)
    {
        List<Value> operands = [];
        foreach (OperandSpec operand in op.Operands)
        {
            builder.Site = op.Site;
            builder.Label = operand.Kind == OperandKind.Parameter ? Leaf(spec.Parameters[operand.Index].Path) : "";
            Value? value = operand.Kind switch
            {
                OperandKind.Value => Resolve(operand.Index) is { } found ? Inside(builder, found) : null,
                OperandKind.Parameter => builder.Parameter(operand.Index, new TensorType(RowKind.Parameter, spec.Parameters[operand.Index].Shape)),
                OperandKind.Tokens => builder.Node(OpCode.Tokens, [], new TensorType(RowKind.Token, [DimExpr.One])),
                OperandKind.Labels => builder.Node(OpCode.Labels, [], new TensorType(RowKind.Token, [DimExpr.One])),
                _ => builder.Constant(operand.Number),
            };
            if (value is null)
            {
                return;
            }

            operands.Add(value.Value);
        }

        if (!LanguageOps.TryGet(op.Op, out LanguageRule rule))
        {
            throw new InvalidOperationException($"op '{op.Op}' has no row in LanguageOps");
        }

        builder.Site = op.Site;
        builder.Label = Label(op);
        Value[]? results = rule(new OpContext(builder, op, operands, errors));
        for (int i = 0; results is not null && i < op.Results.Count; i++)
        {
            values[op.Results[i]] = results[i];
        }
    }

    /// <summary>A name for buffers and comments: that of a matrix, of the module that holds a vector, else of the op.</summary>
    private string Label(OpSpec op)
    {
        OperandSpec weight = op.Operands.FirstOrDefault(o => o.Kind == OperandKind.Parameter);
        if (weight.Kind != OperandKind.Parameter)
        {
            return op.Op;
        }

        ParameterSpec parameter = spec.Parameters[weight.Index];
        string[] path = parameter.Path.Split('.');
        return parameter.Shape.Count == 1 && path.Length > 1 && path[path.Length - 2] != "*" ? path[path.Length - 2] : path[path.Length - 1];
    }

    private static string Leaf(string path) => path.Substring(path.LastIndexOf('.') + 1);
}
