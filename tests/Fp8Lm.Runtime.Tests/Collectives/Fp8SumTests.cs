using System;
using Fp8Lm.Collectives;
using Fp8Lm.Execution;
using Fp8Lm.Runtime.Tests.Numerics;
using Xunit;

namespace Fp8Lm.Runtime.Tests.Collectives;

/// <summary>Check 4 of the fact sheet's section 8: the adder.</summary>
public class Fp8SumTests
{
    [Theory]
    [InlineData(0x4A, 0x50, 0x55)] // 5 + 8 = 13
    [InlineData(0x58, 0x5C, 0x62)] // 16 + 24 = 40
    [InlineData(0x7E, 0x01, 0x7E)] // 448 stays
    [InlineData(0x7E, 0x7E, 0x7E)]
    [InlineData(0xFE, 0x81, 0xFE)]
    [InlineData(0x7E, 0xFE, 0x00)]
    [InlineData(0x80, 0x80, 0x80)]
    [InlineData(0x7F, 0x38, 0x7F)]
    public void Check_values_of_E4M3(byte left, byte right, byte sum)
    {
        Assert.Equal(sum, Fp8Sum.Add(left, right, ElementFormat.E4M3));
        byte[] accumulator = [left];
        Assert.Equal((sum & 0x7F) == 0x7E ? 1 : 0, Fp8Sum.Add(accumulator, [right], ElementFormat.E4M3));
        Assert.Equal([sum], accumulator);
    }

    [Fact]
    public void Saturated_positive_values_stay_whatever_positive_is_added()
    {
        for (int code = 0; code < 0x7F; code++)
        {
            Assert.Equal(0x7E, Fp8Sum.Add(0x7E, (byte)code, ElementFormat.E4M3));
        }
    }

    [Theory]
    [InlineData(ElementFormat.E4M3)]
    [InlineData(ElementFormat.E5M2)]
    public void All_sums_of_two_codes_are_the_definition_s(ElementFormat format)
    {
        FormatModel model = format == ElementFormat.E4M3 ? FormatModel.E4M3 : FormatModel.E5M2;
        byte[] left = new byte[65536 + 5], right = new byte[left.Length], expected = new byte[left.Length];
        int largest = format == ElementFormat.E4M3 ? 0x7E : 0x7B, saturated = 0;
        for (int i = 0; i < left.Length; i++)
        {
            (left[i], right[i]) = ((byte)(i >> 8), (byte)i);

            // Half arithmetic from the definition: the exact sum, rounded to half, rounded to FP8.
            double exact = model.Decode(left[i]) + model.Decode(right[i]);
            double half = FormatModel.F16.Decode(FormatModel.F16.Encode((float)exact));
            expected[i] = (byte)model.Encode((float)half);
            Assert.Equal(expected[i], Fp8Sum.Add(left[i], right[i], format));
            saturated += (expected[i] & 0x7F) == largest ? 1 : 0;
        }

        Assert.Equal(saturated, Fp8Sum.Add(left, right, format));
        Assert.Equal(expected, left);
    }

    [Fact]
    public void Errors_say_what_was_expected()
    {
        Assert.Contains("got 2 and 1 codes", Assert.Throws<ArgumentException>(() => Fp8Sum.Add([1, 2], [1], ElementFormat.E4M3)).Message);
        Assert.Contains("E4M3 or E5M2; got F32", Assert.Throws<ArgumentException>(() => Fp8Sum.Add([1], [1], ElementFormat.F32)).Message);
        Assert.Contains("E4M3 or E5M2; got BF16", Assert.Throws<ArgumentException>(() => Fp8Sum.Add(1, 1, ElementFormat.BF16)).Message);
    }
}
