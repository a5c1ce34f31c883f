using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace Fp8Lm.Cpu;

/// <summary>The innermost product: eight rows of A times one panel of B.</summary>
internal unsafe interface IMicroKernel
{
    /// <summary>Columns of a panel.</summary>
    static abstract int Columns { get; }

    /// <summary>C[8, panel] = or += A[8, depth] * B[depth, panel].</summary>
    /// <param name="a">A group of A, packed as <typeparamref name="TLayout"/> says.</param>
    /// <param name="b">A panel of B, [depth, panel], 64-byte aligned.</param>
    /// <param name="depth">Length of the sums.</param>
    /// <param name="c">The result, 64-byte aligned.</param>
    /// <param name="ldc">Floats from row to row of the result; a multiple of 16.</param>
    /// <param name="add">Whether to add to what is there.</param>
    static abstract void Multiply<TLayout>(float* a, float* b, int depth, float* c, long ldc, bool add) where TLayout : struct, IPackedLayout;
}

/// <summary>The micro-kernel of this machine. The checks are constants to the JIT.</summary>
internal static unsafe class MicroKernel
{
    /// <inheritdoc cref="IMicroKernel.Columns"/>
    public static int Columns => Avx512F.IsSupported ? MicroKernel512.Columns : MicroKernel256.Columns;

    /// <inheritdoc cref="IMicroKernel.Multiply"/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Multiply<TLayout>(float* a, float* b, int depth, float* c, long ldc, bool add) where TLayout : struct, IPackedLayout
    {
        if (Avx512F.IsSupported)
        {
            MicroKernel512.Multiply<TLayout>(a, b, depth, c, ldc, add);
        }
        else if (Fma.IsSupported)
        {
            MicroKernel256.Multiply<TLayout>(a, b, depth, c, ldc, add);
        }
        else
        {
            MicroKernelPortable.Multiply<TLayout>(a, b, depth, c, ldc, add);
        }
    }
}
