using System.Numerics;
using Fp8Lm.Training;

namespace Fp8Lm.Data;

/// <summary>Random permutations that are computed, not stored: a four-round Feistel network with cycle walking.</summary>
internal static class Permutation
{
    private const int Rounds = 4;

    /// <summary>The image of <paramref name="index"/> under the permutation of 0..count-1 that <paramref name="key"/> names.</summary>
    public static long Apply(long index, long count, ulong key)
    {
        // The network permutes the numbers of an even count of bits; walking on until one falls below count (under four steps on average)
        // restricts it to a permutation of 0..count-1.
        int half = (64 - BitOperations.LeadingZeroCount((ulong)(count - 1)) + 1) / 2;
        ulong value = (ulong)index;
        do
        {
            value = Encrypt(value, half, key);
        }
        while (value >= (ulong)count);
        return (long)value;
    }

    private static ulong Encrypt(ulong value, int half, ulong key)
    {
        ulong mask = (1UL << half) - 1;
        (ulong left, ulong right) = (value >> half, value & mask);
        for (int round = 1; round <= Rounds; round++)
        {
            (left, right) = (right, left ^ (CounterRandom.Mix(key + (ulong)round, right) & mask));
        }

        return (left << half) | right;
    }
}
