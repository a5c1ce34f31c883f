using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Fp8Lm.Numerics;

namespace Fp8Lm.Cpu;

public static unsafe partial class Simd
{
    /// <summary>E4M3 codes to two places: the row-major and the transposed copy of a cast share one conversion.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreE4M3(byte* p, byte* q, Vector256<float> value)
    {
        ulong codes = NarrowToBytes(E4M3.FromSingle(value));
        Unsafe.WriteUnaligned(p, codes);
        Unsafe.WriteUnaligned(q, codes);
    }

    /// <summary>E5M2 codes to two places.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreE5M2(byte* p, byte* q, Vector256<float> value)
    {
        ulong codes = NarrowToBytes(E5M2.FromSingle(value));
        Unsafe.WriteUnaligned(p, codes);
        Unsafe.WriteUnaligned(q, codes);
    }

    /// <summary>Stores eight F32.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Store(float* p, Vector256<float> value) => value.Store(p);

    /// <summary>Casts to bfloat16 and stores eight.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreBF16(ushort* p, Vector256<float> value) => NarrowToUInt16(BFloat16.FromSingle(value)).Store(p);

    /// <summary>Casts to binary16 and stores eight.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreF16(ushort* p, Vector256<float> value) => NarrowToUInt16(Float16.FromSingle(value)).Store(p);

    /// <summary>Casts to E4M3 (saturating) and stores eight.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreE4M3(byte* p, Vector256<float> value) => Unsafe.WriteUnaligned(p, NarrowToBytes(E4M3.FromSingle(value)));

    /// <summary>Casts to E5M2 (saturating) and stores eight.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreE5M2(byte* p, Vector256<float> value) => Unsafe.WriteUnaligned(p, NarrowToBytes(E5M2.FromSingle(value)));

    /// <summary>Casts to fixed point and stores eight bytes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StoreU8(byte* p, Vector256<float> value, int zero, int perUnit) => Unsafe.WriteUnaligned(p, NarrowToBytes(FixedByte.FromSingle(value, zero, perUnit)));

    /// <summary>Stores the first <paramref name="n"/> F32.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void StorePartial(float* p, Vector256<float> value, int n)
    {
        if (Avx.IsSupported)
        {
            Avx.MaskStore(p, FirstLanes(n), value);
            return;
        }

        for (int i = 0; i < n; i++)
        {
            p[i] = value.GetElement(i);
        }
    }

    /// <summary>Casts to bfloat16 and stores the first <paramref name="n"/>.</summary>
    public static void StoreBF16Partial(ushort* p, Vector256<float> value, int n) => Scatter(p, NarrowToUInt16(BFloat16.FromSingle(value)), n);

    /// <summary>Casts to binary16 and stores the first <paramref name="n"/>.</summary>
    public static void StoreF16Partial(ushort* p, Vector256<float> value, int n) => Scatter(p, NarrowToUInt16(Float16.FromSingle(value)), n);

    /// <summary>Casts to E4M3 (saturating) and stores the first <paramref name="n"/>.</summary>
    public static void StoreE4M3Partial(byte* p, Vector256<float> value, int n) => Scatter(p, NarrowToBytes(E4M3.FromSingle(value)), n);

    /// <summary>Casts to E5M2 (saturating) and stores the first <paramref name="n"/>.</summary>
    public static void StoreE5M2Partial(byte* p, Vector256<float> value, int n) => Scatter(p, NarrowToBytes(E5M2.FromSingle(value)), n);

    /// <summary>Casts to fixed point and stores the first <paramref name="n"/> bytes.</summary>
    public static void StoreU8Partial(byte* p, Vector256<float> value, int n, int zero, int perUnit) => Scatter(p, NarrowToBytes(FixedByte.FromSingle(value, zero, perUnit)), n);

    /// <summary>The values after a cast to bfloat16 and back.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> RoundToBF16(Vector256<float> value) => BFloat16.ToSingle(BFloat16.FromSingle(value));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<ushort> NarrowToUInt16(Vector256<uint> codes) =>
        Avx512F.VL.IsSupported ? Avx512F.VL.ConvertToVector128UInt16(codes) : Vector128.Narrow(codes.GetLower(), codes.GetUpper());

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static ulong NarrowToBytes(Vector256<uint> codes)
    {
        if (Avx512F.VL.IsSupported)
        {
            return Avx512F.VL.ConvertToVector128Byte(codes).AsUInt64().ToScalar();
        }

        Vector128<ushort> words = Vector128.Narrow(codes.GetLower(), codes.GetUpper());
        return Vector128.Narrow(words, words).AsUInt64().ToScalar();
    }

    private static void Scatter(ushort* p, Vector128<ushort> codes, int n)
    {
        ushort* buffer = (ushort*)&codes;
        for (int i = 0; i < n; i++)
        {
            p[i] = buffer[i];
        }
    }

    private static void Scatter(byte* p, ulong codes, int n)
    {
        byte* buffer = (byte*)&codes;
        for (int i = 0; i < n; i++)
        {
            p[i] = buffer[i];
        }
    }
}
