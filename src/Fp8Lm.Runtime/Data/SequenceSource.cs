using System;
using System.Buffers;
using Fp8Lm.Training;

namespace Fp8Lm.Data;

/// <summary>
/// Cuts a token source into sequences. Shuffled, each epoch visits every sequence once in its own random order, cut at its own random offset;
/// unshuffled, sequences come in order. Nothing is stored: the place of a sequence is computed from seed, epoch and number.
/// </summary>
public sealed class SequenceSource : IBatchSource
{
    private readonly ITokenSource tokens;
    private readonly int sequence;
    private readonly ulong seed;
    private readonly bool shuffle;
    private readonly long slack;

    /// <summary>Creates a source of sequences.</summary>
    /// <param name="tokens">The text; at least <paramref name="sequence"/> + 1 tokens.</param>
    /// <param name="sequence">Tokens per sequence.</param>
    /// <param name="seed">Seed of the order.</param>
    /// <param name="shuffle">Whether to shuffle.</param>
    public SequenceSource(ITokenSource tokens, int sequence, ulong seed, bool shuffle)
    {
        ArgumentNullException.ThrowIfNull(tokens);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(sequence);
        if (tokens.Count <= sequence)
        {
            throw new DataException($"The data has {tokens.Count} tokens; one sequence needs {sequence + 1L}.");
        }

        this.tokens = tokens;
        this.sequence = sequence;
        this.seed = seed;
        this.shuffle = shuffle;
        SequencesPerEpoch = (tokens.Count - 1) / sequence;
        slack = tokens.Count - 1 - (SequencesPerEpoch * sequence);
    }

    /// <inheritdoc/>
    public long SequencesPerEpoch { get; }

    /// <inheritdoc/>
    public string Fingerprint => FormattableString.Invariant($"{tokens.Fingerprint}/{sequence}/{(shuffle ? seed : 0)}");

    /// <inheritdoc/>
    public void Read(long number, Span<int> tokens, Span<int> labels, Span<float> weights)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(number);
        int[] window = ArrayPool<int>.Shared.Rent(sequence + 1);
        try
        {
            this.tokens.Read(Start(number), window.AsSpan(0, sequence + 1));
            window.AsSpan(0, sequence).CopyTo(tokens);
            window.AsSpan(1, sequence).CopyTo(labels);
            weights.Fill(1f);
        }
        finally
        {
            ArrayPool<int>.Shared.Return(window);
        }
    }

    /// <summary>First token of a sequence.</summary>
    internal long Start(long number)
    {
        (long epoch, long index) = Math.DivRem(number, SequencesPerEpoch);
        if (!shuffle)
        {
            return index * sequence;
        }

        ulong key = CounterRandom.Mix(seed, (ulong)epoch);
        long offset = (long)(CounterRandom.Mix(key, 0) % ((ulong)slack + 1));
        return offset + (Permutation.Apply(index, SequencesPerEpoch, key) * sequence);
    }
}
