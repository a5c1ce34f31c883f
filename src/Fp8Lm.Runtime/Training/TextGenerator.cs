using System;
using System.Collections.Generic;
using Fp8Lm.Execution;
using Fp8Lm.Numerics;

namespace Fp8Lm.Training;

/// <summary>How the next token is chosen.</summary>
/// <param name="Temperature">Logits are divided by it; 0 takes the most likely token.</param>
/// <param name="TopK">Only this many of the most likely tokens are considered; 0: all.</param>
/// <param name="Seed">Equal seeds give equal text.</param>
public sealed record SamplingOptions(float Temperature = 0.8f, int TopK = 40, ulong Seed = 1);

/// <summary>
/// Continues a text with a session of micro-batch 1. The context is the last tokens that fit the sequence, moved to its front; attention is
/// causal, so what stands behind them has no influence.
/// </summary>
public sealed class TextGenerator
{
    private readonly ModelProgram program;
    private readonly Session session;
    private readonly long vocabulary;

    /// <summary>Creates a generator over a session whose weights are loaded and cast.</summary>
    public TextGenerator(ModelDefinition definition, ModelProgram program, Session session)
    {
        ArgumentNullException.ThrowIfNull(program);
        ArgumentNullException.ThrowIfNull(session);
        if (session.Dims[DimBinding.MicroBatch] != 1)
        {
            throw new ArgumentException("Generation takes a session of micro-batch 1.", nameof(session));
        }

        this.program = program;
        this.session = session;
        vocabulary = Trainer.Vocabulary(definition, session.Dims);
    }

    /// <summary>Yields tokens that continue <paramref name="prompt"/>, one at a time, without end.</summary>
    /// <param name="prompt">At least one token.</param>
    /// <param name="options">How tokens are chosen.</param>
    /// <param name="allowed">Tokens from this number on are never chosen (padding of the vocabulary).</param>
    public IEnumerable<int> Continue(IReadOnlyList<int> prompt, SamplingOptions options, int allowed = int.MaxValue)
    {
        ArgumentNullException.ThrowIfNull(prompt);
        ArgumentNullException.ThrowIfNull(options);
        ArgumentOutOfRangeException.ThrowIfZero(prompt.Count, nameof(prompt));
        foreach (int token in prompt)
        {
            ArgumentOutOfRangeException.ThrowIfNegative(token, nameof(prompt));
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(token, vocabulary, nameof(prompt));
        }

        return Tokens(prompt, options, (int)Math.Min(allowed, vocabulary));
    }

    private IEnumerable<int> Tokens(IReadOnlyList<int> prompt, SamplingOptions options, int allowed)
    {
        var text = new List<int>(prompt);
        ulong key = CounterRandom.Key(options.Seed, "sample");
        for (ulong i = 0; ; i++)
        {
            float[] logits = NextLogits(text);
            int token = Choose(logits.AsSpan(0, Math.Min(allowed, logits.Length)), options, CounterRandom.Uniform(key, i));
            text.Add(token);
            yield return token;
        }
    }

    /// <summary>Logits of the token that follows a text.</summary>
    public float[] NextLogits(IReadOnlyList<int> text)
    {
        ArgumentNullException.ThrowIfNull(text);
        int sequence = checked((int)session.Dims[DimBinding.Sequence]);
        int used = Math.Min(sequence, text.Count);
        int[] tokens = new int[sequence];
        for (int i = 0; i < used; i++)
        {
            tokens[i] = text[text.Count - used + i];
        }

        session.WriteState(default);
        session.Write<int>(tokens, session.Tokens);
        program.Forward(session);
        (long chunk, long row) = Math.DivRem(used - 1, program.ChunkRows(session.Dims));
        program.Logits(session, chunk);
        return ReadRow(row);
    }

    private float[] ReadRow(long row)
    {
        BufferInfo buffer = program.Buffers[program.LogitsBuffer];
        nint address = session.Buffer(program.LogitsBuffer, 0) + (nint)(row * vocabulary * buffer.Format.Bytes());
        switch (buffer.Format)
        {
            case ElementFormat.F32:
                return session.Read<float>(address, vocabulary);
            case ElementFormat.BF16:
                return Array.ConvertAll(session.Read<ushort>(address, vocabulary), bits => BitConverter.UInt32BitsToSingle((uint)bits << 16));
            case ElementFormat.F16:
                return Array.ConvertAll(session.Read<ushort>(address, vocabulary), Float16.ToSingle);
            default:
                throw new NotSupportedException($"Logits are stored as {buffer.Format}; generation reads F32, BF16 and F16.");
        }
    }

    /// <summary>Chooses a token by a uniform number in [0, 1).</summary>
    internal static int Choose(ReadOnlySpan<float> logits, SamplingOptions options, double uniform)
    {
        (float Logit, int Token)[] candidates = new (float, int)[logits.Length];
        for (int i = 0; i < logits.Length; i++)
        {
            candidates[i] = (float.IsNaN(logits[i]) ? float.NegativeInfinity : logits[i], i);
        }

        // Decreasing logits; ties by token, so that the choice does not depend on the sort.
        Array.Sort(candidates, (a, b) => a.Logit != b.Logit ? b.Logit.CompareTo(a.Logit) : a.Token.CompareTo(b.Token));
        if (options.Temperature <= 0)
        {
            return candidates[0].Token;
        }

        int count = options.TopK > 0 ? Math.Min(options.TopK, candidates.Length) : candidates.Length;
        double[] weights = new double[count];
        double sum = 0;
        for (int i = 0; i < count; i++)
        {
            sum += weights[i] = Math.Exp((candidates[i].Logit - candidates[0].Logit) / options.Temperature);
        }

        double target = uniform * sum;
        for (int i = 0; i < count; i++)
        {
            target -= weights[i];
            if (target < 0)
            {
                return candidates[i].Token;
            }
        }

        return candidates[0].Token;
    }
}
