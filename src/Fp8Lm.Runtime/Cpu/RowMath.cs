using System.Runtime.Intrinsics;

namespace Fp8Lm.Cpu;

/// <summary>Short loops over rows of floats that are whole vectors long.</summary>
internal static unsafe class RowMath
{
    /// <summary>row *= factor.</summary>
    public static void Scale(float* row, int count, float factor)
    {
        for (int c = 0; c < count; c += Simd.Lanes)
        {
            Simd.Store(row + c, Simd.Load(row + c) * factor);
        }
    }
}
