using System.Runtime.InteropServices;

namespace Fp8Lm.Numerics;

/// <summary>
/// What the casts of one slot have done to a tensor in a sampled step, as kernels leave it in memory: integers that are added in any order, so that runs stay equal.
/// The layout of <c>fp8lm::CastStatistics</c>.
/// </summary>
[StructLayout(LayoutKind.Sequential)]
public struct CastStatistics
{
    /// <summary>Finite elements that were cast.</summary>
    public ulong Elements;

    /// <summary>Elements that are NaN or infinite; they count nowhere else.</summary>
    public ulong NonFinite;

    /// <summary>Elements that were not zero and became zero.</summary>
    public ulong Underflow;

    /// <summary>Elements that became the largest magnitude of the format.</summary>
    public ulong Saturated;

    /// <summary>Sum of squares before the cast.</summary>
    public ExactSum Signal;

    /// <summary>Sum of squared differences.</summary>
    public ExactSum Noise;

    /// <summary>Bits of the largest finite magnitude.</summary>
    public uint Amax;

    /// <summary>What the last of the casts multiplied with; 0 where parts of the tensor have scales of their own.</summary>
    public float Scale;

    /// <summary>The same as shares are computed from.</summary>
    public readonly TensorNumerics Numerics => new(
        (long)Elements, (long)NonFinite, (long)Underflow, (long)Saturated, System.BitConverter.UInt32BitsToSingle(Amax), Signal.Value, Noise.Value);
}
