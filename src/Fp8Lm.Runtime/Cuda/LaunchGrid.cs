using System;
using Fp8Lm.Execution;

namespace Fp8Lm.Cuda;

/// <summary>How many blocks a kernel gets, by its kind.</summary>
internal static class LaunchGrid
{
    // Blocks per multiprocessor of kernels that stride over their elements: enough threads to keep memory busy, few enough to start at once.
    private const uint StridingBlocks = 8;

    /// <summary>The grid of a kernel at given dimensions.</summary>
    public static GridSize Of(KernelInfo kernel, in LaunchTraits traits, DimBinding dims, int multiprocessors)
    {
        switch (kernel.Geometry)
        {
            case RowGeometry row:
                return new GridSize(Blocks(row.Rows(dims), traits.TileM), traits.TileN == 0 ? 1 : Blocks(row.Columns(dims), traits.TileN), 1);
            case GemmGeometry when traits.Cluster > 1:
                return new GridSize(traits.Blocks, 1, 1);    // as many clusters as there are tiles, or as run at a time
            case GemmGeometry gemm:
                long tiles = checked((long)Blocks(gemm.M(dims), traits.TileM) * Blocks(gemm.N(dims), traits.TileN));
                // Persistent: a block walks over tiles, and one block fills a multiprocessor. The FP32 kernel leaves room for more of them.
                uint perMultiprocessor = gemm.A.Format == ElementFormat.F32 ? 4u : 1u;
                return new GridSize((uint)Math.Min(tiles, multiprocessors * perMultiprocessor), 1, 1);
            case AttentionGeometry when traits.TileM == 0:
                return new GridSize((uint)multiprocessors, 1, 1);    // persistent: blocks claim their work
            case AttentionGeometry attention:
                long heads = kernel.Kind == KernelKind.AttentionBackwardKeyValue ? attention.KeyValueHeads(dims) : attention.QueryHeads(dims);
                return new GridSize(Blocks(dims[DimBinding.Sequence], traits.TileM), (uint)heads, (uint)dims[DimBinding.MicroBatch]);
            default:
                return new GridSize(traits.Blocks > 0 ? traits.Blocks : (uint)multiprocessors * StridingBlocks, 1, 1);
        }
    }

    private static uint Blocks(long extent, uint tile) => checked((uint)((extent + tile - 1) / tile));
}
