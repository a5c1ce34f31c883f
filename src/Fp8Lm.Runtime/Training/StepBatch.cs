using System;
using Fp8Lm.Data;
using Fp8Lm.Execution;

namespace Fp8Lm.Training;

/// <summary>The micro-batches of one step in host memory; the whole step is read first, because the loss is scaled by the sum of all label weights.</summary>
internal sealed class StepBatch
{
    private readonly long microBatch;
    private readonly int sequence;
    private readonly long vocabulary;
    private readonly int[][] tokens;
    private readonly int[][] labels;
    private readonly float[][] weights;

    /// <param name="dims">Sizes of a micro-batch.</param>
    /// <param name="microBatches">Micro-batches held at once.</param>
    /// <param name="vocabulary">Tokens and labels must be below this.</param>
    public StepBatch(DimBinding dims, int microBatches, long vocabulary)
    {
        microBatch = dims[DimBinding.MicroBatch];
        sequence = checked((int)dims[DimBinding.Sequence]);
        this.vocabulary = vocabulary;
        tokens = new int[microBatches][];
        labels = new int[microBatches][];
        weights = new float[microBatches][];
        for (int i = 0; i < microBatches; i++)
        {
            tokens[i] = new int[dims.Tokens];
            labels[i] = new int[dims.Tokens];
            weights[i] = new float[dims.Tokens];
        }
    }

    /// <summary>Micro-batches held at once.</summary>
    public int MicroBatches => tokens.Length;

    /// <summary>Sum of the weights of all labels that count.</summary>
    public double WeightSum { get; private set; }

    /// <summary>Reads all micro-batches; sequences are numbered from <paramref name="firstSequence"/>.</summary>
    public void Read(IBatchSource source, long firstSequence)
    {
        WeightSum = 0;
        for (int i = 0; i < tokens.Length; i++)
        {
            for (long row = 0; row < microBatch; row++)
            {
                var range = new Range((int)(row * sequence), (int)((row + 1) * sequence));
                source.Read(firstSequence + (i * microBatch) + row, tokens[i].AsSpan(range), labels[i].AsSpan(range), weights[i].AsSpan(range));
            }

            Check(i);
        }
    }

    /// <summary>Writes one micro-batch to the session.</summary>
    public void Load(Session session, int index)
    {
        session.Write<int>(tokens[index], session.Tokens);
        session.Write<int>(labels[index], session.Labels);
        session.Write<float>(weights[index], session.LabelWeights);
    }

    /// <summary>Token ids of one micro-batch.</summary>
    public ReadOnlySpan<int> Tokens(int index) => tokens[index];

    /// <summary>Labels of one micro-batch.</summary>
    public ReadOnlySpan<int> Labels(int index) => labels[index];

    /// <summary>Label weights of one micro-batch.</summary>
    public ReadOnlySpan<float> Weights(int index) => weights[index];

    /// <summary>A token outside the vocabulary would read outside the embedding table; label weights are summed on the way.</summary>
    private void Check(int index)
    {
        for (int i = 0; i < tokens[index].Length; i++)
        {
            if ((uint)tokens[index][i] >= vocabulary || labels[index][i] >= vocabulary)
            {
                throw new DataException(
                    $"The data has token {Math.Max(tokens[index][i], labels[index][i])} where the model's vocabulary ends at {vocabulary - 1}. Use a model with a larger vocabulary or another tokenizer.");
            }

            WeightSum += labels[index][i] < 0 ? 0 : weights[index][i];
        }
    }
}
