using System;
using System.Runtime.Intrinsics;

namespace Fp8Lm.Cpu;

/// <summary>Queries of one key/value head's group against its keys: packed keys and values, and the sums of the slab in work.</summary>
internal readonly unsafe struct AttentionForwardTile
{
    private const int SlabRows = AttentionTiles.SlabRows;

    private readonly AttentionArgs args;
    private readonly long sequenceToken;
    private readonly int keyBase;
    private readonly int keys;
    private readonly float* keysTransposed;
    private readonly float* values;
    private readonly float* queryRows;
    private readonly float* logits;
    private readonly float* sums;

    public AttentionForwardTile(CpuPool pool, int worker, in AttentionArgs args, int sequence, int head, int first, int rows)
    {
        this.args = args;
        sequenceToken = sequence * args.Sequence;
        int size = (int)args.HeadSize;
        keyBase = args.FirstKey(first) / MicroKernel.Columns * MicroKernel.Columns;
        keys = first + rows - keyBase;

        long transposed = HeadPacking.TransposedFloats(keys, size), plain = HeadPacking.PlainFloats(keys, size);
        keysTransposed = pool.LibraryScratch(worker, transposed + plain + (2 * PackedA.GroupFloats) + (SlabRows * args.SumPitch));
        values = keysTransposed + transposed;
        queryRows = values + plain;
        logits = queryRows + PackedA.GroupFloats;
        sums = logits + PackedA.GroupFloats;
        HeadPacking.Transposed(args.Key, sequenceToken + keyBase, head, size, keys, keysTransposed);
        HeadPacking.Plain(args.Value, sequenceToken + keyBase, head, size, keys, values);
    }

    /// <summary>Outputs of up to 16 queries of a query head, and their log sums.</summary>
    public float* Slab(int queryHead, int first, int rows, float* lse)
    {
        for (int group = 0; group < rows; group += PackedA.GroupRows)
        {
            Group(queryHead, first + group, Math.Min(PackedA.GroupRows, rows - group), sums + ((long)group * args.SumPitch), lse);
        }

        return sums;
    }

    private void Group(int queryHead, int first, int rows, float* output, float* lse)
    {
        float* maximum = stackalloc float[PackedA.GroupRows], sum = stackalloc float[PackedA.GroupRows];
        new Span<float>(maximum, PackedA.GroupRows).Fill(float.NegativeInfinity);
        new Span<float>(sum, PackedA.GroupRows).Clear();
        int size = (int)args.HeadSize, pitch = args.SumPitch;
        HeadPacking.Rows(args.Query, sequenceToken + first, queryHead, size, rows, queryRows);

        int begin = (args.FirstKey(first) - keyBase) / MicroKernel.Columns * MicroKernel.Columns, end = first + rows - keyBase;
        for (int chunk = begin; chunk < end; chunk += PackedA.MaxDepth)
        {
            int depth = Math.Min(PackedA.MaxDepth, end - chunk), width = GemmBlocking.AlignUp(depth, Simd.Lanes);
            HeadPacking.MultiplyTransposed(queryRows, keysTransposed, size, chunk, width, logits);
            for (int r = 0; r < rows; r++)
            {
                int query = first + r, origin = keyBase + chunk;
                float correction = SoftmaxRows.Forward(
                    logits + (r * PackedA.Pitch), width, args.FirstKey(query) - origin, query + 1 - origin, args.Scale, ref maximum[r], ref sum[r]);
                if (chunk > begin && correction != 1f)
                {
                    RowMath.Scale(output + (r * (long)pitch), pitch, correction);
                }
            }

            HeadPacking.MultiplyPlain(logits, values, keys, chunk, depth, output, pitch, add: chunk > begin);
        }

        Vector256<float> sums = Simd.Load(sum), logSums = Simd.Load(maximum) + VectorMath.Log(sums), inverses = Vector256<float>.One / sums;
        for (int r = 0; r < rows; r++)
        {
            RowMath.Scale(output + (r * (long)pitch), pitch, inverses.GetElement(r));
            lse[((sequenceToken + first + r) * args.QueryHeads) + queryHead] = logSums.GetElement(r);
        }
    }
}
