using System;

namespace Fp8Lm.Runtime.Tests.Cpu;

/// <summary>Causal attention written from its definition in F64, forward and backward, for comparison.</summary>
internal sealed class AttentionModel(int batch, int sequence, int queryHeads, int keyValueHeads, int size, double scale, int window)
{
    public int Tokens => batch * sequence;

    public int QueryWidth => queryHeads * size;

    public int KeyWidth => keyValueHeads * size;

    public double[] Output { get; private set; } = [];

    public double[] LogSum { get; private set; } = [];

    public void Forward(double[] q, double[] k, double[] v)
    {
        Output = new double[Tokens * QueryWidth];
        LogSum = new double[Tokens * queryHeads];
        ForEachRow((b, head, i, first) =>
        {
            double[] p = Probabilities(q, k, b, head, i, first, out double logSum);
            LogSum[(((b * sequence) + i) * queryHeads) + head] = logSum;
            for (int j = first; j <= i; j++)
            {
                for (int d = 0; d < size; d++)
                {
                    Output[At(b, i, head, QueryWidth) + d] += p[j - first] * v[At(b, j, KeyHead(head), KeyWidth) + d];
                }
            }
        });
    }

    public (double[] Dq, double[] Dk, double[] Dv) Backward(double[] q, double[] k, double[] v, double[] gradient)
    {
        double[] dq = new double[q.Length], dk = new double[k.Length], dv = new double[v.Length];
        ForEachRow((b, head, i, first) =>
        {
            double[] p = Probabilities(q, k, b, head, i, first, out _);
            int query = At(b, i, head, QueryWidth);
            double[] dp = new double[p.Length];
            double mean = 0;
            for (int j = first; j <= i; j++)
            {
                int key = At(b, j, KeyHead(head), KeyWidth);
                for (int d = 0; d < size; d++)
                {
                    dp[j - first] += gradient[query + d] * v[key + d];
                    dv[key + d] += p[j - first] * gradient[query + d];
                }

                mean += p[j - first] * dp[j - first];
            }

            for (int j = first; j <= i; j++)
            {
                int key = At(b, j, KeyHead(head), KeyWidth);
                double ds = p[j - first] * (dp[j - first] - mean) * scale;
                for (int d = 0; d < size; d++)
                {
                    dq[query + d] += ds * k[key + d];
                    dk[key + d] += ds * q[query + d];
                }
            }
        });
        return (dq, dk, dv);
    }

    /// <summary>Row sums of output times gradient, per head.</summary>
    public float[] Delta(double[] gradient)
    {
        float[] delta = new float[Tokens * queryHeads];
        for (int i = 0; i < Output.Length; i++)
        {
            delta[i / size] += (float)(Output[i] * gradient[i]);
        }

        return delta;
    }

    private int At(int b, int position, int head, int width) => (((b * sequence) + position) * width) + (head * size);

    private int KeyHead(int head) => head / (queryHeads / keyValueHeads);

    private void ForEachRow(Action<int, int, int, int> row)
    {
        for (int b = 0; b < batch; b++)
        {
            for (int head = 0; head < queryHeads; head++)
            {
                for (int i = 0; i < sequence; i++)
                {
                    row(b, head, i, window > 0 ? Math.Max(0, i - window + 1) : 0);
                }
            }
        }
    }

    private double[] Probabilities(double[] q, double[] k, int b, int head, int i, int first, out double logSum)
    {
        double[] p = new double[i - first + 1];
        double top = double.NegativeInfinity, sum = 0;
        for (int j = first; j <= i; j++)
        {
            for (int d = 0; d < size; d++)
            {
                p[j - first] += scale * q[At(b, i, head, QueryWidth) + d] * k[At(b, j, KeyHead(head), KeyWidth) + d];
            }

            top = Math.Max(top, p[j - first]);
        }

        for (int j = 0; j < p.Length; j++)
        {
            p[j] = Math.Exp(p[j] - top);
            sum += p[j];
        }

        for (int j = 0; j < p.Length; j++)
        {
            p[j] /= sum;
        }

        logSum = top + Math.Log(sum);
        return p;
    }
}
