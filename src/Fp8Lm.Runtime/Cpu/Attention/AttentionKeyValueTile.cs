using System;

namespace Fp8Lm.Cpu;

/// <summary>
/// Gradients of keys and values. Rows are keys and columns are queries, so both results are plain products again and no two tiles add to
/// the same sums; the query heads of a group come one after the other.
/// </summary>
internal readonly unsafe struct AttentionKeyValueTile
{
    private readonly AttentionArgs args;
    private readonly long sequenceToken;
    private readonly int head;
    private readonly int first;
    private readonly int rows;
    private readonly int queryBase;
    private readonly int queries;
    private readonly float* queriesTransposed;
    private readonly float* outputsTransposed;
    private readonly float* queriesPlain;
    private readonly float* outputsPlain;
    private readonly float* logSums;
    private readonly float* deltas;
    private readonly float* keyRows;
    private readonly float* valueRows;
    private readonly float* probabilities;
    private readonly float* gradients;

    public AttentionKeyValueTile(CpuPool pool, int worker, in AttentionArgs args, int sequence, int head, int first, int rows)
    {
        this.args = args;
        sequenceToken = sequence * args.Sequence;
        (this.head, this.first, this.rows) = (head, first, rows);
        int size = (int)args.HeadSize;
        queryBase = first / MicroKernel.Columns * MicroKernel.Columns;
        queries = args.EndQuery(first + rows - 1) - queryBase;

        int padded = GemmBlocking.AlignUp(queries, MicroKernel.Columns), sumRows = GemmBlocking.AlignUp(rows, PackedA.GroupRows);
        long transposed = HeadPacking.TransposedFloats(queries, size), plain = HeadPacking.PlainFloats(queries, size), sums = (long)sumRows * args.SumPitch;
        queriesTransposed = pool.LibraryScratch(worker, (2 * (transposed + plain + padded + sums)) + (4 * PackedA.GroupFloats));
        outputsTransposed = queriesTransposed + transposed;
        queriesPlain = outputsTransposed + transposed;
        outputsPlain = queriesPlain + plain;
        logSums = outputsPlain + plain;
        deltas = logSums + padded;
        keyRows = deltas + padded;
        valueRows = keyRows + PackedA.GroupFloats;
        probabilities = valueRows + PackedA.GroupFloats;
        gradients = probabilities + PackedA.GroupFloats;
        KeySums = gradients + PackedA.GroupFloats;
        ValueSums = KeySums + sums;
    }

    /// <summary>Gradients of the tile's keys, [rows, <see cref="AttentionArgs.SumPitch"/>].</summary>
    public float* KeySums { get; }

    /// <summary>Gradients of the tile's values.</summary>
    public float* ValueSums { get; }

    /// <summary>Adds up the contributions of all query heads.</summary>
    public void Sum(float* lse, float* delta)
    {
        for (int member = 0; member < args.Group; member++)
        {
            Pack((head * args.Group) + member, lse, delta);
            for (int group = 0; group < rows; group += PackedA.GroupRows)
            {
                Group(group, Math.Min(PackedA.GroupRows, rows - group), add: member > 0);
            }
        }
    }

    private void Pack(int queryHead, float* lse, float* delta)
    {
        int size = (int)args.HeadSize;
        long token = sequenceToken + queryBase;
        HeadPacking.Transposed(args.Query, token, queryHead, size, queries, queriesTransposed);
        HeadPacking.Transposed(args.OutputGradient, token, queryHead, size, queries, outputsTransposed);
        HeadPacking.Plain(args.Query, token, queryHead, size, queries, queriesPlain);
        HeadPacking.Plain(args.OutputGradient, token, queryHead, size, queries, outputsPlain);
        for (int q = 0; q < GemmBlocking.AlignUp(queries, MicroKernel.Columns); q++)
        {
            long statistic = ((token + q) * args.QueryHeads) + queryHead;
            logSums[q] = q < queries ? lse[statistic] : 0f;
            deltas[q] = q < queries ? delta[statistic] : 0f;
        }
    }

    private void Group(int group, int groupRows, bool add)
    {
        int size = (int)args.HeadSize, pitch = args.SumPitch, key = first + group;
        HeadPacking.Rows(args.Key, sequenceToken + key, head, size, groupRows, keyRows);
        HeadPacking.Rows(args.Value, sequenceToken + key, head, size, groupRows, valueRows);

        int begin = (key - queryBase) / MicroKernel.Columns * MicroKernel.Columns, end = args.EndQuery(key + groupRows - 1) - queryBase;
        for (int chunk = begin; chunk < end; chunk += PackedA.MaxDepth)
        {
            int depth = Math.Min(PackedA.MaxDepth, end - chunk), width = GemmBlocking.AlignUp(depth, Simd.Lanes);
            HeadPacking.MultiplyTransposed(keyRows, queriesTransposed, size, chunk, width, probabilities);
            HeadPacking.MultiplyTransposed(valueRows, outputsTransposed, size, chunk, width, gradients);
            for (int r = 0; r < groupRows; r++)
            {
                int origin = queryBase + chunk;
                SoftmaxRows.BackwardOfKey(
                    probabilities + (r * PackedA.Pitch), gradients + (r * PackedA.Pitch), width, key + r - origin, args.EndQuery(key + r) - origin,
                    args.Scale, logSums + chunk, deltas + chunk);
            }

            HeadPacking.MultiplyPlain(gradients, queriesPlain, queries, chunk, depth, KeySums + ((long)group * pitch), pitch, add || chunk > begin);
            HeadPacking.MultiplyPlain(probabilities, outputsPlain, queries, chunk, depth, ValueSums + ((long)group * pitch), pitch, add || chunk > begin);
        }
    }
}
