using System.Runtime.CompilerServices;

namespace Fp8Lm.Cpu;

/// <summary>Inverse scales of a product's operand, one per 128 of K and one or 128 rows.</summary>
/// <param name="Address">F32, the one of the first rows and the first 128 of K; zero: there are none.</param>
/// <param name="RowsPerScale">Rows that share one: 1, or 128 for the squares of a weight.</param>
/// <param name="RowStep">Elements from one to the next along the rows.</param>
/// <param name="BlockStep">Elements from one to the next along K.</param>
public readonly record struct BlockScales(nint Address, int RowsPerScale, long RowStep, long BlockStep)
{
    /// <summary>Length of a block of K.</summary>
    public const int Length = 128;

    /// <summary>The scale of a row in a block of K.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal unsafe float At(long row, long block) => ((float*)Address)[(row / RowsPerScale * RowStep) + (block * BlockStep)];
}
