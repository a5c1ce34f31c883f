using System;
using System.Linq;
using System.Numerics;
using System.Threading.Tasks;
using Fp8Lm.Numerics;
using Xunit;

namespace Fp8Lm.Runtime.Tests.Numerics;

public sealed class ExactSumTests
{
    /// <summary>Every F32 number is a multiple of 2^-149, so the exact sum is an integer.</summary>
    [Fact]
    public void TheSumIsExact()
    {
        float[] parts = Parts(5000);
        ExactSum sum = default;
        BigInteger exact = 0;
        foreach (float part in parts)
        {
            ExactSum.Add(ref sum, part);
            exact += new BigInteger(part * Math.ScaleB(1d, 149));
        }

        Assert.Equal((double)exact * Math.ScaleB(1d, -149), sum.Value, (double)exact * Math.ScaleB(1d, -149) * 1e-15);
    }

    [Fact]
    public void NeitherOrderNorThreadsChangeABit()
    {
        float[] parts = Parts(5000);
        ExactSum first = default;
        foreach (float part in parts)
        {
            ExactSum.Add(ref first, part);
        }

        ExactSum[] second = [default];
        Parallel.ForEach(parts.Reverse(), part => ExactSum.Add(ref second[0], part));
        for (int bin = 0; bin < ExactSum.Bins; bin++)
        {
            Assert.Equal(first[bin], second[0][bin]);
        }
    }

    [Theory]
    [InlineData(0f, 0d)]
    [InlineData(-1f, 0d)]
    [InlineData(float.NaN, 0d)]
    [InlineData(float.Epsilon, float.Epsilon)]
    [InlineData(1.17549435e-38f, 1.17549435e-38f)]
    [InlineData(float.MaxValue, float.MaxValue)]
    [InlineData(float.PositiveInfinity, float.MaxValue)]
    public void EdgesAreWhatTheyAre(float part, double expected)
    {
        ExactSum sum = default;
        ExactSum.Add(ref sum, part);
        Assert.Equal(expected, sum.Value);
    }

    private static float[] Parts(int count)
    {
        var random = new Random(7);
        return [.. Enumerable.Range(0, count).Select(i => MathF.ScaleB(random.NextSingle(), random.Next(-150, 40)))];
    }
}
