using System;
using System.Runtime.Intrinsics;

namespace Fp8Lm.Cpu;

/// <summary>
/// Multiplies packed operands with their inverse scales per block of K. The CPU adds everything in FP32, so a scale that tensor cores apply to the partial sum of a
/// block is applied here to its factors.
/// </summary>
internal static unsafe class PackedScaling
{
    private const int Lanes = Simd.Lanes;

    /// <summary>Rows [row, row + rows) x [k, k + depth) of A as <see cref="Packing.A"/> leaves them.</summary>
    public static void A(in GemmOperand operand, long row, int rows, long k, int depth, float* packed)
    {
        for (int first = 0; first < rows; first += PackedA.GroupRows, packed += PackedA.GroupFloats)
        {
            int count = Math.Min(PackedA.GroupRows, rows - first);
            for (int from = 0, to; from < depth; from = to)
            {
                to = End(k, from, depth);
                Vector256<float> scales = Of(operand.Scales, row + first, count, (k + from) / BlockScales.Length);
                if (operand.KMajor)
                {
                    for (int r = 0; r < count; r++)
                    {
                        Multiply(packed + (r * PackedA.Pitch) + from, to - from, scales.GetElement(r));
                    }
                }
                else
                {
                    for (int i = from; i < to; i++)
                    {
                        (Vector256.Load(packed + (i * Lanes)) * scales).Store(packed + (i * Lanes));
                    }
                }
            }
        }
    }

    /// <summary>Columns [column, column + columns) x [k, k + depth) of B as <see cref="Packing.B"/> leaves them.</summary>
    public static void B(in GemmOperand operand, long column, int columns, long k, int depth, float* packed)
    {
        for (int c = 0; c < columns; c += Lanes)
        {
            for (int from = 0, to; from < depth; from = to)
            {
                to = End(k, from, depth);
                Vector256<float> scales = Of(operand.Scales, column + c, Math.Min(Lanes, columns - c), (k + from) / BlockScales.Length);
                for (int i = from; i < to; i++)
                {
                    float* at = packed + ((long)i * MicroKernel.Columns) + c;
                    (Vector256.Load(at) * scales).Store(at);
                }
            }
        }
    }

    /// <summary>Where the block of K that holds k + from ends, within the depth.</summary>
    private static int End(long k, int from, int depth) => (int)Math.Min(depth, ((((k + from) / BlockScales.Length) + 1) * BlockScales.Length) - k);

    private static Vector256<float> Of(in BlockScales scales, long row, int count, long block)
    {
        float* lanes = stackalloc float[Lanes];
        for (int i = 0; i < Lanes; i++)
        {
            lanes[i] = i < count ? scales.At(row + i, block) : 0f;
        }

        return Vector256.Load(lanes);
    }

    private static void Multiply(float* values, int count, float scale)
    {
        int i = 0;
        for (; i + Lanes <= count; i += Lanes)
        {
            (Vector256.Load(values + i) * scale).Store(values + i);
        }

        for (; i < count; i++)
        {
            values[i] *= scale;
        }
    }
}
