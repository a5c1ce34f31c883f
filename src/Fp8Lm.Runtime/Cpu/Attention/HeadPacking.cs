using System;
using Fp8Lm.Execution;

namespace Fp8Lm.Cpu;

/// <summary>Packs consecutive positions of one head of one sequence for the micro-kernels.</summary>
internal static unsafe class HeadPacking
{
    private static int Panel => MicroKernel.Columns;

    /// <summary>Floats that <see cref="Transposed"/> writes.</summary>
    public static long TransposedFloats(int positions, int headSize) => (long)GemmBlocking.AlignUp(positions, Panel) * headSize;

    /// <summary>Floats that <see cref="Plain"/> writes.</summary>
    public static long PlainFloats(int positions, int headSize) => (long)positions * GemmBlocking.AlignUp(headSize, Panel);

    /// <summary>Packs for sums over the head, X[rows, head] * this^T: panels of positions, [head size, panel] each.</summary>
    public static void Transposed(in AttentionOperand operand, long firstToken, int head, int headSize, int positions, float* to)
    {
        GemmOperand matrix = Head(operand, head, headSize, kMajor: true);
        for (int p = 0; p < positions; p += Panel)
        {
            Packing.B(matrix, firstToken + p, Math.Min(Panel, positions - p), 0, headSize, to + ((long)p * headSize));
        }
    }

    /// <summary>Packs for sums over positions, X[rows, positions] * this: panels of head elements, [positions, panel] each.</summary>
    public static void Plain(in AttentionOperand operand, long firstToken, int head, int headSize, int positions, float* to)
    {
        GemmOperand matrix = Head(operand, head, headSize, kMajor: false);
        for (int d = 0; d < headSize; d += Panel)
        {
            Packing.B(matrix, d, Math.Min(Panel, headSize - d), firstToken, positions, to + ((long)d * positions));
        }
    }

    /// <summary>Packs up to eight positions as the left operand.</summary>
    public static void Rows(in AttentionOperand operand, long firstToken, int head, int headSize, int rows, float* to) =>
        Packing.A(Head(operand, head, headSize, kMajor: true), firstToken, rows, 0, headSize, to);

    /// <summary>to[8, positions] = rows * transposed^T for whole panels of positions from <paramref name="first"/>, a multiple of a panel.</summary>
    public static void MultiplyTransposed(float* rows, float* transposed, int headSize, int first, int positions, float* to)
    {
        for (int p = 0; p < positions; p += Panel)
        {
            MicroKernel.Multiply<RowWise>(rows, transposed + ((long)(first + p) * headSize), headSize, to + p, PackedA.Pitch, add: false);
        }
    }

    /// <summary>sums[8, head] = or += rows[8, depth] * plain, positions [first, first + depth) of the <paramref name="positions"/> that were packed.</summary>
    public static void MultiplyPlain(float* rows, float* plain, int positions, int first, int depth, float* sums, int sumPitch, bool add)
    {
        for (int d = 0; d < sumPitch; d += Panel)
        {
            MicroKernel.Multiply<RowWise>(rows, plain + ((long)d * positions) + ((long)first * Panel), depth, sums + d, sumPitch, add);
        }
    }

    private static GemmOperand Head(in AttentionOperand operand, int head, int headSize, bool kMajor) =>
        new(operand.Address + (nint)((long)head * headSize * operand.Format.Bytes()), operand.Format, kMajor, operand.Pitch);
}
