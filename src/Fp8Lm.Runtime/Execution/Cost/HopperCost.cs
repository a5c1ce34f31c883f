using System;

namespace Fp8Lm.Execution.Cost;

/// <summary>
/// Predicted time of kernels on an H100 or H200, in microseconds. A product is rounds of tiles over the multiprocessors, each as long as its multiplication and the part of
/// its epilogue that does not hide behind another tile's; never less than its bytes take. The constants come from a least-squares fit to one
/// profile (<c>benchmarks/gemm_cost.py</c>; what the model was checked against is in docs/performance.md), measured on H100s at 700 W. An H200 has the
/// same multiprocessors and more memory bandwidth, so products that the model calls bound by bytes are faster there, in BF16 more than in FP8.
/// </summary>
internal static class HopperCost
{
    // Element-bytes of K that a multiprocessor multiplies per microsecond: 1430 TFLOPS of FP8 on 132 of them, half of that in BF16.
    private const double MultiplyRate = 5.433e6, PromotedShare = 0.8842, Bf16Share = 1.007;

    // Microseconds of a consumer per element of its tile.
    private const double PerLoadedByte = 168.5e-6, PerStoredByte = 22.54e-6, PerTransposedCopy = 22.75e-6, PerColumnSum = 242.9e-6, PerOperation = 8.8e-6;

    // Of the shorter of multiplication and epilogue, the part that does not hide where consumers take turns.
    private const double ExposedInTurn = 0.44;

    private const double Launch = 3, BytesPerMicrosecond = 2.9e6;

    // A cast to FP8 with its transposed copy, riding in the kernels that make the value, for rows of one element: by the norms of the profile, with and without. It
    // grows with the square root of the row, by and large: wide rows are shared by more lanes and blocks.
    private const double PerCastElement = 1.6e-8;

    // Scaling from the tensor's own amax needs a kernel of its own, which reads the value again.
    private const double PerReadElement = 2 / BytesPerMicrosecond;

    // What casting a weight to FP8 with its transposed copy takes longer than casting it to BF16.
    private const double PerWeightElement = 0.4e-6, PerWeight = 1.5;

    // K goes through the tensor cores in stages of this many bytes, so that short sums gain nothing from FP8.
    private const int StageBytes = 128;

    private const int Slab = 16;

    /// <summary>One product C[m, n] with its epilogue.</summary>
    /// <param name="m">Rows.</param>
    /// <param name="n">Columns.</param>
    /// <param name="k">Length of the sums.</param>
    /// <param name="fp8">FP8 operands; otherwise BF16.</param>
    /// <param name="promotes">Partial sums are promoted to FP32 (FP8 only).</param>
    /// <param name="epilogue">What the epilogue does.</param>
    /// <param name="splits">Blocks may share K of a tile, as kernels do; a profile recorded before they did is predicted without.</param>
    public static double Product(long m, long n, long k, bool fp8, bool promotes, EpilogueWork epilogue, bool splits = true)
    {
        promotes &= fp8;
        int width = fp8 ? 1 : 2;
        GemmTiles.Cut cut = GemmTiles.Choose(Speeds(fp8, promotes, epilogue), m, n, k * width, splits);
        GemmTiles.Tile tile = cut.Tile;
        double area = (double)tile.Rows * tile.Columns;
        long stages = ((((k * width) + StageBytes - 1) / StageBytes) + cut.Split - 1) / cut.Split;
        double multiply = area * ((stages * StageBytes) + (cut.Split > 1 ? GemmTiles.Exchange : 0)) / (MultiplyRate * (promotes ? PromotedShare : 1) * (fp8 ? 1 : Bf16Share));
        int stored = epilogue.StoreBytes + epilogue.Casts;
        double perElement = (PerLoadedByte * epilogue.LoadBytes) + (PerStoredByte * stored) + (PerTransposedCopy * epilogue.TransposedCasts)
            + (PerColumnSum * epilogue.ColumnSums) + (PerOperation * epilogue.Operations);
        double after = area * perElement / (tile.InTurn ? 1 : tile.Warpgroups * cut.Split), rounds = GemmTiles.Rounds(cut, m, n);
        double shorter = Math.Min(multiply, after);
        double compute = tile.InTurn
            ? (rounds * (Math.Max(multiply, after) + (ExposedInTurn * shorter))) + ((1 - ExposedInTurn) * shorter) // nothing hides behind the last tile
            : rounds * (multiply + after);
        double bytes = (((double)m + n) * k * width) + ((double)m * n * (epilogue.LoadBytes + stored + epilogue.TransposedCasts + (epilogue.ColumnSums * sizeof(float) / (double)Slab)));
        return Math.Max(compute, bytes / BytesPerMicrosecond) + Launch;
    }

    /// <summary>Casting an operand to FP8, row-major and transposed.</summary>
    /// <param name="elements">Of the operand.</param>
    /// <param name="columns">Elements of a row.</param>
    /// <param name="delayed">The scale is known before; otherwise the cast is a kernel of its own.</param>
    public static double Cast(long elements, long columns, bool delayed)
    {
        double perElement = PerCastElement * Math.Sqrt(columns);
        return delayed ? perElement * elements : ((perElement + PerReadElement) * elements) + Launch;
    }

    /// <summary>What FP8 adds to the cast of a weight, once per optimizer step.</summary>
    public static double WeightCast(long elements) => PerWeight + (PerWeightElement * elements);

    /// <summary>As <c>fp8lm/gemm/config.cuh</c> chooses.</summary>
    private static GemmTiles.Speed[] Speeds(bool fp8, bool promotes, EpilogueWork epilogue)
    {
        const int OctetOfBf16 = 2;
        bool plain = epilogue.ColumnSums == 0 && epilogue.TransposedCasts == 0;
        bool light = epilogue.ColumnSums == 0 && epilogue.LoadBytes <= (epilogue.TransposedCasts == 0 ? OctetOfBf16 : 0);
        bool stores = plain && epilogue.LoadBytes == 0 && epilogue.Operations == 0;
        bool narrow = epilogue.ColumnSums <= 1 && epilogue.TransposedCasts == 0 && epilogue.LoadBytes <= OctetOfBf16;
        return !fp8 ? stores ? GemmTiles.Bf16Plain : narrow ? GemmTiles.Bf16 : GemmTiles.Bf16Wide
            : promotes ? plain ? GemmTiles.PromotedPlain : GemmTiles.Promoted
            : light ? GemmTiles.Fp8Light : GemmTiles.Fp8;
    }
}
