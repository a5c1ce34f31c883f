using System;
using System.Linq;
using Fp8Lm.Collectives;
using Fp8Lm.Cpu;
using Fp8Lm.Execution;
using Fp8Lm.Numerics;
using Xunit;

namespace Fp8Lm.Runtime.Tests.Collectives;

public sealed class GradientPayloadTests : IDisposable
{
    private readonly CpuPool pool = new(2);

    public void Dispose() => pool.Dispose();

    [Theory]
    [InlineData(ElementFormat.E4M3, 448f)]
    [InlineData(ElementFormat.E5M2, 57344f)]
    public void Codes_are_casts_and_counts_are_theirs(ElementFormat format, float maximum)
    {
        // Longer than two tiles, with a tail.
        float[] gradient = Gradients.Wild(1, 40_003);
        GradientPayload payload = Payload(format, gradient.Length);
        payload.Cast(0, gradient, 4f);
        float amax = gradient.Max(Math.Abs), scale = PowerOfTwoScale.FromAmax(amax, maximum, 1f);
        Assert.Equal(amax, payload.Amax(0));
        Assert.Equal(scale, payload.BaseScale(0));
        Assert.Equal(4 * scale, payload.Scale(0));
        byte[] expected = [.. gradient.Select(g => format == ElementFormat.E4M3 ? E4M3.FromSingle(g * 4 * scale) : E5M2.FromSingle(g * 4 * scale))];
        Assert.Equal(expected, payload.Tensor(0).ToArray());
        TensorNumerics numerics = TensorNumerics.Measure(gradient, expected, format, 4 * scale);
        Assert.Equal(new CastCounts(numerics.Underflow, numerics.Saturated), payload.Counts(0));
        Assert.True(numerics.Underflow > 0 && numerics.Saturated > 0);
    }

    [Fact]
    public void A_recorded_amax_gives_the_same_codes()
    {
        float[] gradient = Gradients.Wild(2, 1000);
        GradientPayload one = Payload(ElementFormat.E4M3, 1000), other = Payload(ElementFormat.E4M3, 1000);
        one.Cast(0, gradient, 0.5f);
        other.Cast(0, gradient, 0.5f, gradient.Max(Math.Abs));
        Assert.Equal(one.Tensor(0).ToArray(), other.Tensor(0).ToArray());
    }

    /// <summary>A gradient that its producer has stored in FP8 becomes what the cast of its numbers would be; with the factor 1 it stays as it is.</summary>
    [Theory]
    [InlineData(ElementFormat.E4M3)]
    [InlineData(ElementFormat.E5M2)]
    public void Codes_with_a_scale_of_their_own_become_what_a_cast_of_their_numbers_is(ElementFormat format)
    {
        float[] gradient = Gradients.Wild(3, 40_003);
        GradientPayload stored = Payload(format, gradient.Length), fromCodes = Payload(format, gradient.Length), fromNumbers = Payload(format, gradient.Length);
        stored.Cast(0, gradient, 1f);
        float[] numbers = new float[gradient.Length];
        stored.Read(0, numbers);
        foreach (float factor in (ReadOnlySpan<float>)[1f, 0.25f, 0.35f, 3f])
        {
            fromCodes.Cast(0, stored.Tensor(0), stored.Scale(0), stored.Amax(0), factor);
            fromNumbers.Cast(0, numbers, factor, stored.Amax(0));
            Assert.Equal(fromNumbers.Tensor(0).ToArray(), fromCodes.Tensor(0).ToArray());
            Assert.Equal(fromNumbers.Counts(0), fromCodes.Counts(0));
            Assert.Equal(
                (fromNumbers.Scale(0), fromNumbers.BaseScale(0), fromNumbers.Amax(0)), (fromCodes.Scale(0), fromCodes.BaseScale(0), fromCodes.Amax(0)));
            if (factor == 1f)
            {
                Assert.Equal(stored.Tensor(0).ToArray(), fromCodes.Tensor(0).ToArray());
            }
        }

        // A gradient of zeros, or one that is not finite, says nothing about the scale.
        float before = fromCodes.BaseScale(0);
        foreach (float amax in (ReadOnlySpan<float>)[0f, float.NaN, float.PositiveInfinity])
        {
            fromCodes.Cast(0, new byte[gradient.Length], 12345f, amax, 0.5f);
            Assert.Equal((before, before / 2), (fromCodes.BaseScale(0), fromCodes.Scale(0)));
        }

        // A scale beyond what a payload may have is brought back, with the codes.
        fromCodes.Cast(0, [.. Enumerable.Repeat((byte)0x40, gradient.Length)], MathF.ScaleB(1f, 92), 1e-25f, 1f);
        Assert.Equal(MathF.ScaleB(1f, 90), fromCodes.Scale(0));
        fromCodes.Read(0, numbers);
        Assert.All(numbers, n => Assert.Equal(MathF.ScaleB(2f, -92), n));
        Assert.Contains("would be 0", Assert.Throws<ArgumentException>(() => fromCodes.Cast(0, stored.Tensor(0), 0f, 1f, 1f)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(ElementFormat.E4M3, 3, 7)]
    [InlineData(ElementFormat.E5M2, 2, 15)]
    public void Requantising_by_a_power_of_two_moves_the_exponent_only(ElementFormat format, int mantissaBits, int bias)
    {
        // Check 4. Every finite code whose exponent has room for the step.
        const int Step = 2;
        int first = (Step + 1) << mantissaBits, end = format == ElementFormat.E4M3 ? 0x7F : 0x7C;
        byte[] codes = [.. Enumerable.Range(first, end - first).SelectMany(c => new[] { (byte)c, (byte)(c | 0x80) })];
        GradientPayload payload = Payload(format, codes.Length);
        float[] values = [.. codes.Select(c => format == ElementFormat.E4M3 ? E4M3.ToSingle(c) : E5M2.ToSingle(c))];
        payload.Cast(0, values, 1f);
        Assert.Equal(codes, payload.Tensor(0).ToArray());
        payload.Requantise(0, MathF.ScaleB(1f, -Step), 1f);
        Assert.Equal(codes.Select(c => (byte)(c - (Step << mantissaBits))), payload.Tensor(0).ToArray());
        Assert.Equal(new CastCounts(0, 0), payload.Counts(0));
        float[] read = new float[values.Length];
        payload.Read(0, read);
        Assert.Equal(values, read);
        Assert.True(bias > 0);
    }

    [Fact]
    public void Requantising_counts_what_it_loses()
    {
        GradientPayload payload = Payload(ElementFormat.E4M3, 3);
        payload.Cast(0, [448f, 0.015625f, 0f], 1f);
        Assert.Equal(new CastCounts(0, 1), payload.Counts(0));
        payload.Requantise(0, 1 / 64f, 1f);
        Assert.Equal(new CastCounts(1, 0), payload.Counts(0));
    }

    [Fact]
    public void A_gradient_of_zeros_keeps_its_scale_for_ever()
    {
        // Defect 6 of the reference code: there the factor multiplies the scale again in every step.
        GradientPayload payload = Payload(ElementFormat.E4M3, 4);
        payload.Cast(0, [1f, 2f, 3f, 4f], 0.25f);
        float scale = payload.Scale(0);
        for (int i = 0; i < 1000; i++)
        {
            payload.Cast(0, new float[4], 0.25f);
            Assert.Equal(scale, payload.Scale(0));
        }
    }

    [Theory]
    [InlineData(float.PositiveInfinity)]
    [InlineData(float.NegativeInfinity)]
    [InlineData(float.NaN)]
    public void A_gradient_that_is_not_finite_keeps_the_old_scale_itself(float bad)
    {
        // Defect 7: there the scale becomes its own reciprocal.
        GradientPayload payload = Payload(ElementFormat.E4M3, 2);
        payload.Cast(0, [1f, 2f], 1f);
        float scale = payload.Scale(0);
        payload.Cast(0, [bad, 1f], 1f);
        Assert.Equal(scale, payload.Scale(0));
        Assert.False(float.IsFinite(payload.Amax(0)));
    }

    [Theory]
    [InlineData(1e-45f)]
    [InlineData(3e38f)]
    public void Extreme_gradients_keep_scales_finite(float value)
    {
        var layout = new GradientLayout([new GradientTensor("w", 1)], 1024);
        var payload = new GradientPayload(layout, ElementFormat.E4M3, pool);
        foreach (float factor in (ReadOnlySpan<float>)[MathF.ScaleB(1f, -30), 1f, MathF.ScaleB(1f, 22)])
        {
            payload.Cast(0, [value], factor);
            payload.Average(0);
            Assert.True(float.IsNormal(payload.Scale(0)) && float.IsNormal(1f / payload.Scale(0)), $"{payload.Scale(0)}");
        }
    }

    [Fact]
    public void Averaging_changes_nothing_but_the_scale()
    {
        // Check 5.
        var layout = new GradientLayout([new GradientTensor("w", 100)], 8);
        var payload = new GradientPayload(layout, ElementFormat.E4M3, pool);
        payload.Cast(0, Gradients.Wild(3, 100), 1f);
        byte[] before = payload.Codes.ToArray();
        float scale = payload.Scale(0);
        payload.Average(0);
        Assert.Equal(before, payload.Codes.ToArray());
        Assert.Equal(8 * scale, payload.Scale(0));
    }

    [Fact]
    public void Errors_say_what_was_expected()
    {
        GradientPayload payload = Payload(ElementFormat.E4M3, 4);
        Assert.Contains("Gradient w has 4 elements; got 3", Assert.Throws<ArgumentException>(() => payload.Cast(0, new float[3], 1f)).Message);
        Assert.Contains("Gradient w has 4 elements; got 3", Assert.Throws<ArgumentException>(() => payload.Cast(0, new float[3], 1f, 1f)).Message);
        Assert.Contains("Gradient w has 4 elements; got 5", Assert.Throws<ArgumentException>(() => payload.Read(0, new float[5])).Message);
        foreach (float factor in (ReadOnlySpan<float>)[0f, -1f, float.NaN, float.PositiveInfinity])
        {
            Assert.Contains("scales and factors are positive", Assert.Throws<ArgumentException>(() => payload.Cast(0, new float[4], factor)).Message);
            Assert.Contains("scales and factors are positive", Assert.Throws<ArgumentException>(() => payload.Requantise(0, factor, 1f)).Message);
        }

        Assert.Contains("E4M3 or E5M2; got F16", Assert.Throws<ArgumentException>(() => Payload(ElementFormat.F16, 4)).Message);
    }

    [Fact]
    public void Layouts_that_cannot_work_are_refused()
    {
        GradientTensor w = new("w", 4);
        Assert.Contains("at least 1 rank; got 0", Assert.Throws<ArgumentOutOfRangeException>(() => new GradientLayout([w], 0)).Message);
        Assert.Contains("at least one gradient", Assert.Throws<ArgumentException>(() => new GradientLayout([], 2)).Message);
        Assert.Contains("has 0 elements", Assert.Throws<ArgumentException>(() => new GradientLayout([new GradientTensor("e", 0)], 2)).Message);
        Assert.Contains("Two gradients are called w", Assert.Throws<ArgumentException>(() => new GradientLayout([w, w], 2)).Message);
        Assert.Contains("Split them", Assert.Throws<ArgumentException>(() => new GradientLayout([new("a", int.MaxValue - 1), new("b", int.MaxValue - 1)], 2)).Message);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(128)]
    public void Shards_are_equal_and_tensors_do_not_overlap(int ranks)
    {
        var layout = new GradientLayout([new("a", 1), new("b", 1000), new("c", 17)], ranks);
        Assert.Equal(layout.Bytes, layout.ShardBytes * ranks);
        for (int t = 0; t < 3; t++)
        {
            Assert.True(layout.Offsets[t] + layout.Tensors[t].Elements <= (t < 2 ? layout.Offsets[t + 1] : layout.Bytes));
        }
    }

    private GradientPayload Payload(ElementFormat format, int elements) => new(new GradientLayout([new GradientTensor("w", elements)], 1), format, pool);
}

/// <summary>Numbers like gradients.</summary>
internal static class Gradients
{
    /// <summary>Values over many binades, zeros among them.</summary>
    public static float[] Wild(int seed, int count)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(i => i % 50 == 0 ? 0f : (float)((random.NextDouble() - 0.5) * Math.Pow(10, -8 * random.NextDouble())))];
    }

    /// <summary>Normal numbers.</summary>
    public static float[] Normal(int seed, int count, double deviation)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).Select(_ => (float)(deviation * Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble())))];
    }
}
