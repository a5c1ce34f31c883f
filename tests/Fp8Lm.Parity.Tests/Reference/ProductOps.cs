using System;
using System.Collections.Generic;
using Fp8Lm.Generators.Ir;

namespace Fp8Lm.Parity.Tests.Reference;

/// <summary>The three products of a linear layer, by role; how operands are stored does not matter here.</summary>
internal static class ProductOps
{
    public static void Gemm(GemmRole role, RealArray a, RealArray b, RealArray y)
    {
        switch (role)
        {
            case GemmRole.Fprop:
                // a [rows, I], b [O, I]
                Multiply(a.Data, b.Data, y.Data, a.Data.Length / a.Columns, b.Dims[0], a.Columns, (a.Columns, 1), (b.Dims[1], 1));
                break;
            case GemmRole.Dgrad:
                // a [rows, O], b [O, I]
                Multiply(a.Data, b.Data, y.Data, a.Data.Length / a.Columns, b.Dims[1], a.Columns, (a.Columns, 1), (1, b.Dims[1]));
                break;
            case GemmRole.Wgrad:
                // a [rows, O], b [rows, I]
                Multiply(a.Data, b.Data, y.Data, a.Columns, b.Columns, a.Data.Length / a.Columns, (1, a.Columns), (1, b.Columns));
                break;
            default:
                throw new NotSupportedException($"{role}");
        }
    }

    private static void Multiply(double[] a, double[] b, double[] y, int rows, int columns, int depth, (int Row, int K) sa, (int Row, int K) sb)
    {
        if (y.Length != rows * columns)
        {
            throw new InvalidOperationException($"a product of {rows} x {columns} in {y.Length} elements");
        }

        for (int r = 0; r < rows; r++)
        {
            for (int c = 0; c < columns; c++)
            {
                double sum = 0;
                for (int k = 0; k < depth; k++)
                {
                    sum += a[(r * sa.Row) + (k * sa.K)] * b[(c * sb.Row) + (k * sb.K)];
                }

                y[(r * columns) + c] = sum;
            }
        }
    }
}

/// <summary>Causal attention and its gradients, one score at a time.</summary>
internal sealed class AttentionOp
{
    private readonly Problem problem;
    private readonly RealArray[] inputs;
    private readonly int queryHeads, keyHeads, size, window;
    private readonly double scale;

    public AttentionOp(Problem problem, RealArray[] inputs, NodeData data)
    {
        this.problem = problem;
        this.inputs = inputs;
        queryHeads = inputs[0].Dims[0];
        keyHeads = inputs[1].Dims[0];
        size = inputs[0].Columns;
        scale = data.Number == 0 ? 1 / Math.Sqrt(size) : data.Number;
        window = data.Extent is null ? int.MaxValue : (int)problem.Extent(data.Extent);
    }

    public void Forward(RealArray y, RealArray statistics)
    {
        for (int token = 0; token < problem.TokenCount; token++)
        {
            for (int head = 0; head < queryHeads; head++)
            {
                double sum = 0;
                foreach (int other in Visible(token))
                {
                    sum += Math.Exp(Score(token, other, head));
                }

                statistics.Data[(token * queryHeads) + head] = Math.Log(sum);
                foreach (int other in Visible(token))
                {
                    double p = Math.Exp(Score(token, other, head)) / sum;
                    for (int d = 0; d < size; d++)
                    {
                        y.Data[Query(token, head) + d] += p * inputs[2].Data[Key(other, head) + d];
                    }
                }
            }
        }
    }

    public void BackwardKeyValue(RealArray dk, RealArray dv) => Backward((q, k, p, ds) =>
    {
        for (int d = 0; d < size; d++)
        {
            dk.Data[k + d] += ds * inputs[0].Data[q + d];
            dv.Data[k + d] += p * inputs[3].Data[q + d];
        }
    });

    public void BackwardQuery(RealArray dq) => Backward((q, k, _, ds) =>
    {
        for (int d = 0; d < size; d++)
        {
            dq.Data[q + d] += ds * inputs[1].Data[k + d];
        }
    });

    /// <summary>Inputs: q, k, v, gradient of the output, log-sum-exp, row sums of output times its gradient.</summary>
    private void Backward(Action<int, int, double, double> visit)
    {
        for (int token = 0; token < problem.TokenCount; token++)
        {
            for (int head = 0; head < queryHeads; head++)
            {
                int row = (token * queryHeads) + head;
                foreach (int other in Visible(token))
                {
                    double p = Math.Exp(Score(token, other, head) - inputs[4].Data[row]);
                    double dp = Dot(inputs[3].Data, Query(token, head), inputs[2].Data, Key(other, head));
                    visit(Query(token, head), Key(other, head), p, p * (dp - inputs[5].Data[row]) * scale);
                }
            }
        }
    }

    private IEnumerable<int> Visible(int token)
    {
        int first = token / problem.Sequence * problem.Sequence;
        for (int other = first; other <= token; other++)
        {
            if (token - other < window)
            {
                yield return other;
            }
        }
    }

    private double Score(int token, int other, int head) => scale * Dot(inputs[0].Data, Query(token, head), inputs[1].Data, Key(other, head));

    private int Query(int token, int head) => ((token * queryHeads) + head) * size;

    private int Key(int token, int head) => ((token * keyHeads) + (head / (queryHeads / keyHeads))) * size;

    private double Dot(double[] a, int ai, double[] b, int bi)
    {
        double sum = 0;
        for (int d = 0; d < size; d++)
        {
            sum += a[ai + d] * b[bi + d];
        }

        return sum;
    }
}
