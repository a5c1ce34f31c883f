using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using System.Threading;

namespace Fp8Lm.Cpu;

/// <summary>
/// What generated row kernels and epilogues need around <see cref="Vector256{T}"/>: loads and stores of every format, tails, and
/// reductions across lanes in a fixed order. FP8 stores cast the value as given; the caller multiplies by the scale first.
/// </summary>
public static unsafe partial class Simd
{
    /// <summary>Lanes of a vector.</summary>
    public const int Lanes = 8;

    /// <summary>Mask of the first <paramref name="n"/> lanes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> FirstLanes(int n) =>
        Vector256.LessThan(Vector256<int>.Indices, Vector256.Create(n)).AsSingle();

    /// <summary>The first <paramref name="n"/> lanes; the others become <paramref name="rest"/>, for example the neutral element of the reduction that follows.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Keep(Vector256<float> value, int n, float rest = 0f) =>
        Vector256.ConditionalSelect(FirstLanes(n), value, Vector256.Create(rest));

    /// <summary>Sum of the lanes: halves, then quarters, then neighbours.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float HorizontalSum(Vector256<float> value)
    {
        Vector128<float> four = value.GetLower() + value.GetUpper();
        Vector128<float> two = four + Vector128.Shuffle(four, Vector128.Create(2, 3, 0, 1));
        return two.ToScalar() + two.GetElement(1);
    }

    /// <summary>Largest lane; NaN if one is NaN.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float HorizontalMax(Vector256<float> value)
    {
        Vector128<float> four = Vector128.Max(value.GetLower(), value.GetUpper());
        Vector128<float> two = Vector128.Max(four, Vector128.Shuffle(four, Vector128.Create(2, 3, 0, 1)));
        return float.Max(two.ToScalar(), two.GetElement(1));
    }

    /// <summary>Largest lane.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint HorizontalMax(Vector256<uint> value)
    {
        Vector128<uint> four = Vector128.Max(value.GetLower(), value.GetUpper());
        Vector128<uint> two = Vector128.Max(four, Vector128.Shuffle(four, Vector128.Create(2u, 3u, 0u, 1u)));
        return uint.Max(two.ToScalar(), two.GetElement(1));
    }

    /// <summary>Running maximum of |value| as bits: as integers NaN is above infinity and infinity above every number, so neither is lost.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<uint> AmaxBits(Vector256<uint> running, Vector256<float> value) =>
        Vector256.Max(running, value.AsUInt32() & Vector256.Create(0x7FFFFFFFu));

    /// <summary><see cref="AmaxBits(Vector256{uint}, Vector256{float})"/> of the first <paramref name="n"/> lanes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<uint> AmaxBitsPartial(Vector256<uint> running, Vector256<float> value, int n) =>
        Vector256.Max(running, value.AsUInt32() & Vector256.Create(0x7FFFFFFFu) & FirstLanes(n).AsUInt32());

    /// <summary>Raises a shared maximum; any number of workers may do so at once.</summary>
    public static void MergeAmax(uint* slot, uint bits)
    {
        uint seen = Volatile.Read(ref *slot);
        while (bits > seen)
        {
            uint previous = Interlocked.CompareExchange(ref *slot, bits, seen);
            if (previous == seen)
            {
                return;
            }

            seen = previous;
        }
    }

    /// <inheritdoc cref="MergeAmax(uint*, uint)"/>
    public static void MergeAmax(uint* slot, Vector256<uint> bits) => MergeAmax(slot, HorizontalMax(bits));
}
