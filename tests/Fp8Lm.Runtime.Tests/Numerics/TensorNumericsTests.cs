using System;
using System.Linq;
using Fp8Lm.Execution;
using Fp8Lm.Numerics;
using Xunit;

namespace Fp8Lm.Runtime.Tests.Numerics;

public class TensorNumericsTests
{
    [Fact]
    public void Counts_and_powers_of_a_cast()
    {
        float[] values = [0f, -0f, 1f, 1.0625f, 1000f, -448f, 1e-4f, -1e-5f];
        TensorNumerics seen = Measure(values, ElementFormat.E4M3, 1f);
        Assert.Equal((8, 0, 2, 2), (seen.Elements, seen.NonFinite, seen.Underflow, seen.Saturated));
        Assert.Equal(1000, seen.Amax);
        Assert.Equal(values.Sum(v => (double)v * v), seen.Signal, 1e-9);
        Assert.Equal((0.0625 * 0.0625) + (552.0 * 552.0) + (1e-4 * 1e-4) + (1e-5 * 1e-5), seen.Noise, 1e-9);
        Assert.Equal(0.25, seen.UnderflowShare);
        Assert.Equal(0.25, seen.SaturatedShare);
        Assert.Equal(10 * Math.Log10(seen.Signal / seen.Noise), seen.SignalToNoise);
    }

    [Fact]
    public void The_scale_is_taken_out()
    {
        TensorNumerics seen = Measure([1e-4f, -2e-4f], ElementFormat.E5M2, 16384f);
        Assert.Equal(0, seen.Underflow);
        Assert.True(seen.SignalToNoise > 20, $"{seen.SignalToNoise} dB");
    }

    [Fact]
    public void What_is_not_finite_is_counted_apart()
    {
        TensorNumerics seen = Measure([float.NaN, 2f, float.PositiveInfinity], ElementFormat.E4M3, 1f);
        Assert.Equal((1, 2, 0, 0), (seen.Elements, seen.NonFinite, seen.Underflow, seen.Saturated));
        Assert.Equal(double.PositiveInfinity, seen.SignalToNoise);
    }

    [Fact]
    public void Zeros_have_no_ratio_and_no_elements_no_share()
    {
        Assert.True(double.IsNaN(Measure([0f, 0f], ElementFormat.E4M3, 1f).SignalToNoise));
        Assert.Equal(0, Measure([], ElementFormat.E4M3, 1f).UnderflowShare);
    }

    [Fact]
    public void Parts_add_up_to_the_whole()
    {
        var random = new Random(3);
        float[] values = [.. Enumerable.Range(0, 1000).Select(_ => (float)(Math.Pow(random.NextDouble() - 0.5, 5) * 3e4))];
        TensorNumerics whole = Measure(values, ElementFormat.E4M3, 2f);
        TensorNumerics parts = Measure(values[..300], ElementFormat.E4M3, 2f) + Measure(values[300..], ElementFormat.E4M3, 2f);
        Assert.Equal((whole.Elements, whole.Underflow, whole.Saturated, whole.Amax), (parts.Elements, parts.Underflow, parts.Saturated, parts.Amax));
        Assert.Equal(whole.SignalToNoise, parts.SignalToNoise, 1e-9);
        Assert.True(whole.Underflow > 0 && whole.Saturated > 0);
    }

    [Fact]
    public void Errors_say_what_was_expected()
    {
        Assert.Contains("got 2 values and 1 codes", Assert.Throws<ArgumentException>(() => TensorNumerics.Measure([1f, 2f], [0], ElementFormat.E4M3, 1f)).Message);
        Assert.Contains("E4M3 or E5M2; got BF16", Assert.Throws<ArgumentException>(() => TensorNumerics.Measure([1f], [0], ElementFormat.BF16, 1f)).Message);
        foreach (float scale in (ReadOnlySpan<float>)[0f, -1f, float.NaN, float.PositiveInfinity])
        {
            Assert.Contains("A scale is a positive number", Assert.Throws<ArgumentException>(() => TensorNumerics.Measure([1f], [0], ElementFormat.E4M3, scale)).Message);
        }
    }

    private static TensorNumerics Measure(float[] values, ElementFormat format, float scale) => TensorNumerics.Measure(
        values, [.. values.Select(v => format == ElementFormat.E4M3 ? E4M3.FromSingle(v * scale) : E5M2.FromSingle(v * scale))], format, scale);
}
