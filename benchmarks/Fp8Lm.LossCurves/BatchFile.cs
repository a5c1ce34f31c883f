using System;
using System.IO;
using System.Runtime.InteropServices;
using Fp8Lm.Data;

namespace Fp8Lm.LossCurves;

/// <summary>
/// The sequences of a run in the order in which it reads them: int32 [steps * micro-batch, sequence + 1], little-endian; labels are the tokens one place further.
/// </summary>
internal sealed class BatchFile : IBatchSource
{
    private readonly int[] tokens;
    private readonly int sequence;

    public BatchFile(CurvePlan plan, string folder, ulong seed)
    {
        string path = PathOf(folder, seed);
        tokens = MemoryMarshal.Cast<byte, int>(File.ReadAllBytes(path)).ToArray();
        sequence = plan.Sequence;
        SequencesPerEpoch = plan.Steps * plan.MicroBatch;
        if (tokens.Length != SequencesPerEpoch * (sequence + 1))
        {
            throw new DataException($"{path} has {tokens.Length} tokens; {SequencesPerEpoch} sequences of {sequence} and a label need {SequencesPerEpoch * (sequence + 1)}.");
        }
    }

    public long SequencesPerEpoch { get; }

    public string Fingerprint => "curve";

    public static string PathOf(string folder, ulong seed) => Path.Combine(folder, FormattableString.Invariant($"batches-{seed}.i32"));

    /// <summary>Writes the sequences of a seed: every part of the text at most once.</summary>
    /// <exception cref="DataException">The text is too short for that.</exception>
    public static void Write(CurvePlan plan, ITokenSource text, string folder, ulong seed)
    {
        var source = new SequenceSource(text, plan.Sequence, seed, shuffle: true);
        long sequences = plan.Steps * plan.MicroBatch;
        if (source.SequencesPerEpoch < sequences)
        {
            throw new DataException($"The text has {text.Count} bytes, which is {source.SequencesPerEpoch} sequences of {plan.Sequence}; the run reads {sequences}. Give more text.");
        }

        int[] row = new int[plan.Sequence + 1], labels = new int[plan.Sequence];
        float[] weights = new float[plan.Sequence];
        using FileStream file = File.Create(PathOf(folder, seed));
        for (long i = 0; i < sequences; i++)
        {
            source.Read(i, row.AsSpan(0, plan.Sequence), labels, weights);
            row[^1] = labels[^1];
            file.Write(MemoryMarshal.AsBytes(row.AsSpan()));
        }
    }

    /// <inheritdoc/>
    public void Read(long number, Span<int> tokens, Span<int> labels, Span<float> weights)
    {
        ReadOnlySpan<int> row = this.tokens.AsSpan(checked((int)(number % SequencesPerEpoch * (sequence + 1))), sequence + 1);
        row[..^1].CopyTo(tokens);
        row[1..].CopyTo(labels);
        weights.Fill(1f);
    }
}
