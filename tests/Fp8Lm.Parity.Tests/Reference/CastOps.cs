using System;
using System.Linq;
using Fp8Lm.Numerics;

namespace Fp8Lm.Parity.Tests.Reference;

/// <summary>What casts do to numbers.</summary>
internal static class CastOps
{
    /// <summary>Scaled so that the largest magnitude becomes the largest number of the format, rounded, and scaled back.</summary>
    public static void RoundToFp8(double[] values, Generators.Model.Format format)
    {
        double amax = values.Max(Math.Abs);
        if (amax == 0)
        {
            return;
        }

        bool wide = format == Generators.Model.Format.E5M2;
        float scale = (wide ? 57344f : 448f) / (float)amax;
        for (int i = 0; i < values.Length; i++)
        {
            float scaled = (float)values[i] * scale;
            values[i] = (double)(wide ? E5M2.ToSingle(E5M2.FromSingle(scaled)) : E4M3.ToSingle(E4M3.FromSingle(scaled))) / scale;
        }
    }

    public static void RoundToBf16(double[] values)
    {
        for (int i = 0; i < values.Length; i++)
        {
            values[i] = BFloat16.ToSingle(BFloat16.FromSingle((float)values[i]));
        }
    }
}
