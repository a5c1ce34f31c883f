using System;

namespace Fp8Lm.Cpu;

/// <summary>One tile of a product in the scratch of a worker: a packed slab of A and the sums.</summary>
internal readonly unsafe struct GemmTile
{
    private const int SlabRows = 16;

    private readonly GemmOperand a;
    private readonly GemmBlocking blocking;
    private readonly float* packedB;
    private readonly float* packedA;
    private readonly float* sums;
    private readonly int stripColumns;
    private readonly int row;
    private readonly int column;

    public GemmTile(CpuPool pool, int worker, in GemmOperand a, in GemmBlocking blocking, float* packedB, int columns, int row, int column)
    {
        (this.a, this.blocking, this.row, this.column) = (a, blocking, row, column);
        this.packedB = packedB;
        stripColumns = GemmBlocking.AlignUp(columns, MicroKernel.Columns);
        Rows = Math.Min(blocking.TileRows, blocking.M - row);
        Columns = Math.Min(blocking.TileColumns, columns - column);
        Pitch = GemmBlocking.AlignUp(Columns, MicroKernel.Columns);

        const int packedFloats = SlabRows / PackedA.GroupRows * PackedA.GroupFloats;
        packedA = pool.LibraryScratch(worker, packedFloats + (blocking.SumRows * blocking.TileColumns));
        sums = packedA + packedFloats;
    }

    public int Rows { get; }

    public int Columns { get; }

    /// <summary>Floats from row to row of the sums.</summary>
    public int Pitch { get; }

    /// <summary>Adds up all depth blocks but the last.</summary>
    public void SumAllButLastBlock()
    {
        for (int block = 0; block < blocking.DepthBlocks - 1; block++)
        {
            for (int slab = 0; slab < Rows; slab += SlabRows)
            {
                Multiply(block, slab, sums + ((long)slab * Pitch));
            }
        }
    }

    /// <summary>Completes the sums of 16 rows and returns them.</summary>
    public float* FinishSlab(int slab)
    {
        float* to = blocking.DepthBlocks == 1 ? sums : sums + ((long)slab * Pitch);
        Multiply(blocking.DepthBlocks - 1, slab, to);
        return to;
    }

    /// <summary>One slab of A at a time is packed, right before use, into a buffer that never leaves the first-level cache.</summary>
    private void Multiply(int block, int slab, float* to)
    {
        int depth = blocking.DepthOf(block), rows = Math.Min(SlabRows, Rows - slab);
        float* b = packedB + ((long)block * blocking.Depth * stripColumns) + ((long)column * depth);
        Packing.A(a, row + slab, rows, (long)block * blocking.Depth, depth, packedA);
        if (a.Scales.Address != 0)
        {
            PackedScaling.A(a, row + slab, rows, (long)block * blocking.Depth, depth, packedA);
        }

        for (int group = 0; group * PackedA.GroupRows < rows; group++, to += (long)PackedA.GroupRows * Pitch)
        {
            float* left = packedA + (group * PackedA.GroupFloats);
            if (a.KMajor)
            {
                Multiply<RowWise>(left, b, depth, to, block > 0);
            }
            else
            {
                Multiply<ColumnWise>(left, b, depth, to, block > 0);
            }
        }
    }

    private void Multiply<TLayout>(float* rows, float* b, int depth, float* to, bool add) where TLayout : struct, IPackedLayout
    {
        for (int c = 0; c < Columns; c += MicroKernel.Columns)
        {
            MicroKernel.Multiply<TLayout>(rows, b + ((long)c * depth), depth, to + c, Pitch, add);
        }
    }
}
