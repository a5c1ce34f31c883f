using System;
using System.Runtime.Intrinsics;
using Fp8Lm.Execution;

namespace Fp8Lm.Cpu;

/// <summary>
/// The kernels that every program has, in the form generated code launches them: arguments are addresses and 64-bit integers in the order
/// each method lists. Sums have an order of their own, so results do not depend on the number of workers.
/// </summary>
public static unsafe partial class CpuKernels
{
    private const int Lanes = Simd.Lanes;
    private const int RowsPerTile = 16;

    /// <summary>
    /// grad[token] += dY[position] for every position, in the order of positions. Arguments: tokens I32 [count]; dY F32 [count, columns];
    /// grad F32 [vocabulary, columns]; count; vocabulary; columns. Tokens outside the vocabulary are passed over.
    /// </summary>
    public static void EmbeddingGradientF32(DimBinding dims, nint* args, CpuPool pool) => EmbeddingGradient<F32Decoder>(args, pool);

    /// <summary><see cref="EmbeddingGradientF32"/> of a BF16 dY.</summary>
    public static void EmbeddingGradientBF16(DimBinding dims, nint* args, CpuPool pool) => EmbeddingGradient<BF16Decoder>(args, pool);

    /// <summary><see cref="EmbeddingGradientF32"/> of an F16 dY.</summary>
    public static void EmbeddingGradientF16(DimBinding dims, nint* args, CpuPool pool) => EmbeddingGradient<F16Decoder>(args, pool);

    /// <summary>grad[position] += sum over the batch of dY. Arguments: dY F32 [batch, sequence, columns]; grad F32 [sequence, columns]; batch; sequence; columns.</summary>
    public static void PositionGradientF32(DimBinding dims, nint* args, CpuPool pool) => PositionGradient<F32Decoder>(args, pool);

    /// <summary><see cref="PositionGradientF32"/> of a BF16 dY.</summary>
    public static void PositionGradientBF16(DimBinding dims, nint* args, CpuPool pool) => PositionGradient<BF16Decoder>(args, pool);

    /// <summary><see cref="PositionGradientF32"/> of an F16 dY.</summary>
    public static void PositionGradientF16(DimBinding dims, nint* args, CpuPool pool) => PositionGradient<F16Decoder>(args, pool);

    /// <summary>grad[column] += sum over slabs, in their order. Arguments: partial F32 [slabs, columns]; slabs; columns; grad F32 [columns].</summary>
    public static void ColumnSumFinish(DimBinding dims, nint* args, CpuPool pool)
    {
        var kernel = new AddRows<F32Decoder>((byte*)args[0], (float*)args[3], rows: args[1], stride: args[2], outputRows: 1, columns: args[2], ColumnsPerTile(args[2], pool));
        pool.Run(ref kernel, kernel.Tiles);
    }

    private static void EmbeddingGradient<TDecoder>(nint* args, CpuPool pool) where TDecoder : struct, IDecoder
    {
        // A tile owns columns, not tokens: no two tiles write to the same element and each sees the positions in order.
        var kernel = new AddByToken<TDecoder>((int*)args[0], (byte*)args[1], (float*)args[2], args[3], args[4], args[5], ColumnsPerTile(args[5], pool));
        pool.Run(ref kernel, kernel.Tiles);
    }

    private static void PositionGradient<TDecoder>(nint* args, CpuPool pool) where TDecoder : struct, IDecoder
    {
        long sequence = args[3], columns = args[4];
        var kernel = new AddRows<TDecoder>((byte*)args[0], (float*)args[1], rows: args[2], stride: sequence * columns, outputRows: sequence, columns, checked((int)columns));
        pool.Run(ref kernel, kernel.Tiles);
    }

    private static int ColumnsPerTile(long columns, CpuPool pool) =>
        Math.Max(4 * Lanes, GemmBlocking.AlignUp(GemmBlocking.DivideUp(checked((int)columns), 2 * pool.Workers), Lanes));

    /// <summary>output[r, c] += sum over i of source[i * stride + r * columns + c].</summary>
    private readonly struct AddRows<TDecoder>(byte* source, float* output, long rows, long stride, long outputRows, long columns, int tileColumns) : ITileKernel
        where TDecoder : struct, IDecoder
    {
        private readonly int columnTiles = (int)((columns + tileColumns - 1) / tileColumns);

        public int Tiles => checked((int)((outputRows + RowsPerTile - 1) / RowsPerTile) * columnTiles);

        public void Run(int tile, int worker)
        {
            long first = tile / columnTiles * (long)RowsPerTile, begin = (long)(tile % columnTiles) * tileColumns, end = Math.Min(columns, begin + tileColumns);
            for (long r = first; r < Math.Min(outputRows, first + RowsPerTile); r++)
            {
                for (long c = begin; c < end; c += Lanes)
                {
                    int n = (int)Math.Min(Lanes, end - c);
                    byte* from = source + (((r * columns) + c) * TDecoder.Bytes);
                    float* to = output + (r * columns) + c;
                    Vector256<float> sum = Vector256<float>.Zero;
                    for (long i = 0; i < rows; i++, from += stride * TDecoder.Bytes)
                    {
                        sum += n == Lanes ? TDecoder.Load(from) : TDecoder.LoadPartial(from, n);
                    }

                    Add(to, sum, n);
                }
            }
        }
    }

    private readonly struct AddByToken<TDecoder>(int* tokens, byte* source, float* output, long count, long vocabulary, long columns, int tileColumns) : ITileKernel
        where TDecoder : struct, IDecoder
    {
        public int Tiles => (int)((columns + tileColumns - 1) / tileColumns);

        public void Run(int tile, int worker)
        {
            long begin = (long)tile * tileColumns, end = Math.Min(columns, begin + tileColumns);
            for (long i = 0; i < count; i++)
            {
                if ((ulong)tokens[i] >= (ulong)vocabulary)
                {
                    continue;
                }

                byte* from = source + (((i * columns) + begin) * TDecoder.Bytes);
                float* to = output + (tokens[i] * columns) + begin;
                long c = begin;
                for (; c + Lanes <= end; c += Lanes, from += Lanes * TDecoder.Bytes, to += Lanes)
                {
                    Simd.Store(to, Simd.Load(to) + TDecoder.Load(from));
                }

                if (c < end)
                {
                    Add(to, TDecoder.LoadPartial(from, (int)(end - c)), (int)(end - c));
                }
            }
        }
    }

    private static void Add(float* to, Vector256<float> value, int n)
    {
        if (n == Lanes)
        {
            Simd.Store(to, Simd.Load(to) + value);
        }
        else
        {
            Simd.StorePartial(to, Simd.LoadPartial(to, n) + value, n);
        }
    }
}
