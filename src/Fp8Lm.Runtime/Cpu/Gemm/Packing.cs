using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Fp8Lm.Execution;

namespace Fp8Lm.Cpu;

/// <summary>Brings operands into the F32 layouts that the micro-kernels read; see <see cref="PackedA"/> and <see cref="MicroKernel"/>.</summary>
internal static unsafe class Packing
{
    /// <summary>Packs rows [row, row + rows) x [k, k + depth) of A; returns nothing that depends on what lies outside.</summary>
    public static void A(in GemmOperand operand, long row, int rows, long k, int depth, float* destination)
    {
        byte* source = operand.At(row, k);
        switch (operand.Format)
        {
            case ElementFormat.F32: Packing<F32Decoder>.A(source, operand.Pitch, operand.KMajor, rows, depth, destination); break;
            case ElementFormat.BF16: Packing<BF16Decoder>.A(source, operand.Pitch, operand.KMajor, rows, depth, destination); break;
            case ElementFormat.F16: Packing<F16Decoder>.A(source, operand.Pitch, operand.KMajor, rows, depth, destination); break;
            case ElementFormat.E4M3: Packing<E4M3Decoder>.A(source, operand.Pitch, operand.KMajor, rows, depth, destination); break;
            default: Packing<E5M2Decoder>.A(source, operand.Pitch, operand.KMajor, rows, depth, destination); break;
        }
    }

    /// <summary>Packs columns [column, column + columns) (at most one panel) x [k, k + depth) of B as [depth, panel], zeros behind the last column.</summary>
    public static void B(in GemmOperand operand, long column, int columns, long k, int depth, float* destination)
    {
        byte* source = operand.At(column, k);
        switch (operand.Format)
        {
            case ElementFormat.F32: Packing<F32Decoder>.B(source, operand.Pitch, operand.KMajor, columns, depth, destination); break;
            case ElementFormat.BF16: Packing<BF16Decoder>.B(source, operand.Pitch, operand.KMajor, columns, depth, destination); break;
            case ElementFormat.F16: Packing<F16Decoder>.B(source, operand.Pitch, operand.KMajor, columns, depth, destination); break;
            case ElementFormat.E4M3: Packing<E4M3Decoder>.B(source, operand.Pitch, operand.KMajor, columns, depth, destination); break;
            default: Packing<E5M2Decoder>.B(source, operand.Pitch, operand.KMajor, columns, depth, destination); break;
        }
    }
}

/// <summary><see cref="Packing"/> of one format.</summary>
internal static unsafe class Packing<TDecoder> where TDecoder : struct, IDecoder
{
    private const int Lanes = Simd.Lanes;

    public static void A(byte* source, long pitch, bool kMajor, int rows, int depth, float* destination)
    {
        if (kMajor)
        {
            CopyRows(source, pitch, rows, depth, destination);
        }
        else
        {
            CopyColumns(source, pitch, rows, depth, destination);
        }
    }

    public static void B(byte* source, long pitch, bool kMajor, int columns, int depth, float* destination)
    {
        if (kMajor)
        {
            TransposePanel(source, pitch, columns, depth, destination);
        }
        else
        {
            CopyPanel(source, pitch, columns, depth, destination);
        }
    }

    /// <summary>[rows, depth] in memory, the same in groups of eight rows with a fixed pitch.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void CopyRows(byte* source, long pitch, int rows, int depth, float* destination)
    {
        int whole = depth & -Lanes;
        for (int r = 0; r < rows; r++, source += pitch * TDecoder.Bytes, destination += PackedA.Pitch)
        {
            for (int k = 0; k < whole; k += Lanes)
            {
                TDecoder.Load(source + ((long)k * TDecoder.Bytes)).StoreAligned(destination + k);
            }

            if (whole < depth)
            {
                TDecoder.LoadPartial(source + ((long)whole * TDecoder.Bytes), depth - whole).StoreAligned(destination + whole);
            }
        }
    }

    /// <summary>[depth, rows] in memory, groups of eight rows as [depth, 8]. All groups of a stored row are taken in one go, so memory is read in order.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void CopyColumns(byte* source, long pitch, int rows, int depth, float* destination)
    {
        long step = pitch * TDecoder.Bytes;
        int k = 0;
        if (rows == 2 * Lanes)
        {
            for (; k < depth; k++, source += step, destination += Lanes)
            {
                TDecoder.Load(source).StoreAligned(destination);
                TDecoder.Load(source + (Lanes * TDecoder.Bytes)).StoreAligned(destination + PackedA.GroupFloats);
            }
        }

        int whole = rows & -Lanes;
        for (; k < depth; k++, source += step, destination += Lanes)
        {
            float* group = destination;
            byte* from = source;
            for (int r = 0; r < whole; r += Lanes, group += PackedA.GroupFloats, from += Lanes * TDecoder.Bytes)
            {
                TDecoder.Load(from).StoreAligned(group);
            }

            if (whole < rows)
            {
                TDecoder.LoadPartial(from, rows - whole).StoreAligned(group);
            }
        }
    }

    /// <summary>[depth, columns] in memory, [depth, panel] packed.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void CopyPanel(byte* source, long pitch, int columns, int depth, float* destination)
    {
        int whole = columns & -Lanes;
        for (int k = 0; k < depth; k++, source += pitch * TDecoder.Bytes, destination += MicroKernel.Columns)
        {
            int c = 0;
            for (; c < whole; c += Lanes)
            {
                TDecoder.Load(source + ((long)c * TDecoder.Bytes)).StoreAligned(destination + c);
            }

            if (c < columns)
            {
                TDecoder.LoadPartial(source + ((long)c * TDecoder.Bytes), columns - c).StoreAligned(destination + c);
                c += Lanes;
            }

            for (; c < MicroKernel.Columns; c += Lanes)
            {
                Vector256<float>.Zero.StoreAligned(destination + c);
            }
        }
    }

    /// <summary>[columns, depth] in memory, [depth, panel] packed, in blocks of 8 x 8.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void TransposePanel(byte* source, long pitch, int columns, int depth, float* destination)
    {
        long row = pitch * TDecoder.Bytes;
        float* edge = stackalloc float[Lanes * Lanes];
        for (int c = 0; c < MicroKernel.Columns; c += Lanes)
        {
            int columnsHere = columns - c;
            for (int k = 0; k < depth; k += Lanes)
            {
                float* to = destination + ((long)k * MicroKernel.Columns) + c;
                byte* from = source + (c * row) + ((long)k * TDecoder.Bytes);
                int depthHere = depth - k;
                if (columnsHere >= Lanes && depthHere >= Lanes)
                {
                    Transpose.Block8(
                        TDecoder.Load(from), TDecoder.Load(from + row), TDecoder.Load(from + (2 * row)), TDecoder.Load(from + (3 * row)),
                        TDecoder.Load(from + (4 * row)), TDecoder.Load(from + (5 * row)), TDecoder.Load(from + (6 * row)), TDecoder.Load(from + (7 * row)),
                        to, MicroKernel.Columns);
                    continue;
                }

                for (int i = 0; i < Lanes; i++)
                {
                    Vector256<float> lanes = i < columnsHere ? TDecoder.LoadPartial(from + (i * row), int.Min(depthHere, Lanes)) : Vector256<float>.Zero;
                    lanes.Store(edge + (i * Lanes));
                }

                for (int j = 0; j < int.Min(depthHere, Lanes); j++)
                {
                    for (int i = 0; i < Lanes; i++)
                    {
                        to[(j * MicroKernel.Columns) + i] = edge[(i * Lanes) + j];
                    }
                }
            }
        }
    }
}
