using System;
using System.Linq;

namespace Fp8Lm.Parity.Tests.Reference;

/// <summary>Norms, softmax, rotary embedding and loss from their definitions.</summary>
internal static class CompositeOps
{
    /// <summary>Outputs: the normalised value, the mean (LayerNorm only), the reciprocal deviation.</summary>
    public static void Norm(RealArray x, RealArray[] outputs, double epsilon, bool centred)
    {
        int n = x.Columns;
        for (int r = 0; r < x.Data.Length / n; r++)
        {
            double[] row = x.Data[(r * n)..((r + 1) * n)];
            double mean = centred ? row.Sum() / n : 0;
            double rstd = 1 / Math.Sqrt((row.Sum(v => (v - mean) * (v - mean)) / n) + epsilon);
            for (int c = 0; c < n; c++)
            {
                outputs[0].Data[(r * n) + c] = (row[c] - mean) * rstd;
            }

            outputs[^1].Data[r] = rstd;
            if (centred)
            {
                outputs[1].Data[r] = mean;
            }
        }
    }

    public static void Softmax(RealArray x, RealArray y)
    {
        int n = x.Columns;
        for (int r = 0; r < x.Data.Length / n; r++)
        {
            double[] row = x.Data[(r * n)..((r + 1) * n)];
            double largest = row.Max(), sum = row.Sum(v => Math.Exp(v - largest));
            for (int c = 0; c < n; c++)
            {
                y.Data[(r * n) + c] = Math.Exp(row[c] - largest) / sum;
            }
        }
    }

    /// <summary>Pairs turn by position * theta^(-2 i / rotated); pairs are neighbours, or halves of the rotated part.</summary>
    public static void Rotary(RealArray x, RealArray y, int sequence, double theta, int rotated, bool interleaved, double direction)
    {
        x.Data.CopyTo(y.Data, 0);
        int size = x.Columns, heads = x.Features / size;
        for (int row = 0; row < x.Data.Length / size; row++)
        {
            int position = row / heads % sequence;
            for (int i = 0; i < rotated / 2; i++)
            {
                int a = (row * size) + (interleaved ? 2 * i : i), b = a + (interleaved ? 1 : rotated / 2);
                double angle = direction * position * Math.Pow(theta, -2.0 * i / rotated);
                (double sin, double cos) = Math.SinCos(angle);
                y.Data[a] = (x.Data[a] * cos) - (x.Data[b] * sin);
                y.Data[b] = (x.Data[b] * cos) + (x.Data[a] * sin);
            }
        }
    }

    /// <summary>Exchanges the two features of every rotary pair of heads of <paramref name="size"/> features; features beyond the rotated part stay.</summary>
    public static void PairSwap(RealArray x, RealArray y, int rotated, int size, bool interleaved)
    {
        for (int i = 0; i < x.Data.Length; i++)
        {
            int column = i % size;
            int partner = interleaved ? column ^ 1 : column < rotated / 2 ? column + (rotated / 2) : column - (rotated / 2);
            y.Data[i] = x.Data[column < rotated ? i - column + partner : i];
        }
    }

    /// <summary>Weighted losses per token, and the gradient of their weighted mean with respect to the logits.</summary>
    public static void CrossEntropy(RealArray logits, Problem problem, double z, RealArray loss, RealArray gradient)
    {
        int vocabulary = logits.Columns;
        for (int t = 0; t < logits.Rows; t++)
        {
            int label = problem.Labels[t];
            if (label < 0)
            {
                continue;
            }

            double[] row = logits.Data[(t * vocabulary)..((t + 1) * vocabulary)];
            double largest = row.Max(), weight = problem.LabelWeights[t];
            double lse = Math.Log(row.Sum(v => Math.Exp(v - largest))) + largest;
            loss.Data[t] = weight * (lse - row[label] + (z * lse * lse));
            for (int c = 0; c < vocabulary; c++)
            {
                double d = ((1 + (2 * z * lse)) * Math.Exp(row[c] - lse)) - (c == label ? 1 : 0);
                gradient.Data[(t * vocabulary) + c] = d * weight / problem.WeightSum;
            }
        }
    }
}
