using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Fp8Lm.Cpu;

/// <summary>Transposition in registers.</summary>
internal static unsafe class Transpose
{
    /// <summary>Stores the transposed 8 x 8 block whose rows are given: row j of the result holds element j of every argument.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Block8(
        Vector256<float> r0, Vector256<float> r1, Vector256<float> r2, Vector256<float> r3,
        Vector256<float> r4, Vector256<float> r5, Vector256<float> r6, Vector256<float> r7, float* to, long pitch)
    {
        if (!Avx.IsSupported)
        {
            Elementwise([r0, r1, r2, r3, r4, r5, r6, r7], to, pitch);
            return;
        }

        // Pairs, then quadruples within 128-bit halves, then the halves.
        Vector256<float> p0 = Avx.UnpackLow(r0, r1), p1 = Avx.UnpackHigh(r0, r1), p2 = Avx.UnpackLow(r2, r3), p3 = Avx.UnpackHigh(r2, r3);
        Vector256<float> p4 = Avx.UnpackLow(r4, r5), p5 = Avx.UnpackHigh(r4, r5), p6 = Avx.UnpackLow(r6, r7), p7 = Avx.UnpackHigh(r6, r7);
        Vector256<float> q0 = Avx.Shuffle(p0, p2, 0x44), q1 = Avx.Shuffle(p0, p2, 0xEE), q2 = Avx.Shuffle(p1, p3, 0x44), q3 = Avx.Shuffle(p1, p3, 0xEE);
        Vector256<float> q4 = Avx.Shuffle(p4, p6, 0x44), q5 = Avx.Shuffle(p4, p6, 0xEE), q6 = Avx.Shuffle(p5, p7, 0x44), q7 = Avx.Shuffle(p5, p7, 0xEE);
        Avx.Permute2x128(q0, q4, 0x20).Store(to);
        Avx.Permute2x128(q1, q5, 0x20).Store(to + pitch);
        Avx.Permute2x128(q2, q6, 0x20).Store(to + (2 * pitch));
        Avx.Permute2x128(q3, q7, 0x20).Store(to + (3 * pitch));
        Avx.Permute2x128(q0, q4, 0x31).Store(to + (4 * pitch));
        Avx.Permute2x128(q1, q5, 0x31).Store(to + (5 * pitch));
        Avx.Permute2x128(q2, q6, 0x31).Store(to + (6 * pitch));
        Avx.Permute2x128(q3, q7, 0x31).Store(to + (7 * pitch));
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Elementwise(System.ReadOnlySpan<Vector256<float>> rows, float* to, long pitch)
    {
        for (int i = 0; i < rows.Length; i++)
        {
            for (int j = 0; j < Vector256<float>.Count; j++)
            {
                to[(j * pitch) + i] = rows[i].GetElement(j);
            }
        }
    }
}
