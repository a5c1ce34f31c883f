using System;
using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Generators.Ir;
using Fp8Lm.Generators.Model;

namespace Fp8Lm.Parity.Tests.Reference;

/// <summary>
/// Runs a graph as it stands after any pass, in float64, one node after the other. Casts, quantisation and copies are the identity, so every
/// pass must leave loss and gradients as they were. Written for being read, not for speed.
/// </summary>
internal sealed class GraphInterpreter
{
    private readonly Graph graph;
    private readonly Problem problem;
    private readonly Dictionary<(Value Value, int Layer), RealArray> values = [];
    private readonly Dictionary<Node, (Block Block, Carry Carry)> outs = [];

    private readonly bool round;

    private GraphInterpreter(Graph graph, Problem problem, bool round)
    {
        this.graph = graph;
        this.problem = problem;
        this.round = round;
        Gradients = problem.ZeroGradients();
        foreach (Block block in graph.Blocks)
        {
            foreach (Carry carry in block.Carries.Where(c => c.Out is not null))
            {
                outs[carry.Out!] = (block, carry);
            }
        }
    }

    /// <summary>Mean loss over the labels, weighted.</summary>
    public double Loss => lossSum / weightSum;

    /// <summary>By parameter, layer and element; zero where the graph has no backward half.</summary>
    public double[][][] Gradients { get; }

    /// <summary>Logits [tokens, vocabulary].</summary>
    public double[] Logits => values[(graph.Logits, -1)].Data;

    /// <summary>A value of the graph; layer -1 outside of loops.</summary>
    public RealArray Value(Value value, int layer) => Read(value, layer);

    private double lossSum;
    private double weightSum;

    /// <summary>Runs all blocks.</summary>
    /// <param name="graph">A graph after any pass.</param>
    /// <param name="problem">Its numbers.</param>
    /// <param name="round">Casts to FP8 round, with the scale that fits the tensor; for graphs in which every tensor has one cast (before CastPlacement).</param>
    public static GraphInterpreter Run(Graph graph, Problem problem, bool round = false)
    {
        GraphInterpreter interpreter = new(graph, problem, round);
        foreach (Block block in graph.Blocks)
        {
            interpreter.Run(block);
        }

        return interpreter;
    }

    private void Run(Block block)
    {
        if (block.Loop is null)
        {
            foreach (Node node in block.Nodes)
            {
                Run(node, -1);
            }

            return;
        }

        int count = (int)problem.Extent(block.Loop.Count);
        int[] layers = [.. Enumerable.Range(0, count)];
        if (block.Descending)
        {
            System.Array.Reverse(layers);
        }

        for (int i = 0; i < count; i++)
        {
            foreach (Carry carry in block.Carries)
            {
                values[(carry.Parameter.Out(), layers[i])] = i == 0 ? Read(carry.Initial, -1) : Read(carry.Result, layers[i - 1]);
            }

            foreach (Node node in block.Nodes)
            {
                Run(node, layers[i]);
            }
        }
    }

    /// <summary>A value that a layer uses: of that layer when it is made in a block of the same loop, else the only one there is.</summary>
    private RealArray Read(Value value, int layer) => values[(value, value.Node.Block.Loop is null ? -1 : layer)];

    private void Run(Node node, int layer)
    {
        if (node.Op == OpCode.CarryIn)
        {
            return;
        }

        if (outs.TryGetValue(node, out (Block Block, Carry Carry) source))
        {
            int last = source.Block.Descending ? 0 : (int)problem.Extent(source.Block.Loop!.Count) - 1;
            values[(node.Out(), layer)] = Read(source.Carry.Result, last);
            return;
        }

        RealArray[] inputs = [.. node.Inputs.Select(v => Read(v, layer))];
        RealArray[] outputs = [.. node.Types.Select(New)];
        if (OpTable.Class(node.Op) == OpClass.Sink)
        {
            Sink(node, inputs, layer);
        }
        else if (node.Op == OpCode.CrossEntropy)
        {
            CompositeOps.CrossEntropy(inputs[0], problem, node.Data.Number2, outputs[0], outputs[1]);
            AddLoss(outputs[0].Data, [.. Enumerable.Range(0, problem.TokenCount).Select(LabelWeight)]);
        }
        else
        {
            Compute(node, inputs, outputs, layer);
        }

        for (int i = 0; i < outputs.Length; i++)
        {
            values[(node.Out(i), layer)] = outputs[i];
        }
    }

    private RealArray New(TensorType type) => new(
        type.Rows, type.Rows switch { RowKind.Token => problem.TokenCount, RowKind.Position => problem.Sequence, _ => 1 }, [.. type.Dims.Select(problem.Extent)]);

    private void Compute(Node node, RealArray[] inputs, RealArray[] outputs, int layer)
    {
        NodeData data = node.Data;
        RealArray y = outputs[0];
        switch (node.Op)
        {
            case OpCode.Parameter:
                problem.Weights[data.Index][Instance(data.Index, layer)].CopyTo(y.Data, 0);
                break;
            case OpCode.Tokens:
                Fill(y, (r, _) => problem.Tokens[r]);
                break;
            case OpCode.Labels:
                Fill(y, (r, _) => problem.Labels[r]);
                break;
            case OpCode.Constant:
                double factor = data.Extent is null ? 1 : problem.Extent(data.Extent);
                double divisor = data.Divisor is null ? 1 : problem.Extent(data.Divisor);
                System.Array.Fill(y.Data, data.Number * factor / divisor);
                break;
            case OpCode.Gradient:
                // Before the first micro-batch of a step.
                System.Array.Clear(y.Data);
                break;
            case OpCode.MasterInverse or OpCode.GradientInverse or OpCode.DynamicLossScale:
                y.Data[0] = 1;
                break;
            case OpCode.LossScale:
                y.Data[0] = 1 / problem.WeightSum;
                break;
            case OpCode.LabelWeight:
                Fill(y, (r, _) => LabelWeight(r));
                break;
            case OpCode.IsLabel:
                Fill(y, (r, c) => problem.Labels[r] == c ? 1 : 0);
                break;
            case OpCode.Position:
                Fill(y, (r, _) => r % problem.Sequence);
                break;
            case OpCode.Column:
                Fill(y, (_, c) => c);
                break;
            case OpCode.Uniform:
                DropoutFactors(y, data, layer);
                break;
            case OpCode.Gather:
                Fill(y, (r, c) => inputs[0].Data[(problem.Tokens[r] * y.Columns) + c]);
                break;
            case OpCode.PositionRow:
                Fill(y, (r, c) => inputs[0].Data[(r % problem.Sequence * y.Columns) + c]);
                break;
            case OpCode.RowSum or OpCode.RowMax:
                Reduce(inputs[0], y, node.Op == OpCode.RowMax);
                break;
            case OpCode.PairSwap:
                CompositeOps.PairSwap(inputs[0], y, (int)problem.Extent(data.Extent!), (int)problem.Extent(data.Divisor!), data.Interleaved);
                break;
            case OpCode.Tile:
                Fill(y, (r, c) => inputs[0].Data[(r * inputs[0].Columns) + (c % inputs[0].Columns)]);
                break;
            case OpCode.LayerNorm or OpCode.RmsNorm:
                CompositeOps.Norm(inputs[0], outputs, data.Number, centred: node.Op == OpCode.LayerNorm);
                break;
            case OpCode.Softmax:
                CompositeOps.Softmax(inputs[0], y);
                break;
            case OpCode.Rotary:
                CompositeOps.Rotary(inputs[0], y, problem.Sequence, data.Number, (int)problem.Extent(data.Extent!), data.Interleaved, data.Number2);
                break;
            case OpCode.Quantize when data.Granularity != Granularity.Tensor:
                inputs[0].As(outputs[0]);
                inputs[0].As(outputs[1]);
                if (round)
                {
                    // Both copies are divided by their scales already.
                    GroupedRounding.Apply(outputs[0].Data, outputs[0].Columns, data, alongColumns: false);
                    GroupedRounding.Apply(outputs[1].Data, outputs[1].Columns, data, alongColumns: true);
                }

                System.Array.Fill(outputs[2].Data, 1);
                System.Array.Fill(outputs[3].Data, 1);
                break;
            case OpCode.GroupAmax:
                // The casts of the reference measure for themselves.
                break;
            case OpCode.Quantize:
                inputs[0].As(outputs[0]);
                if (round)
                {
                    CastOps.RoundToFp8(outputs[0].Data, data.Format);
                }

                outputs[0].As(outputs[1]);
                break;
            case OpCode.Cast when round && data.Format == Generators.Model.Format.BF16:
                inputs[0].As(y);
                CastOps.RoundToBf16(y.Data);
                break;
            case OpCode.Cast when round && data.Fixed is { } bytes:
                Fill(y, (r, c) => Math.Round(inputs[0].Data[(r * y.Columns) + c] * bytes.PerUnit) / bytes.PerUnit);
                break;
            case OpCode.Reshape or OpCode.Cast or OpCode.ColumnSum:
                inputs[0].As(y);
                break;
            case OpCode.Amax:
                y.Data[0] = inputs[0].Data.Max(Math.Abs);
                break;
            case OpCode.Slice:
                Copy(inputs[0], (int)(data.Extent!.Equals(DimExpr.Zero) ? 0 : problem.Extent(data.Extent)), y, 0, y.Columns);
                break;
            case OpCode.Concat:
                int start = 0;
                foreach (RealArray part in inputs)
                {
                    Copy(part, 0, y, start, part.Columns);
                    start += part.Columns;
                }

                break;
            case OpCode.Gemm:
                ProductOps.Gemm(data.Gemm, inputs[0], inputs[1], y);
                break;
            case OpCode.Attention:
                new AttentionOp(problem, inputs, data).Forward(y, outputs[1]);
                break;
            case OpCode.AttentionGradKeyValue:
                new AttentionOp(problem, inputs, data).BackwardKeyValue(outputs[0], outputs[1]);
                break;
            case OpCode.AttentionGradQuery:
                new AttentionOp(problem, inputs, data).BackwardQuery(y);
                break;
            default:
                Elementwise(node, inputs, y);
                break;
        }
    }

    private void Elementwise(Node node, RealArray[] inputs, RealArray y)
    {
        Func<double[], double> f = ScalarOps.Of(node.Op, node.Data.Number);
        int[][] offsets = [.. inputs.Select(i => i.OffsetsIn(y, problem.Sequence))];
        double[] operands = new double[inputs.Length];
        for (int i = 0; i < y.Data.Length; i++)
        {
            for (int k = 0; k < operands.Length; k++)
            {
                operands[k] = inputs[k].Data[offsets[k][i]];
            }

            y.Data[i] = f(operands);
        }
    }

    private void Sink(Node node, RealArray[] inputs, int layer)
    {
        if (node.Op == OpCode.LossRow)
        {
            AddLoss(inputs[0].Data, inputs[1].Data);
            return;
        }

        int parameter = node.Data.Index;
        double[] gradient = Gradients[parameter][Instance(parameter, layer)];
        RealArray rows = node.Op == OpCode.StoreGradient ? inputs[0] : inputs[^1];
        switch (node.Op)
        {
            case OpCode.AccumulateGradient:
                Assert(rows.Data.Length == gradient.Length, node);
                Each(rows, (i, _, _) => gradient[i] += rows.Data[i]);
                break;
            case OpCode.StoreGradient:
                Assert(rows.Data.Length == gradient.Length, node);
                rows.Data.CopyTo(gradient, 0);
                if (round)
                {
                    CastOps.RoundToFp8(gradient, node.Data.Format);
                }

                break;
            case OpCode.AccumulateColumnSum:
                int start = node.Data.Extent is null || node.Data.Extent.Equals(DimExpr.Zero) ? 0 : (int)problem.Extent(node.Data.Extent);
                Assert(node.Data.Extent is not null || rows.Columns == gradient.Length, node);
                Each(rows, (i, _, _) => gradient[start + (i % rows.Columns)] += rows.Data[i]);
                break;
            case OpCode.EmbedGradient:
                Each(rows, (i, r, c) => gradient[(problem.Tokens[r] * rows.Features) + c] += rows.Data[i]);
                break;
            case OpCode.PositionGradient:
                Each(rows, (i, r, c) => gradient[(r % problem.Sequence * rows.Features) + c] += rows.Data[i]);
                break;
            default:
                throw new NotSupportedException($"{node}");
        }
    }

    private void AddLoss(double[] losses, double[] weights)
    {
        lossSum += losses.Sum();
        weightSum += weights.Sum();
    }

    private double LabelWeight(int row) => problem.Labels[row] < 0 ? 0 : problem.LabelWeights[row];

    private int Instance(int parameter, int layer) => problem.Spec.Parameters[parameter].Loop < 0 ? 0 : layer;

    private unsafe void DropoutFactors(RealArray y, NodeData data, int layer)
    {
        Execution.StepState state = problem.State;
        uint key = Cpu.Dropout.Key(&state, (uint)data.Index, (uint)Math.Max(0, layer));
        for (int i = 0; i < y.Data.Length; i++)
        {
            y.Data[i] = Cpu.VectorMath.Uniform(key, (uint)i) < (float)data.Number ? 0 : 1 / (1 - data.Number);
        }
    }

    private static void Reduce(RealArray x, RealArray y, bool max)
    {
        for (int r = 0; r < y.Data.Length; r++)
        {
            ReadOnlySpan<double> row = x.Data.AsSpan(r * x.Columns, x.Columns);
            double result = max ? double.NegativeInfinity : 0;
            foreach (double v in row)
            {
                result = max ? Math.Max(result, v) : result + v;
            }

            y.Data[r] = result;
        }
    }

    private static void Copy(RealArray from, int fromColumn, RealArray to, int toColumn, int columns)
    {
        for (int r = 0; r < from.Data.Length / from.Columns; r++)
        {
            System.Array.Copy(from.Data, (r * from.Columns) + fromColumn, to.Data, (r * to.Columns) + toColumn, columns);
        }
    }

    /// <summary>Sets every element from its row and its place in the last axis.</summary>
    private static void Fill(RealArray y, Func<int, int, double> value)
    {
        for (int i = 0; i < y.Data.Length; i++)
        {
            y.Data[i] = value(i / y.Features, i % y.Columns);
        }
    }

    private static void Each(RealArray x, Action<int, int, int> visit)
    {
        for (int i = 0; i < x.Data.Length; i++)
        {
            visit(i, i / x.Features, i % x.Features);
        }
    }

    private static void Assert(bool condition, Node node)
    {
        if (!condition)
        {
            throw new InvalidOperationException($"{node} does not fit its parameter");
        }
    }
}
