using System;

namespace Fp8Lm.Cpu;

/// <summary>
/// Causal attention on the CPU with grouped heads and sliding windows. Logits are computed eight rows at a time and never stored; the
/// results do not depend on the number of workers. Epilogues get up to 16 rows of one head; where the sequence length is a multiple of
/// 16, rows start at multiples of 16.
/// </summary>
public static unsafe class CpuAttention
{
    private const int SlabRows = AttentionTiles.SlabRows;

    /// <summary>Softmax(scale Q K^T) V.</summary>
    /// <param name="pool">The workers.</param>
    /// <param name="args">Operands and shapes.</param>
    /// <param name="lse">F32 [tokens, query heads]: gets the logarithms of the softmax denominators.</param>
    /// <param name="epilogue">Takes the output, [tokens, query heads * head size].</param>
    public static void Forward<TEpilogue>(CpuPool pool, in AttentionArgs args, float* lse, ref TEpilogue epilogue) where TEpilogue : struct, ITileEpilogue
    {
        ArgumentNullException.ThrowIfNull(pool);
        args.Validate(backward: false);
        var tiles = new AttentionTiles(args, pool.Workers);
        var kernel = new ForwardKernel<TEpilogue>(pool, args, tiles, lse, epilogue);
        pool.Run(ref kernel, tiles.Count);
    }

    /// <summary>Gradients of keys and values.</summary>
    /// <param name="pool">The workers.</param>
    /// <param name="args">Operands and shapes, the gradient of the output among them.</param>
    /// <param name="lse">F32 [tokens, query heads], from <see cref="Forward"/>.</param>
    /// <param name="delta">F32 [tokens, query heads]: sums over a head of output times its gradient.</param>
    /// <param name="dk">Takes the gradient of the keys, [tokens, key/value heads * head size].</param>
    /// <param name="dv">Takes the gradient of the values.</param>
    public static void BackwardKeyValue<TDk, TDv>(CpuPool pool, in AttentionArgs args, float* lse, float* delta, ref TDk dk, ref TDv dv)
        where TDk : struct, ITileEpilogue where TDv : struct, ITileEpilogue
    {
        ArgumentNullException.ThrowIfNull(pool);
        args.Validate(backward: true);
        var tiles = new AttentionTiles(args, pool.Workers);
        var kernel = new KeyValueKernel<TDk, TDv>(pool, args, tiles, lse, delta, dk, dv);
        pool.Run(ref kernel, tiles.Count);
    }

    /// <summary>Gradient of the queries.</summary>
    /// <param name="pool">The workers.</param>
    /// <param name="args">Operands and shapes, the gradient of the output among them.</param>
    /// <param name="lse">F32 [tokens, query heads], from <see cref="Forward"/>.</param>
    /// <param name="delta">F32 [tokens, query heads]: sums over a head of output times its gradient.</param>
    /// <param name="dq">Takes the gradient, [tokens, query heads * head size].</param>
    public static void BackwardQuery<TDq>(CpuPool pool, in AttentionArgs args, float* lse, float* delta, ref TDq dq) where TDq : struct, ITileEpilogue
    {
        ArgumentNullException.ThrowIfNull(pool);
        args.Validate(backward: true);
        var tiles = new AttentionTiles(args, pool.Workers);
        var kernel = new QueryKernel<TDq>(pool, args, tiles, lse, delta, dq);
        pool.Run(ref kernel, tiles.Count);
    }

    private readonly struct ForwardKernel<TEpilogue>(CpuPool pool, AttentionArgs args, AttentionTiles tiles, float* lse, TEpilogue epilogue) : ITileKernel
        where TEpilogue : struct, ITileEpilogue
    {
        public void Run(int tile, int worker)
        {
            (int sequence, int head, int first) = tiles[tile];
            int rows = tiles.Rows(first), size = (int)args.HeadSize, firstRow = (int)(sequence * args.Sequence) + first;
            var work = new AttentionForwardTile(pool, worker, args, sequence, head, first, rows);
            TEpilogue own = epilogue;
            for (int member = head * args.Group; member < (head + 1) * args.Group; member++)
            {
                for (int slab = 0; slab < rows; slab += SlabRows)
                {
                    int slabRows = Math.Min(SlabRows, rows - slab);
                    float* output = work.Slab(member, first + slab, slabRows, lse);
                    own.Apply(firstRow + slab, slabRows, member * size, size, output, args.SumPitch);
                }
            }
        }
    }

    private readonly struct QueryKernel<TDq>(CpuPool pool, AttentionArgs args, AttentionTiles tiles, float* lse, float* delta, TDq dq) : ITileKernel
        where TDq : struct, ITileEpilogue
    {
        public void Run(int tile, int worker)
        {
            (int sequence, int head, int first) = tiles[tile];
            int rows = tiles.Rows(first), size = (int)args.HeadSize, firstRow = (int)(sequence * args.Sequence) + first;
            var work = new AttentionQueryTile(pool, worker, args, sequence, head, first, rows);
            TDq own = dq;
            for (int member = head * args.Group; member < (head + 1) * args.Group; member++)
            {
                for (int slab = 0; slab < rows; slab += SlabRows)
                {
                    int slabRows = Math.Min(SlabRows, rows - slab);
                    float* gradient = work.Slab(member, first + slab, slabRows, lse, delta);
                    own.Apply(firstRow + slab, slabRows, member * size, size, gradient, args.SumPitch);
                }
            }
        }
    }

    private readonly struct KeyValueKernel<TDk, TDv>(CpuPool pool, AttentionArgs args, AttentionTiles tiles, float* lse, float* delta, TDk dk, TDv dv) : ITileKernel
        where TDk : struct, ITileEpilogue where TDv : struct, ITileEpilogue
    {
        public void Run(int tile, int worker)
        {
            (int sequence, int head, int first) = tiles[tile];
            int rows = tiles.Rows(first), size = (int)args.HeadSize, firstRow = (int)(sequence * args.Sequence) + first;
            var work = new AttentionKeyValueTile(pool, worker, args, sequence, head, first, rows);
            work.Sum(lse, delta);
            TDk ownKey = dk;
            TDv ownValue = dv;
            for (int slab = 0; slab < rows; slab += SlabRows)
            {
                int slabRows = Math.Min(SlabRows, rows - slab);
                ownKey.Apply(firstRow + slab, slabRows, head * size, size, work.KeySums + (slab * (long)args.SumPitch), args.SumPitch);
                ownValue.Apply(firstRow + slab, slabRows, head * size, size, work.ValueSums + (slab * (long)args.SumPitch), args.SumPitch);
            }
        }
    }
}
