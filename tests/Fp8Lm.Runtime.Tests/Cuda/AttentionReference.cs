using System;
using System.Threading.Tasks;

namespace Fp8Lm.Runtime.Tests.Cuda;

/// <summary>Attention and its gradients in double, straight from the definition.</summary>
internal sealed class AttentionReference
{
    private readonly AttentionCase c;

    public AttentionReference(AttentionCase c, float[] q, float[] k, float[] v, float[] dO)
    {
        this.c = c;
        int columns = c.Heads * c.HeadSize;
        int kvColumns = c.KvHeads * c.HeadSize;
        O = new double[c.Tokens * columns];
        Lse = new double[c.Tokens * c.Heads];
        Delta = new double[c.Tokens * c.Heads];
        DQ = new double[c.Tokens * columns];
        DK = new double[c.Tokens * kvColumns];
        DV = new double[c.Tokens * kvColumns];
        // Heads of one key/value head add to the same gradients, so the parallel loop runs over those.
        Parallel.For(0, c.Batch * c.KvHeads, index =>
        {
            for (int h = 0; h < c.Heads / c.KvHeads; h++)
            {
                for (int i = 0; i < c.Sequence; i++)
                {
                    Row(index / c.KvHeads, index % c.KvHeads, (index % c.KvHeads * (c.Heads / c.KvHeads)) + h, i, q, k, v, dO);
                }
            }
        });
    }

    public double[] O { get; }

    public double[] Lse { get; }

    public double[] Delta { get; }

    public double[] DQ { get; }

    public double[] DK { get; }

    public double[] DV { get; }

    private void Row(int batch, int kvHead, int head, int i, float[] q, float[] k, float[] v, float[] dO)
    {
        int d = c.HeadSize;
        int token = (batch * c.Sequence) + i;
        int at = (token * c.Heads * d) + (head * d);
        int first = c.Window == 0 ? 0 : Math.Max(0, i - c.Window + 1);
        double[] p = new double[i + 1];
        double maximum = double.NegativeInfinity;
        for (int j = first; j <= i; j++)
        {
            p[j] = c.Scale * Dot(q, at, k, KeyAt(batch, kvHead, j));
            maximum = Math.Max(maximum, p[j]);
        }

        double sum = 0;
        for (int j = first; j <= i; j++)
        {
            sum += p[j] = Math.Exp(p[j] - maximum);
        }

        Lse[(token * c.Heads) + head] = maximum + Math.Log(sum);
        for (int j = first; j <= i; j++)
        {
            p[j] /= sum;
            for (int e = 0; e < d; e++)
            {
                O[at + e] += p[j] * v[KeyAt(batch, kvHead, j) + e];
            }
        }

        double delta = 0;
        for (int e = 0; e < d; e++)
        {
            delta += O[at + e] * dO[at + e];
        }

        Delta[(token * c.Heads) + head] = delta;
        for (int j = first; j <= i; j++)
        {
            int key = KeyAt(batch, kvHead, j);
            double dS = p[j] * (Dot(dO, at, v, key) - delta) * c.Scale;
            for (int e = 0; e < d; e++)
            {
                DQ[at + e] += dS * k[key + e];
                DK[key + e] += dS * q[at + e];
                DV[key + e] += p[j] * dO[at + e];
            }
        }
    }

    private int KeyAt(int batch, int kvHead, int j) => (((batch * c.Sequence) + j) * c.KvHeads * c.HeadSize) + (kvHead * c.HeadSize);

    private double Dot(float[] x, int xAt, float[] y, int yAt)
    {
        double sum = 0;
        for (int e = 0; e < c.HeadSize; e++)
        {
            sum += (double)x[xAt + e] * y[yAt + e];
        }

        return sum;
    }
}
