using System;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Fp8Lm.Cpu;
using Fp8Lm.Execution;
using Fp8Lm.Numerics;

namespace Fp8Lm.Collectives;

/// <summary>An FP8 format for kernels that are compiled once for each.</summary>
internal unsafe interface IFp8Codec
{
    /// <summary>The code of the largest finite magnitude.</summary>
    static abstract uint Largest { get; }

    static abstract byte Encode(float value);

    static abstract float Decode(byte code);

    /// <summary>Codes of eight values in the low bits of the lanes.</summary>
    static abstract Vector256<uint> Encode(Vector256<float> value);

    static abstract Vector256<float> Load(byte* p);
}

/// <inheritdoc/>
internal readonly unsafe struct E4M3Codec : IFp8Codec
{
    public static uint Largest => 0x7E;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static byte Encode(float value) => E4M3.FromSingle(value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Decode(byte code) => E4M3.ToSingle(code);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<uint> Encode(Vector256<float> value) => E4M3.FromSingle(value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Load(byte* p) => Simd.LoadE4M3(p);
}

/// <inheritdoc/>
internal readonly unsafe struct E5M2Codec : IFp8Codec
{
    public static uint Largest => 0x7B;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static byte Encode(float value) => E5M2.FromSingle(value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Decode(byte code) => E5M2.ToSingle(code);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<uint> Encode(Vector256<float> value) => E5M2.FromSingle(value);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Load(byte* p) => Simd.LoadE5M2(p);
}

/// <summary>Facts about the FP8 formats.</summary>
internal static class Fp8Formats
{
    /// <summary>Largest finite value of an FP8 format.</summary>
    /// <exception cref="ArgumentException">The format is not FP8.</exception>
    public static float Maximum(ElementFormat format, string parameter) => format switch
    {
        ElementFormat.E4M3 => E4M3.MaxValue,
        ElementFormat.E5M2 => E5M2.MaxValue,
        _ => throw new ArgumentException($"A gradient payload is FP8: E4M3 or E5M2; got {format}.", parameter),
    };
}
