using System;
using System.Collections.Generic;
using System.Runtime.Intrinsics;
using Fp8Lm.Numerics;
using Xunit;

namespace Fp8Lm.Runtime.Tests.Numerics;

public class ConversionTests
{
    private const int RandomFloats = 2_000_000;

    /// <summary>A format of the library beside its model.</summary>
    public sealed record Case(
        string Name, FormatModel Model, Func<float, uint> Encode, Func<uint, float> Decode, Func<Vector256<float>, Vector256<uint>> EncodeVector,
        Func<Vector256<uint>, Vector256<float>> DecodeVector)
    {
        public override string ToString() => Name;
    }

    public static TheoryData<Case> Cases =>
    [
        new Case("E4M3", FormatModel.E4M3, x => E4M3.FromSingle(x), c => E4M3.ToSingle((byte)c), x => E4M3.FromSingle(x), c => E4M3.ToSingle(c)),
        new Case("E5M2", FormatModel.E5M2, x => E5M2.FromSingle(x), c => E5M2.ToSingle((byte)c), x => E5M2.FromSingle(x), c => E5M2.ToSingle(c)),
        new Case("F16", FormatModel.F16, x => Float16.FromSingle(x), c => Float16.ToSingle((ushort)c), x => Float16.FromSingle(x), c => Float16.ToSingle(c)),
        new Case("BF16", FormatModel.BF16, x => BFloat16.FromSingle(x), c => BFloat16.ToSingle((ushort)c), x => BFloat16.FromSingle(x), c => BFloat16.ToSingle(c)),
    ];

    [Theory]
    [MemberData(nameof(Cases))]
    public void Every_code_decodes_to_its_definition(Case format)
    {
        for (uint code = 0; code < format.Model.Codes; code++)
        {
            double expected = format.Model.Decode(code);
            AssertSame(expected, format.Decode(code), code);
            Vector256<float> lanes = format.DecodeVector(Vector256.Create(code, 0, code, 1, 2, 3, 4, code));
            AssertSame(expected, lanes.GetElement(0), code);
            AssertSame(expected, lanes.GetElement(7), code);
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Every_finite_code_survives_the_round_trip(Case format)
    {
        for (uint code = 0; code < format.Model.Codes; code++)
        {
            float value = format.Decode(code);
            if (float.IsFinite(value))
            {
                Assert.Equal(code, format.Encode(value));
            }
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Casts_take_the_nearest_value_and_ties_go_to_even(Case format)
    {
        var inputs = new List<float>();
        ReadOnlySpan<double> values = format.Model.Finite;
        for (int i = 0; i + 1 < values.Length; i++)
        {
            AddWithNeighbours(inputs, values[i]);
            AddWithNeighbours(inputs, (values[i] + values[i + 1]) / 2);
        }

        AddWithNeighbours(inputs, values[^1]);
        AddWithNeighbours(inputs, values[^1] + ((values[^1] - values[^2]) / 2));
        AssertCasts(format, inputs);
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Special_values_and_overflow_follow_the_hardware(Case format)
    {
        AssertCasts(
            format,
            [0f, -0f, float.NaN, -float.NaN, BitConverter.UInt32BitsToSingle(0x7F800001), BitConverter.UInt32BitsToSingle(0xFFFFFFFF), float.PositiveInfinity,
             float.NegativeInfinity, float.MaxValue, float.MinValue, float.Epsilon, -float.Epsilon, 1.17549435e-38f, 448f, 464f, 465f, 57344f, 61440f, 65504f,
             65520f, 1e30f, -1e30f, 1e-30f]);
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void Random_floats_agree_with_the_model(Case format)
    {
        var random = new Random(7);
        var inputs = new List<float>(RandomFloats);
        for (int i = 0; i < RandomFloats / 2; i++)
        {
            inputs.Add(BitConverter.UInt32BitsToSingle((uint)random.NextInt64(1L << 32)));
            inputs.Add((float)((random.NextDouble() - 0.5) * Math.Pow(2, random.Next(-20, 20))));
        }

        AssertCasts(format, inputs);
    }

    [Fact]
    public void Known_codes_of_the_two_fp8_formats()
    {
        Assert.Equal(0x7E, E4M3.FromSingle(float.PositiveInfinity));
        Assert.Equal(0xFE, E4M3.FromSingle(-1000f));
        Assert.Equal(0x7F, E4M3.FromSingle(-float.NaN));
        Assert.Equal(0x38, E4M3.FromSingle(1f));
        Assert.Equal(0x01, E4M3.FromSingle(E4M3.Smallest));
        Assert.Equal(0x00, E4M3.FromSingle(E4M3.Smallest / 2));
        Assert.Equal(0x7B, E5M2.FromSingle(float.PositiveInfinity));
        Assert.Equal(0xFB, E5M2.FromSingle(-1e9f));
        Assert.Equal(0x7F, E5M2.FromSingle(float.NaN));
        Assert.Equal(0x3C, E5M2.FromSingle(1f));
        Assert.Equal(448f, E4M3.ToSingle(0x7E));
        Assert.Equal(57344f, E5M2.ToSingle(0x7B));
        Assert.True(float.IsNaN(E4M3.ToSingle(0xFF)));
        Assert.Equal(float.NegativeInfinity, E5M2.ToSingle(0xFC));
    }

    [Fact]
    public void Binary16_equals_the_framework_type()
    {
        var random = new Random(11);
        for (int i = 0; i < 500_000; i++)
        {
            float value = BitConverter.UInt32BitsToSingle((uint)random.NextInt64(1L << 32));
            if (!float.IsNaN(value))
            {
                Assert.Equal(BitConverter.HalfToUInt16Bits((Half)value), Float16.FromSingle(value));
            }
        }
    }

    private static void AddWithNeighbours(List<float> inputs, double value)
    {
        float single = (float)value;
        foreach (float input in (ReadOnlySpan<float>)[single, float.BitIncrement(single), float.BitDecrement(single)])
        {
            inputs.Add(input);
            inputs.Add(-input);
        }
    }

    private static void AssertCasts(Case format, List<float> inputs)
    {
        while (inputs.Count % Vector256<float>.Count != 0)
        {
            inputs.Add(0f);
        }

        ReadOnlySpan<float> values = inputs.ToArray();
        for (int i = 0; i < values.Length; i += Vector256<float>.Count)
        {
            Vector256<uint> codes = format.EncodeVector(Vector256.Create(values[i..]));
            for (int lane = 0; lane < Vector256<float>.Count; lane++)
            {
                float value = values[i + lane];
                uint expected = format.Model.Encode(value);
                if (expected != format.Encode(value) || expected != codes.GetElement(lane))
                {
                    Assert.Fail($"{format.Name}: {value:R} must become {expected:X}, got {format.Encode(value):X} (scalar) and {codes.GetElement(lane):X} (vector).");
                }
            }
        }
    }

    private static void AssertSame(double expected, float actual, uint code) =>
        Assert.True(
            double.IsNaN(expected) ? float.IsNaN(actual) : BitConverter.DoubleToInt64Bits(expected) == BitConverter.DoubleToInt64Bits(actual),
            $"Code {code:X} is {expected:R} and was read as {actual:R}.");
}
