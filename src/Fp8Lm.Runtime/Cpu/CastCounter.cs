using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Threading;
using Fp8Lm.Numerics;

namespace Fp8Lm.Cpu;

/// <summary>Which of the two forms of a kernel that casts runs; the compiler of the form that does not count leaves no trace of counting in it.</summary>
public interface ICastMode
{
    /// <summary>Whether casts are counted.</summary>
    static abstract bool Counts { get; }
}

/// <summary>Casts, as in most steps.</summary>
public readonly struct CastsOnly : ICastMode
{
    /// <inheritdoc/>
    public static bool Counts => false;
}

/// <summary>Casts and counts, in sampled steps.</summary>
public readonly struct CountsCasts : ICastMode
{
    /// <inheritdoc/>
    public static bool Counts => true;
}

/// <summary>
/// Counts what a cast does to the values of one tile, eight at a time: the values as they were before the scale, and the scale. The same counts as
/// <c>fp8lm::CastCounter</c>.
/// </summary>
public unsafe struct CastCounter
{
    private long elements;
    private Vector256<uint> nonFinite;
    private Vector256<uint> underflow;
    private Vector256<uint> saturated;
    private Vector256<uint> amax;
    private Vector256<float> signal;
    private Vector256<float> noise;

    /// <summary>Counts a cast of eight values to E4M3.</summary>
    public void AddE4M3(Vector256<float> value, Vector256<float> scale) => Add(value, value * scale, E4M3.ToSingle(E4M3.FromSingle(value * scale)), E4M3.MaxValue, scale, Simd.Lanes);

    /// <summary>Counts a cast of eight values to E5M2.</summary>
    public void AddE5M2(Vector256<float> value, Vector256<float> scale) => Add(value, value * scale, E5M2.ToSingle(E5M2.FromSingle(value * scale)), E5M2.MaxValue, scale, Simd.Lanes);

    /// <summary>Counts a cast of the first <paramref name="n"/> values to E4M3.</summary>
    public void AddE4M3Partial(Vector256<float> value, Vector256<float> scale, int n) => Add(value, value * scale, E4M3.ToSingle(E4M3.FromSingle(value * scale)), E4M3.MaxValue, scale, n);

    /// <summary>Counts a cast of the first <paramref name="n"/> values to E5M2.</summary>
    public void AddE5M2Partial(Vector256<float> value, Vector256<float> scale, int n) => Add(value, value * scale, E5M2.ToSingle(E5M2.FromSingle(value * scale)), E5M2.MaxValue, scale, n);

    /// <summary>Counts a cast of the first <paramref name="n"/> values, whatever they were cast to.</summary>
    /// <param name="value">The values before the cast.</param>
    /// <param name="code">What they became, in units of the format.</param>
    /// <param name="error">What was lost, in units of the values.</param>
    /// <param name="largest">The largest magnitude of the format.</param>
    /// <param name="n">How many of them count.</param>
    internal void Add(Vector256<float> value, Vector256<float> code, Vector256<float> error, float largest, int n) => Tally(value, code, error, largest, n);

    /// <summary>Adds everything to a slot and starts anew; any number of workers may do so at once.</summary>
    /// <param name="slot">The slot.</param>
    /// <param name="scale">The scale of the whole tensor; 0: its parts have scales of their own.</param>
    public void Flush(CastStatistics* slot, float scale)
    {
        ulong bad = Vector256.Sum(nonFinite);
        Interlocked.Add(ref slot->Elements, (ulong)elements - bad);
        Interlocked.Add(ref slot->NonFinite, bad);
        Interlocked.Add(ref slot->Underflow, Vector256.Sum(underflow));
        Interlocked.Add(ref slot->Saturated, Vector256.Sum(saturated));
        ExactSum.Add(ref slot->Signal, Simd.HorizontalSum(signal));
        ExactSum.Add(ref slot->Noise, Simd.HorizontalSum(noise));
        Simd.MergeAmax(&slot->Amax, amax);
        slot->Scale = scale;
        this = default;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Add(Vector256<float> value, Vector256<float> scaled, Vector256<float> stored, float largest, Vector256<float> scale, int n) =>
        Tally(value, stored, (scaled - stored) / scale, largest, n);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Tally(Vector256<float> value, Vector256<float> code, Vector256<float> lost, float largest, int n)
    {
        // Magnitudes are below 2^31, so signed comparisons (the ones AVX2 has) order them. Masks are -1.
        Vector256<uint> counted = Simd.FirstLanes(n).AsUInt32();
        Vector256<uint> magnitude = value.AsUInt32() & Vector256.Create(0x7FFFFFFFu);
        Vector256<uint> finite = Vector256.LessThan(magnitude.AsInt32(), Vector256.Create(0x7F800000)).AsUInt32() & counted;
        elements += n;
        nonFinite -= Vector256.AndNot(counted, finite);
        underflow -= finite & Vector256.Equals(code, Vector256<float>.Zero).AsUInt32() & ~Vector256.Equals(magnitude, Vector256<uint>.Zero);
        saturated -= finite & Vector256.GreaterThanOrEqual(Vector256.Abs(code), Vector256.Create(largest)).AsUInt32();
        amax = Vector256.Max(amax, finite & magnitude);

        // Kept finite lanes only: a lane that is not would make the whole sum so.
        Vector256<float> kept = (finite & value.AsUInt32()).AsSingle(), error = (finite & lost.AsUInt32()).AsSingle();
        signal += kept * kept;
        noise += error * error;
    }
}
