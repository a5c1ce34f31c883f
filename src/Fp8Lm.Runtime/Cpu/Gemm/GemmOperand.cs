using System.Runtime.CompilerServices;
using Fp8Lm.Execution;

namespace Fp8Lm.Cpu;

/// <summary>One operand of a product in memory.</summary>
/// <param name="Address">First element.</param>
/// <param name="Format">Element format; FP8 is read as the stored numbers, times <see cref="Scales"/> where there are some.</param>
/// <param name="KMajor">True: stored [rows, K] with K contiguous. False: stored [K, rows] with the row index contiguous.</param>
/// <param name="Pitch">Elements from one stored row to the next.</param>
public readonly record struct GemmOperand(nint Address, ElementFormat Format, bool KMajor, long Pitch)
{
    /// <summary>Inverse scales per 128 of K; the default is none.</summary>
    public BlockScales Scales { get; init; }

    /// <summary>Address of element (<paramref name="row"/>, <paramref name="k"/>).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal unsafe byte* At(long row, long k) => (byte*)Address + ((KMajor ? (row * Pitch) + k : (k * Pitch) + row) * Format.Bytes());
}
