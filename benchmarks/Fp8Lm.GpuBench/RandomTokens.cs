using System;
using Fp8Lm.Data;
using Fp8Lm.Training;

namespace Fp8Lm.GpuBench;

/// <summary>Uniform tokens and labels, as the peers have them.</summary>
internal sealed class RandomTokens(long vocabulary) : IBatchSource
{
    public long SequencesPerEpoch => long.MaxValue;

    public string Fingerprint => "random";

    public void Read(long number, Span<int> tokens, Span<int> labels, Span<float> weights)
    {
        for (int i = 0; i < tokens.Length; i++)
        {
            tokens[i] = (int)(CounterRandom.Mix((ulong)number, 2 * (ulong)i) % (ulong)vocabulary);
            labels[i] = (int)(CounterRandom.Mix((ulong)number, (2 * (ulong)i) + 1) % (ulong)vocabulary);
        }

        weights.Fill(1f);
    }
}
