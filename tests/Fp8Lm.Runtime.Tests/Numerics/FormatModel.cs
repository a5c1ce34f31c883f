using System;
using System.Collections.Generic;

namespace Fp8Lm.Runtime.Tests.Numerics;

/// <summary>
/// A small float format straight from its definition, for comparison: values in exact F64 arithmetic, casts by searching the nearest of
/// all finite values. Shares nothing with the bit tricks of the library.
/// </summary>
public sealed class FormatModel
{
    private readonly int bits;
    private readonly int mantissaBits;
    private readonly int bias;
    private readonly bool infinities;
    private readonly bool saturates;
    private readonly uint nan;
    private readonly double[] finite;

    private FormatModel(int bits, int mantissaBits, int bias, bool infinities, bool saturates, uint nan)
    {
        (this.bits, this.mantissaBits, this.bias, this.infinities, this.saturates, this.nan) = (bits, mantissaBits, bias, infinities, saturates, nan);
        var values = new List<double>();
        for (uint code = 0; code < 1u << (bits - 1) && double.IsFinite(Decode(code)); code++)
        {
            values.Add(Decode(code));
        }

        finite = [.. values];
    }

    public static FormatModel E4M3 { get; } = new(8, 3, 7, infinities: false, saturates: true, 0x7F);

    public static FormatModel E5M2 { get; } = new(8, 2, 15, infinities: true, saturates: true, 0x7F);

    public static FormatModel F16 { get; } = new(16, 10, 15, infinities: true, saturates: false, 0x7FFF);

    public static FormatModel BF16 { get; } = new(16, 7, 127, infinities: true, saturates: false, 0x7FFF);

    public int Codes => 1 << bits;

    /// <summary>Magnitudes of all finite values; the index is the code.</summary>
    public ReadOnlySpan<double> Finite => finite;

    public double Decode(uint code)
    {
        uint sign = code >> (bits - 1);
        uint exponent = (code >> mantissaBits) & ((1u << (bits - 1 - mantissaBits)) - 1);
        uint mantissa = code & ((1u << mantissaBits) - 1);
        uint top = (1u << (bits - 1 - mantissaBits)) - 1;
        double magnitude;
        if (exponent == top && infinities)
        {
            magnitude = mantissa == 0 ? double.PositiveInfinity : double.NaN;
        }
        else if (exponent == top && mantissa == (1u << mantissaBits) - 1)
        {
            magnitude = double.NaN;
        }
        else
        {
            double fraction = mantissa / (double)(1 << mantissaBits);
            magnitude = exponent == 0 ? Math.ScaleB(fraction, 1 - bias) : Math.ScaleB(1 + fraction, (int)exponent - bias);
        }

        return sign == 0 ? magnitude : -magnitude;
    }

    public uint Encode(float value)
    {
        if (float.IsNaN(value))
        {
            return nan;
        }

        uint sign = float.IsNegative(value) ? 1u << (bits - 1) : 0;
        double magnitude = Math.Abs((double)value);
        uint last = (uint)finite.Length - 1;

        // What would come after the largest finite value if the exponent went on decides where overflow begins.
        double beyond = finite[last] + (finite[last] - finite[last - 1]);
        if (magnitude >= (finite[last] + beyond) / 2)
        {
            return sign | (saturates ? last : last + 1);
        }

        int index = Array.BinarySearch(finite, magnitude);
        if (index >= 0)
        {
            return sign | (uint)index;
        }

        uint above = (uint)~index;
        if (above > last)
        {
            return sign | last;
        }

        uint below = above - 1;
        double middle = (finite[below] + finite[above]) / 2;
        uint nearest = magnitude < middle ? below : magnitude > middle ? above : (below & 1) == 0 ? below : above;
        return sign | nearest;
    }
}
