using System.Numerics;
using System.Runtime.CompilerServices;

namespace Fp8Lm.Cpu;

/// <summary>8 x 16, a row at a time, on whatever vectors the machine has.</summary>
internal readonly unsafe struct MicroKernelPortable : IMicroKernel
{
    public static int Columns => 16;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Multiply<TLayout>(float* a, float* b, int depth, float* c, long ldc, bool add) where TLayout : struct, IPackedLayout
    {
        // Quarter panels of four floats, or more where a vector is wider.
        int width = int.Min(Vector<float>.Count, Columns);
        for (int row = 0; row < PackedA.GroupRows; row += 2)
        {
            for (int column = 0; column < Columns; column += width)
            {
                Vector<float> upper = Vector<float>.Zero, lower = Vector<float>.Zero;
                float* left = a + (row * TLayout.RowStep);
                float* right = b + column;
                for (int k = 0; k < depth; k++, left += TLayout.DepthStep, right += Columns)
                {
                    Vector<float> lanes = Unsafe.ReadUnaligned<Vector<float>>(right);
                    upper += lanes * left[0];
                    lower += lanes * left[TLayout.RowStep];
                }

                Finish(c + (row * ldc) + column, upper, add);
                Finish(c + ((row + 1) * ldc) + column, lower, add);
            }
        }
    }

    private static void Finish(float* c, Vector<float> sum, bool add) =>
        Unsafe.WriteUnaligned(c, add ? sum + Unsafe.ReadUnaligned<Vector<float>>(c) : sum);
}
