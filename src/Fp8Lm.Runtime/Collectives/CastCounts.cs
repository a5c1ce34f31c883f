using System;
using System.Threading;

namespace Fp8Lm.Collectives;

/// <summary>What a pass that writes FP8 codes has seen of them; kernels count while they cast, never afterwards.</summary>
/// <param name="Underflow">Elements that were not zero and became zero.</param>
/// <param name="Saturated">Elements that sit at the largest magnitude of the format.</param>
public readonly record struct CastCounts(long Underflow, long Saturated)
{
    /// <summary>Counts of both.</summary>
    public static CastCounts operator +(CastCounts left, CastCounts right) => new(left.Underflow + right.Underflow, left.Saturated + right.Saturated);
}

/// <summary>Counts that tiles on several workers add to.</summary>
internal struct SharedCounts
{
    private long underflow;
    private long saturated;

    public void Add(long underflowed, long saturatedElements)
    {
        Interlocked.Add(ref underflow, underflowed);
        Interlocked.Add(ref saturated, saturatedElements);
    }

    public readonly CastCounts Total => new(underflow, saturated);
}
