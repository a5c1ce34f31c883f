using System;
using Fp8Lm.Cpu;

namespace Fp8Lm.Execution;

/// <summary>Runs one kernel program on the CPU. <paramref name="args"/> are the same values, in the same order, that the CUDA kernel gets.</summary>
public unsafe delegate void CpuKernel(DimBinding dims, nint* args, CpuPool pool);

/// <summary>What kind of launch a kernel needs; the launcher of a back end knows the geometry of each kind.</summary>
public enum KernelKind
{
    /// <summary>Rows x columns; a CUDA thread block of 16 warps handles 16 rows, one warp each.</summary>
    Row,
    /// <summary>C[M,N] = A[M,K] * B[N,K]^T with a generated epilogue.</summary>
    Gemm,
    /// <summary>Flash attention forward; a thread block handles 64 query rows of one head.</summary>
    AttentionForward,
    /// <summary>Gradients of keys and values; a thread block handles 64 key rows of one key/value head.</summary>
    AttentionBackwardKeyValue,
    /// <summary>Gradient of the queries; a thread block handles 64 query rows of one head.</summary>
    AttentionBackwardQuery,
    /// <summary>Deterministic sum of rows by token id into the gradient of an embedding table.</summary>
    EmbeddingGradient,
    /// <summary>Adds the slab sums [ceil(rows/16), cols] of a fused column sum into a gradient vector.</summary>
    ColumnSumFinish,
    /// <summary>Reduces row losses and row weights into <see cref="StepState"/>.</summary>
    LossSum,
    /// <summary>Writes the clip factor and the skip flag from the gradients' global norm.</summary>
    GradientNorm,
    /// <summary>AdamW over a flat range of parameters.</summary>
    AdamW,
    /// <summary>The passes over gradients and states that have formats and scales of their own: they walk over a table of <see cref="StateSegment"/>.</summary>
    ScaledOptimizer,
    /// <summary>Rolls amax histories and derives the next scales.</summary>
    ScaleUpdate,
}

/// <summary>Geometry of a <see cref="KernelKind.Row"/> kernel.</summary>
public sealed record RowGeometry(Func<DimBinding, long> Rows, Func<DimBinding, long> Columns);

/// <summary>One GEMM operand as memory: formats, pitch in elements between consecutive rows of the stored matrix, and which index is contiguous.</summary>
/// <param name="Format">Element format.</param>
/// <param name="KMajor">True: stored [rows, K] with K contiguous. False: stored [K, rows] with the row index contiguous (never for FP8 on CUDA).</param>
/// <param name="Pitch">Elements from one stored row to the next.</param>
public sealed record GemmOperandInfo(ElementFormat Format, bool KMajor, Func<DimBinding, long> Pitch);

/// <summary>Geometry of a <see cref="KernelKind.Gemm"/> kernel. Arguments 0 and 1 of the kernel are the operands' addresses; on CUDA they become tensor maps.</summary>
public sealed record GemmGeometry(Func<DimBinding, long> M, Func<DimBinding, long> N, Func<DimBinding, long> K, GemmOperandInfo A, GemmOperandInfo B);

/// <summary>Geometry of the attention kernels.</summary>
public sealed record AttentionGeometry(Func<DimBinding, long> QueryHeads, Func<DimBinding, long> KeyValueHeads, Func<DimBinding, long> HeadSize);

/// <summary>Geometry of library kernels whose launch depends on their arguments only.</summary>
public sealed class NoGeometry
{
    /// <summary>The one instance.</summary>
    public static readonly NoGeometry Instance = new();

    private NoGeometry()
    {
    }
}

/// <summary>A kernel of a compiled model: the CUDA text and the CPU method are two renderings of one program.</summary>
/// <param name="Name">The <c>extern "C"</c> name; says model, step and role.</param>
/// <param name="Kind">Launch kind.</param>
/// <param name="CudaSource">CUDA C++ text for NVRTC; dimensions arrive as <c>-DD_Name=value</c>.</param>
/// <param name="Cpu">The same program on the CPU.</param>
/// <param name="Arguments">Names of the arguments, in order, with format and role, for error messages.</param>
/// <param name="Geometry">A <see cref="RowGeometry"/>, <see cref="GemmGeometry"/> or <see cref="AttentionGeometry"/>, as <paramref name="Kind"/> asks.</param>
public sealed record KernelInfo(string Name, KernelKind Kind, string CudaSource, CpuKernel Cpu, string[] Arguments, object Geometry);
