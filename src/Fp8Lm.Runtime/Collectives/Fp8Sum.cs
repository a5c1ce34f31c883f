using System;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Fp8Lm.Cpu;
using Fp8Lm.Execution;

namespace Fp8Lm.Collectives;

/// <summary>
/// The element sum of FP8 collectives as NCCL (2.24 and later, sm_90) has it: both codes to half, half addition, back to FP8 with
/// saturation (fact sheet 2.7). Also what a user-defined MPI operation calls.
/// </summary>
public static unsafe class Fp8Sum
{
    /// <summary>Sum of two codes, step by step as the definition says.</summary>
    /// <exception cref="ArgumentException">The format is not E4M3 or E5M2.</exception>
    public static byte Add(byte left, byte right, ElementFormat format)
    {
        Fp8Formats.Maximum(format, nameof(format));
        return format == ElementFormat.E4M3 ? Add<E4M3Codec>(left, right) : Add<E5M2Codec>(left, right);
    }

    /// <summary>Adds codes to others in place: <c>accumulator[i] = FP8(accumulator[i] + addend[i])</c>.</summary>
    /// <param name="accumulator">Codes, replaced by the sums.</param>
    /// <param name="addend">As many codes.</param>
    /// <param name="format">E4M3 or E5M2.</param>
    /// <returns>How many of the sums sit at the largest magnitude, counted on the way.</returns>
    /// <exception cref="ArgumentException">The spans differ in length, or the format is not FP8.</exception>
    public static long Add(Span<byte> accumulator, ReadOnlySpan<byte> addend, ElementFormat format)
    {
        Fp8Formats.Maximum(format, nameof(format));
        if (accumulator.Length != addend.Length)
        {
            throw new ArgumentException($"Both operands of a sum have equal length; got {accumulator.Length} and {addend.Length} codes.", nameof(addend));
        }

        fixed (byte* to = accumulator, from = addend)
        {
            return Add(to, from, accumulator.Length, format);
        }
    }

    internal static long Add(byte* to, byte* from, int count, ElementFormat format) =>
        format == ElementFormat.E4M3 ? Add<E4M3Codec>(to, from, count) : Add<E5M2Codec>(to, from, count);

    private static byte Add<TCodec>(byte left, byte right) where TCodec : IFp8Codec =>
        TCodec.Encode((float)((Half)TCodec.Decode(left) + (Half)TCodec.Decode(right)));

    /// <summary>
    /// Leaves out the rounding to half between: an FP8 operand near a tie of the result has no bits below half's, so that rounding never changes the outcome.
    /// A test compares all 65,536 sums of each format.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static long Add<TCodec>(byte* to, byte* from, int count) where TCodec : IFp8Codec
    {
        var tally = new Tally<TCodec>();
        int i = 0;
        for (; i + Simd.Lanes <= count; i += Simd.Lanes)
        {
            Vector256<uint> code = TCodec.Encode(TCodec.Load(to + i) + TCodec.Load(from + i));
            tally.AddSaturated(code);
            Bytes.Store(to + i, code);
        }

        for (; i < count; i++)
        {
            to[i] = TCodec.Encode(TCodec.Decode(to[i]) + TCodec.Decode(from[i]));
            tally.Add(false, to[i]);
        }

        return tally.Saturated;
    }
}
