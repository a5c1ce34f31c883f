using System;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Fp8Lm.Numerics;

namespace Fp8Lm.Cpu;

/// <summary>
/// Counts what a store of the optimizer does to one state of a tile, in sampled steps, right behind it: what is in memory by then is compared with the values it came from.
/// States in F32 lose nothing and are not counted. The same counts as <c>fp8lm::optim::StateCounter</c>.
/// </summary>
/// <typeparam name="T">The format.</typeparam>
internal unsafe struct StateCounter<T> where T : struct, IStateFormat
{
    private CastCounter counter;

    /// <summary>Rows that the state has in the table of counted ones, 1 or 0.</summary>
    public static int Rows => T.Bytes < sizeof(float) ? 1 : 0;

    /// <summary>Counts up to eight values that were stored with the scale of their tensor.</summary>
    /// <param name="stored">Where they were stored.</param>
    /// <param name="value">The values before the scale.</param>
    /// <param name="scale">1 where the format has none.</param>
    /// <param name="count">How many of the eight are elements of the parameter; less than one: none, more: all.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Add(byte* stored, Vector256<float> value, Vector256<float> scale, long count)
    {
        if (Rows > 0 && count > 0)
        {
            Vector256<float> code = T.Load(stored);
            counter.Add(value, code, ((value * scale) - code) / scale, T.Largest, (int)Math.Min(count, Simd.Lanes));
        }
    }

    /// <summary>Counts up to 128 values that were stored in a group.</summary>
    /// <param name="stored">Where they were stored.</param>
    /// <param name="values">The values.</param>
    /// <param name="group">What they have in common.</param>
    /// <param name="count">How many there are.</param>
    public void AddGroup(byte* stored, float* values, in MomentGroup group, long count)
    {
        for (int i = 0; i < count; i += Simd.Lanes)
        {
            Vector256<float> value = Simd.Load(values + i), code = T.Load(stored + i);
            counter.Add(value, code, value - group.Expand<T>(code), T.Largest, (int)Math.Min(count - i, Simd.Lanes));
        }
    }

    /// <summary>Adds everything to a slot; any number of workers may do so at once.</summary>
    public void Flush(CastStatistics* slot, Vector256<float> scale)
    {
        if (Rows > 0)
        {
            counter.Flush(slot, T.GroupMaximum > 0f ? 0f : scale.ToScalar());
        }
    }
}
