using System;
using System.Collections.Generic;

namespace Fp8Lm.Execution;

/// <summary>Which of the three GEMMs of a linear <c>y = x W^T</c> a kernel is.</summary>
public enum GemmRole
{
    /// <summary>y = x W^T.</summary>
    Fprop,
    /// <summary>dx = dy W.</summary>
    Dgrad,
    /// <summary>dW += dy^T x.</summary>
    Wgrad,
}

/// <summary>What a GEMM's epilogue does with an element of the product, as the cost model counts it.</summary>
public sealed record EpilogueWork
{
    /// <summary>Bytes read per element, values that are the same in every row not counted; a gradient that is added to is read.</summary>
    public int LoadBytes { get; init; }

    /// <summary>Bytes stored per element in 16 or 32 bits.</summary>
    public int StoreBytes { get; init; }

    /// <summary>Row-major FP8 copies.</summary>
    public int Casts { get; init; }

    /// <summary>Transposed FP8 copies.</summary>
    public int TransposedCasts { get; init; }

    /// <summary>Values that are stored in FP8 only; without FP8 they would be stored in 16 bits.</summary>
    public int CastOnly { get; init; }

    /// <summary>Sums over columns (gradients of biases and gains).</summary>
    public int ColumnSums { get; init; }

    /// <summary>Arithmetic per element.</summary>
    public int Operations { get; init; }

    /// <summary>The same epilogue in a program without FP8.</summary>
    public EpilogueWork WithoutFp8 => this with { StoreBytes = StoreBytes + (2 * CastOnly), Casts = 0, TransposedCasts = 0, CastOnly = 0 };
}

/// <summary>One of the products of a linear.</summary>
/// <param name="Kernel">Index in <see cref="ModelProgram.Kernels"/>; its <see cref="GemmGeometry"/> has the sizes.</param>
/// <param name="Role">Which product.</param>
/// <param name="Promotes">Whether it promotes partial sums to FP32 when its operands are FP8.</param>
/// <param name="ScaleA">Index in <see cref="ModelProgram.Scales"/> of the first operand's family; -1: not FP8.</param>
/// <param name="ScaleB">The second operand's.</param>
/// <param name="Epilogue">What follows the product.</param>
public sealed record LinearProduct(int Kernel, GemmRole Role, bool Promotes, int ScaleA, int ScaleB, EpilogueWork Epilogue);

/// <summary>The products of the linears with one weight, in a repeated module of a program with FP8.</summary>
/// <param name="Weight">Path of the weight, for example <c>blocks.*.up</c>.</param>
/// <param name="Fp8">Whether they run in FP8; false where the weight says <c>Fp8 = false</c>.</param>
/// <param name="Layers">Layers of the repeated module.</param>
/// <param name="Products">Forward and backward.</param>
public sealed record LinearInfo(string Weight, bool Fp8, Func<DimBinding, long> Layers, IReadOnlyList<LinearProduct> Products);
