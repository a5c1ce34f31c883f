using System;
using Xunit;

namespace Fp8Lm.Training.Tests;

public sealed class NormalNumberTests
{
    [Theory]
    [InlineData(0.02, 1UL)]
    [InlineData(0.0028867513459481287, 0x1234_5678_9ABC_DEF0UL)]
    [InlineData(1.0, 77UL)]
    public void Numbers_are_those_of_the_plain_formula_to_the_last_bit(double deviation, ulong key)
    {
        const int Count = 1 << 19;
        const ulong FirstPair = 12345;
        float[] values = new float[Count];

        NormalNumbers.Fill(values, key, FirstPair, deviation);

        for (int i = 0; i < Count; i += 2)
        {
            (double a, double b) = CounterRandom.NormalPair(key, FirstPair + ((ulong)i / 2));
            Assert.Equal(BitConverter.SingleToInt32Bits((float)(a * deviation)), BitConverter.SingleToInt32Bits(values[i]));
            Assert.Equal(BitConverter.SingleToInt32Bits((float)(b * deviation)), BitConverter.SingleToInt32Bits(values[i + 1]));
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(13)]
    public void The_end_of_a_short_run_is_filled(int count)
    {
        float[] whole = new float[16], part = new float[count];
        NormalNumbers.Fill(whole, 3, 0, 1);
        NormalNumbers.Fill(part, 3, 0, 1);

        Assert.Equal(whole[..count], part);
    }

    [Fact]
    public void Mean_and_deviation_are_those_of_the_normal_distribution()
    {
        float[] values = new float[1 << 18];
        NormalNumbers.Fill(values, 9, 0, 2);
        double sum = 0, squares = 0;
        foreach (float value in values)
        {
            (sum, squares) = (sum + value, squares + ((double)value * value));
        }

        Assert.InRange(sum / values.Length, -0.02, 0.02);
        Assert.InRange(Math.Sqrt(squares / values.Length), 1.98, 2.02);
    }
}
