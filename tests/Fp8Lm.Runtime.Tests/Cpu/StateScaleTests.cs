using System;
using Fp8Lm.Cpu;
using Xunit;

namespace Fp8Lm.Runtime.Tests.Cpu;

/// <summary>The scale of section 2.2 of the fact sheet.</summary>
public class StateScaleTests
{
    [Theory]
    [InlineData(1f, 448f, 256f)]
    [InlineData(448f, 448f, 1f)]
    [InlineData(449f, 448f, 0.5f)]
    [InlineData(0.003f, 448f, 131072f)]
    [InlineData(65504f, 65504f, 1f)]
    [InlineData(1f, 57344f, 32768f)]
    public void It_is_the_power_of_two_below(float amax, float maximum, float expected) => Assert.Equal(expected, Scale(amax, maximum, 3f));

    [Theory]
    [InlineData(448f, 448f)]
    [InlineData(65504f, 65504f)]
    [InlineData(57344f, 57344f)]
    public void One_step_above_the_largest_number_halves_it(float amax, float maximum)
    {
        Assert.Equal(1f, Scale(MathF.BitDecrement(amax), maximum, 3f));
        Assert.Equal(0.5f, Scale(MathF.BitIncrement(amax), maximum, 3f));
    }

    [Theory]
    [InlineData(0f)]
    [InlineData(float.PositiveInfinity)]
    [InlineData(float.NaN)]
    public void An_amax_that_says_nothing_keeps_the_old_scale(float amax) => Assert.Equal(3f, Scale(amax, 448f, 3f));

    [Theory]
    [InlineData(float.Epsilon)]
    [InlineData(1e-38f)]
    [InlineData(float.MaxValue)]
    public void The_reciprocal_is_a_normal_number(float amax)
    {
        float scale = Scale(amax, 448f, 3f);
        Assert.True(float.IsNormal(scale) && float.IsNormal(1f / scale));
    }

    [Fact]
    public void The_largest_element_lands_in_the_upper_half_of_the_range()
    {
        var random = new Random(1);
        for (int i = 0; i < 10_000; i++)
        {
            float amax = (float)Math.Exp((random.NextDouble() - 0.5) * 60);
            double scaled = (double)amax * Scale(amax, 448f, 3f);
            Assert.True(scaled is > 224 and <= 448, $"{amax} becomes {scaled}");
        }
    }

    private static float Scale(float amax, float maximum, float old) => Scaling.State(BitConverter.SingleToUInt32Bits(MathF.Abs(amax)), maximum, old);
}
