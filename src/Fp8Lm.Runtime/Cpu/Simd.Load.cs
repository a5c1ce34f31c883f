using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using Fp8Lm.Numerics;

namespace Fp8Lm.Cpu;

public static unsafe partial class Simd
{
    /// <summary>Loads eight F32.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Load(float* p) => Vector256.Load(p);

    /// <summary>Loads eight bfloat16.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> LoadBF16(ushort* p) => BFloat16.ToSingle(Widen(Vector128.Load(p)));

    /// <summary>Loads eight binary16.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> LoadF16(ushort* p) => Float16.ToSingle(Widen(Vector128.Load(p)));

    /// <summary>Loads eight E4M3.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> LoadE4M3(byte* p) => E4M3.ToSingle(Widen(p));

    /// <summary>Loads eight E5M2.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> LoadE5M2(byte* p) => E5M2.ToSingle(Widen(p));

    /// <summary>Loads eight bytes of fixed point.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> LoadU8(byte* p, int zero, int perUnit) => FixedByte.ToSingle(Widen(p), zero, perUnit);

    /// <summary>Loads <paramref name="n"/> F32 (at most eight); the other lanes are zero.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> LoadPartial(float* p, int n)
    {
        if (Avx.IsSupported)
        {
            // A masked lane neither reads nor faults.
            return Avx.MaskLoad(p, FirstLanes(n));
        }

        Vector256<float> lanes = default;
        float* buffer = (float*)&lanes;
        for (int i = 0; i < n; i++)
        {
            buffer[i] = p[i];
        }

        return lanes;
    }

    /// <summary>Loads <paramref name="n"/> bfloat16; the other lanes are zero.</summary>
    public static Vector256<float> LoadBF16Partial(ushort* p, int n) => BFloat16.ToSingle(Widen(Gather(p, n)));

    /// <summary>Loads <paramref name="n"/> binary16; the other lanes are zero.</summary>
    public static Vector256<float> LoadF16Partial(ushort* p, int n) => Float16.ToSingle(Widen(Gather(p, n)));

    /// <summary>Loads <paramref name="n"/> E4M3; the other lanes are zero.</summary>
    public static Vector256<float> LoadE4M3Partial(byte* p, int n)
    {
        ulong codes = Gather(p, n);
        return E4M3.ToSingle(Widen((byte*)&codes));
    }

    /// <summary>Loads <paramref name="n"/> E5M2; the other lanes are zero.</summary>
    public static Vector256<float> LoadE5M2Partial(byte* p, int n)
    {
        ulong codes = Gather(p, n);
        return E5M2.ToSingle(Widen((byte*)&codes));
    }

    /// <summary>Loads <paramref name="n"/> bytes of fixed point; the other lanes are zero.</summary>
    public static Vector256<float> LoadU8Partial(byte* p, int n, int zero, int perUnit)
    {
        ulong codes = 0x0101010101010101u * (ulong)zero;
        System.Buffer.MemoryCopy(p, &codes, sizeof(ulong), n);
        return FixedByte.ToSingle(Widen((byte*)&codes), zero, perUnit);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<uint> Widen(Vector128<ushort> codes) =>
        Avx2.IsSupported ? Avx2.ConvertToVector256Int32(codes).AsUInt32() : Vector256.Create(Vector128.WidenLower(codes), Vector128.WidenUpper(codes));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<uint> Widen(byte* p)
    {
        if (Avx2.IsSupported)
        {
            return Avx2.ConvertToVector256Int32(p).AsUInt32();
        }

        Vector128<ushort> codes = Vector128.WidenLower(Vector128.CreateScalar(Unsafe.ReadUnaligned<ulong>(p)).AsByte());
        return Vector256.Create(Vector128.WidenLower(codes), Vector128.WidenUpper(codes));
    }

    private static Vector128<ushort> Gather(ushort* p, int n)
    {
        Vector128<ushort> lanes = default;
        ushort* buffer = (ushort*)&lanes;
        for (int i = 0; i < n; i++)
        {
            buffer[i] = p[i];
        }

        return lanes;
    }

    private static ulong Gather(byte* p, int n)
    {
        ulong lanes = 0;
        byte* buffer = (byte*)&lanes;
        for (int i = 0; i < n; i++)
        {
            buffer[i] = p[i];
        }

        return lanes;
    }
}
