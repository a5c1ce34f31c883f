using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Fp8Lm.Cpu;

/// <summary>A format in which the optimizer stores a state: eight elements at a time, with a scale where <see cref="Maximum"/> is not 0.</summary>
public unsafe interface IStateFormat
{
    /// <summary>Bytes of one element.</summary>
    static abstract int Bytes { get; }

    /// <summary>The largest number of a format that is stored with a scale; 0 for those that need none.</summary>
    static abstract float Maximum { get; }

    /// <summary>The largest number of the format.</summary>
    static abstract float Largest { get; }

    /// <summary>The largest number of a format whose groups of 128 elements have scales and exponents of their own; 0 for others.</summary>
    static virtual float GroupMaximum => 0f;

    /// <summary>Reads eight elements.</summary>
    static abstract Vector256<float> Load(byte* p);

    /// <summary>Rounds eight elements to nearest even.</summary>
    static abstract void Store(byte* p, Vector256<float> value);
}

/// <summary>F32.</summary>
public readonly unsafe struct F32State : IStateFormat
{
    /// <inheritdoc/>
    public static int Bytes => sizeof(float);

    /// <inheritdoc/>
    public static float Maximum => 0f;

    /// <inheritdoc/>
    public static float Largest => float.MaxValue;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Load(byte* p) => Simd.Load((float*)p);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(byte* p, Vector256<float> value) => Simd.Store((float*)p, value);
}

/// <summary>BF16, without scale.</summary>
public readonly unsafe struct BF16State : IStateFormat
{
    /// <inheritdoc/>
    public static int Bytes => sizeof(ushort);

    /// <inheritdoc/>
    public static float Maximum => 0f;

    /// <inheritdoc/>
    public static float Largest => 3.38953139e38f;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Load(byte* p) => Simd.LoadBF16((ushort*)p);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(byte* p, Vector256<float> value) => Simd.StoreBF16((ushort*)p, value);
}

/// <summary>FP16 with a scale.</summary>
public readonly unsafe struct F16State : IStateFormat
{
    /// <inheritdoc/>
    public static int Bytes => sizeof(ushort);

    /// <inheritdoc/>
    public static float Maximum => 65504f;

    /// <inheritdoc/>
    public static float Largest => Maximum;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Load(byte* p) => Simd.LoadF16((ushort*)p);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(byte* p, Vector256<float> value) => Simd.StoreF16((ushort*)p, value);
}

/// <summary>E4M3 with a scale.</summary>
public readonly unsafe struct E4M3State : IStateFormat
{
    /// <inheritdoc/>
    public static int Bytes => sizeof(byte);

    /// <inheritdoc/>
    public static float Maximum => 448f;

    /// <inheritdoc/>
    public static float Largest => Maximum;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Load(byte* p) => Simd.LoadE4M3(p);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(byte* p, Vector256<float> value) => Simd.StoreE4M3(p, value);
}

/// <summary>A format of FP8 in groups of 128 elements with a scale and an exponent each (COAT, arXiv 2410.19313, section 4), and no scale of the tensor; loads and stores are those of the bytes.</summary>
/// <typeparam name="T">E4M3 or E5M2.</typeparam>
public readonly unsafe struct GroupedState<T> : IStateFormat where T : struct, IStateFormat
{
    /// <inheritdoc/>
    public static int Bytes => T.Bytes;

    /// <inheritdoc/>
    public static float Maximum => 0f;

    /// <inheritdoc/>
    public static float Largest => T.Largest;

    /// <inheritdoc/>
    public static float GroupMaximum => T.Maximum;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Load(byte* p) => T.Load(p);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(byte* p, Vector256<float> value) => T.Store(p, value);
}

/// <summary>E5M2 with a scale.</summary>
public readonly unsafe struct E5M2State : IStateFormat
{
    /// <inheritdoc/>
    public static int Bytes => sizeof(byte);

    /// <inheritdoc/>
    public static float Maximum => 57344f;

    /// <inheritdoc/>
    public static float Largest => Maximum;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Load(byte* p) => Simd.LoadE5M2(p);

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(byte* p, Vector256<float> value) => Simd.StoreE5M2(p, value);
}
