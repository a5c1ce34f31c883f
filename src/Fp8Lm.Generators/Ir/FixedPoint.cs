using System;
using System.Globalization;

namespace Fp8Lm.Generators.Ir;

/// <summary>
/// Numbers of a known range in a byte: the code is round(x * PerUnit) + Zero, to nearest even, and stands for (code - Zero) * (1 / PerUnit), in FP32. 0 is exact, 1 too where
/// the range holds it, and nothing is off by more than half a step.
/// </summary>
/// <param name="Zero">Code of 0.</param>
/// <param name="PerUnit">Steps between 0 and 1.</param>
internal sealed record FixedPoint(int Zero, int PerUnit)
{
    private const int LargestCode = 255;

    /// <summary>Numbers of up to two units: beyond that steps are coarser than what 16 bits or FP8 make of a number of order one.</summary>
    private const double WidestRange = 2;

    /// <summary>Finer steps than that gain nothing over the rounding of what the numbers multiply, and would be for ranges that are nearly a point.</summary>
    private const int FinestSteps = 4096;

    /// <summary>The finest steps that cover a range (and 0); null for ranges that are too wide.</summary>
    public static FixedPoint? Cover(Interval range)
    {
        double low = Math.Min(range.Low, 0), high = Math.Max(range.High, 0), width = high - low;
        if (double.IsNaN(width) || width > WidestRange || width == 0)
        {
            return null;
        }

        // The outermost codes stand for what rounds to them, so a range may reach half a step beyond; an error of the arithmetic must not carry it further.
        const double Slack = 0.01;
        for (int steps = (int)Math.Min(FinestSteps, (LargestCode + 1) / width); steps > 0; steps--)
        {
            int below = (int)Math.Round((-low * steps) + Slack), above = (int)Math.Round((high * steps) + Slack);
            if (below + above <= LargestCode && (high < 1 || steps * (float)(1.0 / steps) == 1f))
            {
                return new FixedPoint(below, steps);
            }
        }

        return null;
    }

    public override string ToString() => $"byte {Zero.ToString(CultureInfo.InvariantCulture)} + {PerUnit.ToString(CultureInfo.InvariantCulture)}x";
}
