using System;

namespace Fp8Lm.Cpu;

/// <summary>Gradients of queries: like the forward tile, with the values transposed for dP and the keys plain for the result.</summary>
internal readonly unsafe struct AttentionQueryTile
{
    private const int SlabRows = AttentionTiles.SlabRows;

    private readonly AttentionArgs args;
    private readonly long sequenceToken;
    private readonly int keyBase;
    private readonly int keys;
    private readonly float* keysTransposed;
    private readonly float* valuesTransposed;
    private readonly float* keysPlain;
    private readonly float* queryRows;
    private readonly float* outputRows;
    private readonly float* logits;
    private readonly float* gradients;
    private readonly float* sums;

    public AttentionQueryTile(CpuPool pool, int worker, in AttentionArgs args, int sequence, int head, int first, int rows)
    {
        this.args = args;
        sequenceToken = sequence * args.Sequence;
        int size = (int)args.HeadSize;
        keyBase = args.FirstKey(first) / MicroKernel.Columns * MicroKernel.Columns;
        keys = first + rows - keyBase;

        long transposed = HeadPacking.TransposedFloats(keys, size), plain = HeadPacking.PlainFloats(keys, size);
        keysTransposed = pool.LibraryScratch(worker, (2 * transposed) + plain + (4 * PackedA.GroupFloats) + (SlabRows * args.SumPitch));
        valuesTransposed = keysTransposed + transposed;
        keysPlain = valuesTransposed + transposed;
        queryRows = keysPlain + plain;
        outputRows = queryRows + PackedA.GroupFloats;
        logits = outputRows + PackedA.GroupFloats;
        gradients = logits + PackedA.GroupFloats;
        sums = gradients + PackedA.GroupFloats;
        HeadPacking.Transposed(args.Key, sequenceToken + keyBase, head, size, keys, keysTransposed);
        HeadPacking.Transposed(args.Value, sequenceToken + keyBase, head, size, keys, valuesTransposed);
        HeadPacking.Plain(args.Key, sequenceToken + keyBase, head, size, keys, keysPlain);
    }

    /// <summary>Gradients of up to 16 queries of a query head.</summary>
    public float* Slab(int queryHead, int first, int rows, float* lse, float* delta)
    {
        for (int group = 0; group < rows; group += PackedA.GroupRows)
        {
            Group(queryHead, first + group, Math.Min(PackedA.GroupRows, rows - group), sums + ((long)group * args.SumPitch), lse, delta);
        }

        return sums;
    }

    private void Group(int queryHead, int first, int rows, float* result, float* lse, float* delta)
    {
        int size = (int)args.HeadSize;
        HeadPacking.Rows(args.Query, sequenceToken + first, queryHead, size, rows, queryRows);
        HeadPacking.Rows(args.OutputGradient, sequenceToken + first, queryHead, size, rows, outputRows);

        int begin = (args.FirstKey(first) - keyBase) / MicroKernel.Columns * MicroKernel.Columns, end = first + rows - keyBase;
        for (int chunk = begin; chunk < end; chunk += PackedA.MaxDepth)
        {
            int depth = Math.Min(PackedA.MaxDepth, end - chunk), width = GemmBlocking.AlignUp(depth, Simd.Lanes);
            HeadPacking.MultiplyTransposed(queryRows, keysTransposed, size, chunk, width, logits);
            HeadPacking.MultiplyTransposed(outputRows, valuesTransposed, size, chunk, width, gradients);
            for (int r = 0; r < rows; r++)
            {
                int query = first + r, origin = keyBase + chunk;
                long statistic = ((sequenceToken + query) * args.QueryHeads) + queryHead;
                SoftmaxRows.BackwardOfQuery(
                    logits + (r * PackedA.Pitch), gradients + (r * PackedA.Pitch), width, args.FirstKey(query) - origin, query + 1 - origin,
                    args.Scale, lse[statistic], delta[statistic]);
            }

            HeadPacking.MultiplyPlain(logits, keysPlain, keys, chunk, depth, result, args.SumPitch, add: chunk > begin);
        }
    }
}
