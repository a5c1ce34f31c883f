using System;
using System.Linq;
using Fp8Lm.Cpu;
using Fp8Lm.Execution;
using Xunit;

namespace Fp8Lm.Runtime.Tests.Cpu;

/// <summary>Groups of moments with a scale and an exponent (COAT, arXiv 2410.19313, section 4) against powers in float64.</summary>
public sealed class MomentGroupTests
{
    /// <summary>How a format fills its range, and half of its last place: relative, and where it is subnormal.</summary>
    private readonly record struct Grid(ElementFormat Format, double Maximum, double Smallest, double Relative);

    private static readonly Grid E4M3Grid = new(ElementFormat.E4M3, 448, Math.Pow(2, -9), 1 / 16.0), E5M2Grid = new(ElementFormat.E5M2, 57344, Math.Pow(2, -16), 1 / 8.0);

    private static Grid GridOf(ElementFormat format) => format == ElementFormat.E4M3 ? E4M3Grid : E5M2Grid;

    /// <summary>In the expanded numbers nothing is off by more than half of the last place, whatever the range of the group: from a few per mille to more than FP8 has.</summary>
    [Theory]
    [InlineData(ElementFormat.E4M3, 0.01, 1e-3)]
    [InlineData(ElementFormat.E4M3, 0.5, 1e-12)]
    [InlineData(ElementFormat.E4M3, 2, 1)]
    [InlineData(ElementFormat.E4M3, 4, 1e-20)]
    [InlineData(ElementFormat.E4M3, 12, 1e-8)]
    [InlineData(ElementFormat.E5M2, 0.5, 1e-12)]
    [InlineData(ElementFormat.E5M2, 4, 1e-8)]
    public void A_group_is_rounded_once_in_its_own_range(ElementFormat format, double spread, double scale)
    {
        Grid grid = GridOf(format);
        var random = new Random(5);
        foreach (int n in new[] { 128, 64, 8, 3 })
        {
            float[] values = [.. Enumerable.Range(0, n).Select(_ => (float)(scale * Math.Exp(spread * Normal(random)) * random.Next(-1, 2)))];
            (float[] decoded, MomentGroup group, _) = RoundTrip(values, format);
            double amax = values.Max(MathF.Abs), least = values.Where(v => v != 0).Min(MathF.Abs);
            double root = Math.Clamp(Math.Log2(amax / least) / Math.Log2(grid.Maximum / grid.Smallest), 1 / 16.0, 2);
            Assert.Equal((float)amax, group.Amax);
            Assert.Equal(root, group.Root, 1e-4);
            foreach ((float value, float stored) in values.Zip(decoded))
            {
                Assert.Equal(Math.Sign(value), Math.Sign(stored));
                if (value != 0)
                {
                    double expanded = Math.Max(grid.Maximum * Math.Pow(Math.Abs(value) / amax, 1 / root), grid.Smallest), found = grid.Maximum * Math.Pow(Math.Abs(stored) / amax, 1 / root);
                    Assert.True(Math.Abs(found - expanded) <= (Math.Max(grid.Relative * expanded, grid.Smallest / 2) * 1.001) + (4e-3 * expanded), $"{stored} for {value}: {found} for {expanded}");
                }
            }
        }
    }

    /// <summary>What is largest is exact, so a group that does not change does not drift.</summary>
    [Fact]
    public void The_largest_number_is_exact_and_bytes_are_stable()
    {
        var random = new Random(6);
        float[] values = [.. Enumerable.Range(0, 1280).Select(_ => (float)(Math.Exp(2 * Normal(random)) * 1e-5))];
        (float[] once, _, byte[] bytes) = RoundTrip(values, ElementFormat.E4M3);
        for (int group = 0; group < values.Length; group += MomentGroup.Elements)
        {
            Assert.Equal(values.Skip(group).Take(MomentGroup.Elements).Max(), once.Skip(group).Take(MomentGroup.Elements).Max());
        }

        (_, _, byte[] again) = RoundTrip(once, ElementFormat.E4M3);
        Assert.Equal(bytes, again);
    }

    [Theory]
    [InlineData(0f, 1f, 0f)]
    [InlineData(3e-7f, 0.0625f, 3e-7f)]
    [InlineData(-5f, 0.0625f, -5f)]
    [InlineData(1e-39f, 1f, 0f)]
    [InlineData(3e38f, 0.0625f, 3e38f)]
    [InlineData(2e-38f, 0.0625f, 2e-38f)]
    public void A_group_of_one_number_is_exact(float value, float root, float expected)
    {
        foreach (float[] values in new[] { [value], Enumerable.Repeat(value, 128).ToArray(), [0f, value, 0f] })
        {
            (float[] decoded, MomentGroup group, byte[] bytes) = RoundTrip(values, ElementFormat.E4M3);
            Assert.Equal(values.Select(v => v == value ? expected : 0f), decoded);
            Assert.Equal(MathF.Abs(expected), group.Amax);
            Assert.Equal(root, group.Root);
            Assert.Equal(values.Select(v => expected == 0f || v == 0f ? 0 : v < 0 ? 0xFE : 0x7E), bytes.Select(b => (int)b));
        }
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    [InlineData(float.NegativeInfinity)]
    public unsafe void A_number_that_is_not_finite_leaves_the_group_as_it_was(float bad)
    {
        float* values = stackalloc float[8] { 1f, -0.5f, 0.25f, 0f, bad, 7f, -7f, 1e-30f };
        byte* bytes = stackalloc byte[8];
        var group = new MomentGroup { Amax = 2f, Root = 0.5f };
        group.Compress<GroupedState<E4M3State>>(values, 8, bytes);
        Assert.Equal((2f, 0.5f), (group.Amax, group.Root));
        float[] decoded = new float[8];
        StateCodec.DecodeGroups(new ReadOnlySpan<byte>(bytes, 8), ElementFormat.E4M3, [group], decoded);
        Assert.Equal(2f, MathF.Abs(decoded[4]));
        Assert.Equal([2f, -2f], decoded[5..7]);
        Assert.Equal(1f, decoded[0], 0.04f);
        Assert.Equal(-0.5f, decoded[1], 0.02f);
        Assert.Equal(0f, decoded[3]);
    }

    /// <summary>
    /// Second moments of a tensor whose rows have gradients of very different size: with one scale most of what is stored in E4M3 is zero (the fact sheet's reason for Table 6 #4 to diverge),
    /// in groups nothing is, and m / sqrt(v) is as good as the bytes.
    /// </summary>
    [Fact]
    public void Second_moments_do_not_underflow()
    {
        var random = new Random(7);
        int rows = 64, columns = 256;
        float[] first = new float[rows * columns], second = new float[first.Length];
        for (int i = 0; i < first.Length; i++)
        {
            double size = Math.Exp(3 * Math.Sin(i / columns)) * Math.Exp(Normal(random)), m = 0, v = 0;
            for (int step = 0; step < 60; step++)
            {
                double gradient = size * (Normal(random) + 0.3);
                (m, v) = ((0.9 * m) + (0.1 * gradient), (0.95 * v) + (0.05 * gradient * gradient));
            }

            (first[i], second[i]) = ((float)m, (float)v);
        }

        float scale = Scaling.State(BitConverter.SingleToUInt32Bits(second.Max()), 448f, 1f);
        byte[] bytes = new byte[second.Length];
        StateCodec.Encode(second, ElementFormat.E4M3, scale, bytes);
        Assert.InRange(bytes.Count(b => b == 0) / (double)bytes.Length, 0.05, 1);

        float[] firstBack = RoundTrip(first, ElementFormat.E4M3).Decoded, secondBack = RoundTrip(second, ElementFormat.E4M3).Decoded;
        Assert.DoesNotContain(0f, secondBack);
        double error = 0, signal = 0;
        for (int i = 0; i < first.Length; i++)
        {
            double exact = first[i] / Math.Sqrt(second[i]), stored = firstBack[i] / Math.Sqrt(secondBack[i]);
            error += (stored - exact) * (stored - exact);
            signal += exact * exact;
        }

        Assert.InRange(Math.Sqrt(error / signal), 0, 0.03);
    }

    private static (float[] Decoded, MomentGroup Group, byte[] Bytes) RoundTrip(float[] values, ElementFormat format)
    {
        byte[] bytes = new byte[values.Length];
        MomentGroup[] groups = new MomentGroup[MomentGroup.Count(values.Length)];
        float[] decoded = new float[values.Length];
        StateCodec.EncodeGroups(values, format, groups, bytes);
        StateCodec.DecodeGroups(bytes, format, groups, decoded);
        return (decoded, groups[0], bytes);
    }

    private static double Normal(Random random) => Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());
}
