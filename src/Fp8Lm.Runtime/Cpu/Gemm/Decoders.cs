using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Fp8Lm.Cpu;

/// <summary>Reads a format as F32, so that packing is compiled for each format.</summary>
internal unsafe interface IDecoder
{
    static abstract int Bytes { get; }

    static abstract Vector256<float> Load(byte* p);

    /// <summary>The first <paramref name="n"/> elements, zeros behind them.</summary>
    static abstract Vector256<float> LoadPartial(byte* p, int n);
}

internal readonly unsafe struct F32Decoder : IDecoder
{
    public static int Bytes => sizeof(float);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Load(byte* p) => Simd.Load((float*)p);

    public static Vector256<float> LoadPartial(byte* p, int n) => Simd.LoadPartial((float*)p, n);
}

internal readonly unsafe struct BF16Decoder : IDecoder
{
    public static int Bytes => sizeof(ushort);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Load(byte* p) => Simd.LoadBF16((ushort*)p);

    public static Vector256<float> LoadPartial(byte* p, int n) => Simd.LoadBF16Partial((ushort*)p, n);
}

internal readonly unsafe struct F16Decoder : IDecoder
{
    public static int Bytes => sizeof(ushort);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Load(byte* p) => Simd.LoadF16((ushort*)p);

    public static Vector256<float> LoadPartial(byte* p, int n) => Simd.LoadF16Partial((ushort*)p, n);
}

internal readonly unsafe struct E4M3Decoder : IDecoder
{
    public static int Bytes => sizeof(byte);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Load(byte* p) => Simd.LoadE4M3(p);

    public static Vector256<float> LoadPartial(byte* p, int n) => Simd.LoadE4M3Partial(p, n);
}

internal readonly unsafe struct E5M2Decoder : IDecoder
{
    public static int Bytes => sizeof(byte);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Load(byte* p) => Simd.LoadE5M2(p);

    public static Vector256<float> LoadPartial(byte* p, int n) => Simd.LoadE5M2Partial(p, n);
}
