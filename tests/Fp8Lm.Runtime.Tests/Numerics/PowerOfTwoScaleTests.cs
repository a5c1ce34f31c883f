using System;
using Fp8Lm.Numerics;
using Xunit;

namespace Fp8Lm.Runtime.Tests.Numerics;

/// <summary>Check 3 of the fact sheet's section 8.</summary>
public class PowerOfTwoScaleTests
{
    [Theory]
    [InlineData(1f, 448f, 256f)]
    [InlineData(448f, 448f, 1f)]
    [InlineData(449f, 448f, 0.5f)]
    [InlineData(0.003f, 448f, 131072f)]
    [InlineData(57344f, 57344f, 1f)]
    [InlineData(65504f, 65504f, 1f)]
    public void The_examples_of_the_reference(float amax, float maximum, float scale) => Assert.Equal(scale, PowerOfTwoScale.FromAmax(amax, maximum, 7f));

    [Theory]
    [InlineData(448f)]
    [InlineData(57344f)]
    [InlineData(65504f)]
    public void One_rounding_step_above_the_maximum_halves(float maximum)
    {
        Assert.Equal(1f, PowerOfTwoScale.FromAmax(maximum, maximum, 7f));
        Assert.Equal(0.5f, PowerOfTwoScale.FromAmax(float.BitIncrement(maximum), maximum, 7f));
    }

    [Theory]
    [InlineData(0f)]
    [InlineData(float.PositiveInfinity)]
    [InlineData(float.NaN)]
    public void What_says_nothing_keeps_the_old_scale(float amax) => Assert.Equal(0.125f, PowerOfTwoScale.FromAmax(amax, 448f, 0.125f));

    [Theory]
    [InlineData(0f)]
    [InlineData(-1f)]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    public void A_format_has_a_positive_maximum(float maximum) =>
        Assert.Contains("Use 448 for E4M3", Assert.Throws<ArgumentOutOfRangeException>(() => PowerOfTwoScale.FromAmax(1f, maximum, 1f)).Message);
}
