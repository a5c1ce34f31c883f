using System;
using System.Numerics;

namespace Fp8Lm.Execution;

/// <summary>How the output head cuts the micro-batch into chunks, so that the [tokens, vocabulary] logits never live as a whole.</summary>
public static class HeadChunk
{
    /// <summary>
    /// Logits of one chunk: at most this many elements, unless the rows cannot be cut further. Half a GiB in 16 bits: every chunk reads and writes the F32 gradient of the
    /// head's weight, so chunks should be long; peak memory grows with them.
    /// </summary>
    public const long TargetElements = 1L << 28;

    /// <summary>
    /// Rows of one chunk: the largest power of two that divides <paramref name="tokens"/> and keeps the chunk within <see cref="TargetElements"/>, at least 16;
    /// all rows when tokens are not a multiple of 16. The same rule stands in <c>fp8lm/common/chunk_rows.cuh</c>.
    /// </summary>
    public static long Rows(long tokens, long vocabulary)
    {
        if (tokens * vocabulary <= TargetElements || tokens % 16 != 0)
        {
            return tokens;
        }

        long rows = tokens & -tokens;
        while (rows > 16 && rows * vocabulary > TargetElements)
        {
            rows /= 2;
        }

        return rows;
    }
}
