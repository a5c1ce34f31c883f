using System;
using System.Collections.Generic;
using System.Linq;
using System.Numerics;

namespace Fp8Lm.Execution;

/// <summary>Something that needs memory from one schedule position to another, both included.</summary>
/// <param name="Bytes">Size; rounded up to <see cref="ArenaLayout.Alignment"/> by the layout.</param>
/// <param name="FirstUse">First position at which it is live.</param>
/// <param name="LastUse">Last position at which it is live.</param>
public readonly record struct ArenaRequest(long Bytes, int FirstUse, int LastUse)
{
    /// <summary>Whether some position needs both.</summary>
    public bool Overlaps(ArenaRequest other) => FirstUse <= other.LastUse && other.FirstUse <= LastUse;
}

/// <summary>
/// Offsets of requests inside one arena. Invariants: two requests whose intervals meet never share a byte; every offset is a multiple of
/// <see cref="Alignment"/>; equal requests give equal offsets on every machine.
/// </summary>
public sealed class ArenaLayout
{
    /// <summary>Alignment of every offset: a whole number of cache lines, of TMA boxes' 16 bytes, and of CUDA's allocation granule.</summary>
    public const int Alignment = 256;

    private ArenaLayout(long[] offsets, long bytes)
    {
        Offsets = offsets;
        Bytes = bytes;
    }

    /// <summary>Offset of each request, in the order of the requests.</summary>
    public IReadOnlyList<long> Offsets { get; }

    /// <summary>Size of the arena.</summary>
    public long Bytes { get; }

    /// <summary><paramref name="bytes"/> rounded up to <see cref="Alignment"/>.</summary>
    public static long Align(long bytes) => AlignTo(bytes, Alignment);

    /// <summary><paramref name="value"/> rounded up to a multiple of the power of two <paramref name="alignment"/>.</summary>
    public static T AlignTo<T>(T value, T alignment) where T : IBinaryInteger<T> => checked(value + alignment - T.One) & ~(alignment - T.One);

    /// <summary>
    /// Packs greedily, each request into the smallest gap that holds it among the placed requests it overlaps. Optimal packing is NP-hard; which
    /// greedy order is best depends on the program, so a few are tried and the smallest arena is kept, the earlier order on a tie.
    /// </summary>
    public static ArenaLayout Pack(IReadOnlyList<ArenaRequest> requests)
    {
        ArgumentNullException.ThrowIfNull(requests);
        for (int i = 0; i < requests.Count; i++)
        {
            ArgumentOutOfRangeException.ThrowIfNegative(requests[i].Bytes, nameof(requests));
            if (requests[i].LastUse < requests[i].FirstUse)
            {
                throw new ArgumentException($"Request {i} ends at {requests[i].LastUse}, before it starts at {requests[i].FirstUse}.", nameof(requests));
            }
        }

        ReadOnlySpan<Func<ArenaRequest, double>> orders =
        [
            r => -r.Bytes,
            r => -(r.LastUse - r.FirstUse + 1.0) * r.Bytes,
            r => -(r.LastUse - (double)r.FirstUse),
            r => r.FirstUse,
            r => -r.LastUse,
        ];
        ArenaLayout? best = null;
        foreach (Func<ArenaRequest, double> key in orders)
        {
            ArenaLayout layout = Pack(requests, key);
            best = best is null || layout.Bytes < best.Bytes ? layout : best;
        }

        return best!;
    }

    private static ArenaLayout Pack(IReadOnlyList<ArenaRequest> requests, Func<ArenaRequest, double> key)
    {
        // Ties fall to the larger, then to the lower index, so that the order is total.
        int[] order = [.. Enumerable.Range(0, requests.Count).OrderBy(i => key(requests[i])).ThenByDescending(i => requests[i].Bytes).ThenBy(i => i)];
        long[] offsets = new long[order.Length];
        long arena = 0;
        var neighbours = new List<(long Start, long End)>();
        for (int i = 0; i < order.Length; i++)
        {
            ArenaRequest request = requests[order[i]];
            long bytes = Align(request.Bytes);
            neighbours.Clear();
            for (int j = 0; j < i; j++)
            {
                ArenaRequest placed = requests[order[j]];
                if (placed.Overlaps(request))
                {
                    neighbours.Add((offsets[order[j]], checked(offsets[order[j]] + Align(placed.Bytes))));
                }
            }

            offsets[order[i]] = BestGap(neighbours, bytes);
            arena = Math.Max(arena, checked(offsets[order[i]] + bytes));
        }

        return new ArenaLayout(offsets, arena);
    }

    /// <summary>Start of the smallest gap between the occupied ranges that holds <paramref name="bytes"/>, or the end of the last range.</summary>
    private static long BestGap(List<(long Start, long End)> occupied, long bytes)
    {
        occupied.Sort();
        long best = -1, bestSize = long.MaxValue, end = 0;
        foreach ((long start, long stop) in occupied)
        {
            long gap = start - end;
            if (gap >= bytes && gap < bestSize)
            {
                (best, bestSize) = (end, gap);
            }

            end = Math.Max(end, stop);
        }

        return best >= 0 ? best : end;
    }
}
