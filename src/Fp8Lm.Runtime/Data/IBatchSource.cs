using System;

namespace Fp8Lm.Data;

/// <summary>Gives training sequences by number. A sequence is a function of its number alone, so that a resumed run needs only the step.</summary>
public interface IBatchSource
{
    /// <summary>Sequences until the source repeats itself.</summary>
    long SequencesPerEpoch { get; }

    /// <summary>Text that changes when the data or their order does.</summary>
    string Fingerprint { get; }

    /// <summary>Writes one sequence.</summary>
    /// <param name="number">Number of the sequence, from 0, without end.</param>
    /// <param name="tokens">Token ids.</param>
    /// <param name="labels">The token that follows each; negative values are ignored by the loss.</param>
    /// <param name="weights">Weight of each label.</param>
    void Read(long number, Span<int> tokens, Span<int> labels, Span<float> weights);
}
