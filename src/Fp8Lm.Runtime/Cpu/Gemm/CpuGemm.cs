using System;
using Fp8Lm.Execution;

namespace Fp8Lm.Cpu;

/// <summary>Matrix products on the CPU: packed operands, cache blocking, multiply-add micro-kernels, all workers.</summary>
public static unsafe class CpuGemm
{
    private const int SlabRows = 16;

    /// <summary>
    /// C[m, n] = sum over k of A[m, k] * B[n, k], in F32, of the stored numbers (times their block's inverse scale); the epilogue takes C in slabs of 16 rows, each with its
    /// whole sum. The result does not depend on the number of workers.
    /// </summary>
    /// <param name="pool">The workers.</param>
    /// <param name="a">[M, K].</param>
    /// <param name="b">[N, K].</param>
    /// <param name="m">Rows of C.</param>
    /// <param name="n">Columns of C.</param>
    /// <param name="k">Length of the sums.</param>
    /// <param name="epilogue">Takes every element of C exactly once.</param>
    public static void Run<TEpilogue>(CpuPool pool, in GemmOperand a, in GemmOperand b, long m, long n, long k, ref TEpilogue epilogue)
        where TEpilogue : struct, ITileEpilogue
    {
        ArgumentNullException.ThrowIfNull(pool);
        RequireFormat(a);
        RequireFormat(b);
        if (m <= 0 || n <= 0)
        {
            return;
        }

        var blocking = new GemmBlocking(m, n, k, pool.Workers);
        using (pool.Enter())
        {
            float* packed = pool.SharedScratch((long)blocking.StripColumns * blocking.K);
            for (int first = 0; first < blocking.N; first += blocking.StripColumns)
            {
                int columns = Math.Min(blocking.StripColumns, blocking.N - first);
                var pack = new PackStrip(b, blocking, packed, first, columns);
                pool.Run(ref pack, pack.Tiles);
                var multiply = new MultiplyStrip<TEpilogue>(pool, a, blocking, packed, first, columns, epilogue);
                pool.Run(ref multiply, multiply.Tiles);
            }
        }
    }

    private static void RequireFormat(in GemmOperand operand)
    {
        if (operand.Format == ElementFormat.I32)
        {
            throw new ArgumentException("A product takes F32, BF16, F16, E4M3 or E5M2 operands; got I32.", nameof(operand));
        }
    }

    /// <summary>Packs a strip of B as [depth block][panel][depth, panel columns].</summary>
    private readonly struct PackStrip(GemmOperand b, GemmBlocking blocking, float* packed, int first, int columns) : ITileKernel
    {
        private readonly int panels = GemmBlocking.DivideUp(columns, MicroKernel.Columns);

        public int Tiles => panels * blocking.DepthBlocks;

        public void Run(int tile, int worker)
        {
            int block = tile / panels, column = tile % panels * MicroKernel.Columns;
            int depth = blocking.DepthOf(block);
            float* to = packed + ((long)block * blocking.Depth * panels * MicroKernel.Columns) + ((long)column * depth);
            int width = Math.Min(MicroKernel.Columns, columns - column);
            Packing.B(b, first + column, width, (long)block * blocking.Depth, depth, to);
            if (b.Scales.Address != 0)
            {
                PackedScaling.B(b, first + column, width, (long)block * blocking.Depth, depth, to);
            }
        }
    }

    /// <summary>Computes tiles of C against a packed strip. Only the call of the epilogue is compiled per epilogue.</summary>
    private struct MultiplyStrip<TEpilogue>(CpuPool pool, GemmOperand a, GemmBlocking blocking, float* packed, int first, int columns, TEpilogue epilogue) : ITileKernel
        where TEpilogue : struct, ITileEpilogue
    {
        public readonly int Tiles => blocking.RowTiles * GemmBlocking.DivideUp(columns, blocking.TileColumns);

        public readonly void Run(int tile, int worker)
        {
            // Neighbouring tiles share a block of B.
            int row = tile % blocking.RowTiles * blocking.TileRows, column = tile / blocking.RowTiles * blocking.TileColumns;
            var work = new GemmTile(pool, worker, a, blocking, packed, columns, row, column);
            work.SumAllButLastBlock();
            TEpilogue own = epilogue;
            for (int slab = 0; slab < work.Rows; slab += SlabRows)
            {
                float* sums = work.FinishSlab(slab);
                own.Apply(row + slab, Math.Min(SlabRows, work.Rows - slab), first + column, work.Columns, sums, work.Pitch);
            }
        }
    }
}
