using System.Runtime.Intrinsics;
using Fp8Lm.Cpu;
using Xunit;

namespace Fp8Lm.Runtime.Tests.Cpu;

public class UniformTests
{
    /// <summary>The numerators over 2^24; the device library's test has the same ones.</summary>
    [Theory]
    [InlineData(0x00000000u, 0u, 15549091)]
    [InlineData(0x00000000u, 1u, 1486275)]
    [InlineData(0x00000001u, 0u, 12415162)]
    [InlineData(0x12345678u, 12345u, 8092204)]
    [InlineData(0xFFFFFFFFu, 4294967295u, 186251)]
    [InlineData(0xDEADBEEFu, 1000003u, 5114601)]
    public void Known_values(uint key, uint index, int numerator)
    {
        Assert.Equal(numerator / 16777216f, VectorMath.Uniform(key, index));
        Assert.Equal(numerator / 16777216f, VectorMath.Uniform(key, Vector256.Create(7u, 6, 5, 4, 3, 2, 1, index)).GetElement(7));
    }

    [Fact]
    public void Consecutive_indices_are_spread_evenly_and_keys_are_unrelated()
    {
        const int count = 1 << 20;
        int[] buckets = new int[64];
        double product = 0;
        for (uint i = 0; i < count; i += 8)
        {
            Vector256<float> a = VectorMath.UniformFrom(1234, i), b = VectorMath.UniformFrom(1235, i);
            for (int lane = 0; lane < 8; lane++)
            {
                Assert.True(a.GetElement(lane) is >= 0f and < 1f);
                buckets[(int)(a.GetElement(lane) * 64)]++;
                product += (a.GetElement(lane) - 0.5) * (b.GetElement(lane) - 0.5);
            }
        }

        // Five standard deviations of a bucket and of the covariance.
        double expected = count / 64.0;
        Assert.All(buckets, bucket => Assert.InRange(bucket, expected - (5 * double.Sqrt(expected)), expected + (5 * double.Sqrt(expected))));
        Assert.InRange(product / count, -5 / 12.0 / double.Sqrt(count), 5 / 12.0 / double.Sqrt(count));
    }
}
