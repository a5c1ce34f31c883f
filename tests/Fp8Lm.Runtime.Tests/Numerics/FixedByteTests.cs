using System;
using System.Linq;
using System.Runtime.Intrinsics;
using Fp8Lm.Numerics;
using Xunit;

namespace Fp8Lm.Runtime.Tests.Numerics;

public sealed class FixedByteTests
{
    /// <summary>GELU, SiLU, tanh, sigmoid, and a coarse one.</summary>
    public static TheoryData<int, int> Forms() => new() { { 26, 203 }, { 21, 213 }, { 0, 255 }, { 0, 1021 }, { 100, 13 } };

    [Theory]
    [MemberData(nameof(Forms))]
    public void CodesAreExactAndEverythingElseIsOffByHalfAStep(int zero, int perUnit)
    {
        for (int code = 0; code < 256; code++)
        {
            float value = FixedByte.ToSingle((byte)code, zero, perUnit);
            Assert.Equal((double)(code - zero) / perUnit, value, 1e-6);
            Assert.Equal(code, FixedByte.FromSingle(value, zero, perUnit));
        }

        Random random = new(3);
        for (int i = 0; i < 100_000; i++)
        {
            float x = (float)(((random.NextDouble() * 255) - zero) / perUnit);
            Assert.Equal(x, FixedByte.ToSingle(FixedByte.FromSingle(x, zero, perUnit), zero, perUnit), (0.5 / perUnit) + 1e-6);
        }
    }

    /// <summary>A saturated unit has the gradient 0, a linear one the gradient it got: both as if nothing had been stored in between.</summary>
    [Theory]
    [MemberData(nameof(Forms))]
    public void NoughtAndOneAreExact(int zero, int perUnit)
    {
        Assert.Equal(0f, FixedByte.ToSingle(FixedByte.FromSingle(0f, zero, perUnit), zero, perUnit));
        if (zero + perUnit <= 255)
        {
            Assert.Equal(1f, FixedByte.ToSingle(FixedByte.FromSingle(1f, zero, perUnit), zero, perUnit));
        }
    }

    [Fact]
    public void HalfwayGoesToTheEvenSumAndNaNToTheLastCode()
    {
        // With 128 steps halves are exact, so ties are real ones; the code of 0 counts to what is even.
        Assert.Equal([10, 12, 12, 14], new[] { 0.5f, 1.5f, 2.5f, 3.5f }.Select(x => (int)FixedByte.FromSingle(x / 128, 10, 128)));
        Assert.Equal(255, FixedByte.FromSingle(float.NaN, 26, 203));
        Assert.Equal(255u, FixedByte.FromSingle(Vector256.Create(float.NaN), 26, 203).ToScalar());
    }

    [Theory]
    [MemberData(nameof(Forms))]
    public void VectorsAreTheSameBits(int zero, int perUnit)
    {
        Random random = new(4);
        for (int trial = 0; trial < 10_000; trial++)
        {
            float[] x = [.. Enumerable.Range(0, 8).Select(_ => (float)(((random.NextDouble() * 255) - zero) / perUnit))];
            Vector256<uint> codes = FixedByte.FromSingle(Vector256.Create(x), zero, perUnit);
            Vector256<float> values = FixedByte.ToSingle(codes, zero, perUnit);
            for (int i = 0; i < 8; i++)
            {
                Assert.Equal(FixedByte.FromSingle(x[i], zero, perUnit), codes.GetElement(i));
                Assert.Equal(FixedByte.ToSingle((byte)codes.GetElement(i), zero, perUnit), values.GetElement(i));
            }
        }
    }

    /// <summary>The slope of the tanh form of GELU against double precision, over all where it bends: what a byte loses is what bfloat16 loses near 1.</summary>
    [Fact]
    public void TheSlopeOfAGeluIsAsGoodAsInBfloat16()
    {
        double worst = 0, squares = 0, squares16 = 0;
        const int Count = 200_001;
        for (int i = 0; i < Count; i++)
        {
            double x = (i - (Count / 2)) * 8.0 / Count, k = 2 * Math.Sqrt(2 / Math.PI), s = 1 / (1 + Math.Exp(-k * x * (1 + (0.044715 * x * x))));
            double slope = s + (x * s * (1 - s) * k * (1 + (3 * 0.044715 * x * x)));
            double error = FixedByte.ToSingle(FixedByte.FromSingle((float)slope, 26, 203), 26, 203) - slope, error16 = BFloat16.ToSingle(BFloat16.FromSingle((float)slope)) - slope;
            worst = Math.Max(worst, Math.Abs(error));
            squares += error * error;
            squares16 += error16 * error16;
        }

        Assert.InRange(worst, 0, 0.5 / 203 + 1e-6);
        Assert.InRange(Math.Sqrt(squares / squares16), 0, 1.5);
    }
}
