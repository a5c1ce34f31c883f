using System;
using System.Linq;
using System.Runtime.Intrinsics;
using System.Threading.Tasks;
using Fp8Lm.Cpu;
using Fp8Lm.Execution;
using Fp8Lm.Numerics;
using Xunit;

namespace Fp8Lm.Runtime.Tests.Cpu;

/// <summary>What is counted while a cast is made is what a look at every value and its byte finds afterwards.</summary>
public sealed unsafe class CastCounterTests
{
    /// <summary>Numbers of every kind that a cast meets.</summary>
    public static readonly string[] Kinds = ["normal", "tiny", "huge", "mixed", "zero", "poisoned", "largest"];

    public static TheoryData<string, ElementFormat, float, int> Cases
    {
        get
        {
            TheoryData<string, ElementFormat, float, int> cases = [];
            foreach (string kind in Kinds)
            {
                foreach (ElementFormat format in (ElementFormat[])[ElementFormat.E4M3, ElementFormat.E5M2])
                {
                    cases.Add(kind, format, 1f, 1024);
                    cases.Add(kind, format, 37.5f, 1021);
                    cases.Add(kind, format, 3e-5f, 3);
                }
            }

            return cases;
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void CountsAreThoseOfEveryElement(string kind, ElementFormat format, float scale, int count)
    {
        float[] values = Numbers(kind, count);
        CastStatistics counted = Count(values, format, scale, runs: 1);
        AssertCounts(TensorNumerics.Measure(values, Codes(values, format, scale), format, scale), counted.Numerics, $"{kind} {format} {scale}");
        Assert.Equal(scale, counted.Scale);
    }

    [Fact]
    public void WorkersAndTheirOrderDoNotMatter()
    {
        float[] values = Numbers("mixed", 8192);
        CastStatistics first = Count(values, ElementFormat.E4M3, 2f, runs: 32), second = Count(values, ElementFormat.E4M3, 2f, runs: 32);
        Assert.True(Bytes(first).SequenceEqual(Bytes(second)));
        AssertCounts(TensorNumerics.Measure(values, Codes(values, ElementFormat.E4M3, 2f), ElementFormat.E4M3, 2f), first.Numerics, "in 32 pieces");

        static byte[] Bytes(CastStatistics statistics) => new ReadOnlySpan<byte>(&statistics, sizeof(CastStatistics)).ToArray();
    }

    /// <summary>The row-major copy is counted, each element with the scale of its group; where there is none, the other.</summary>
    [Theory]
    [InlineData(ScaleGroups.Row, true)]
    [InlineData(ScaleGroups.Row, false)]
    [InlineData(ScaleGroups.Block, true)]
    [InlineData(ScaleGroups.Block, false)]
    [InlineData(ScaleGroups.Square, true)]
    public void CastsWithScalesOfTheirOwnAreCounted(ScaleGroups groups, bool along)
    {
        const int Rows = 144, Columns = 208, RowTiles = 2, ColumnTiles = 2;
        var random = new Random(3);
        float[] x = [.. Enumerable.Range(0, Rows * Columns).Select(i => (float)(random.NextDouble() - 0.5) * MathF.ScaleB(1f, random.Next(-24, 2)))];
        x[17] = float.NaN;
        using CpuPool pool = new(2);
        float[] rowAmax = new float[ColumnTiles * Rows], columnAmax = new float[RowTiles * Columns], inverse = new float[ColumnTiles * Rows], inverseOver = new float[RowTiles * Columns];
        byte[] y = new byte[x.Length], over = new byte[x.Length];
        CastStatistics counted = default;
        fixed (float* px = x, pr = rowAmax, pc = columnAmax, pi = inverse, pj = inverseOver)
        fixed (byte* py = y, po = over)
        {
            GroupedSource source = new((nint)px, ElementFormat.F32, Rows, Columns, Columns);
            GroupedCasts.Amax(pool, source, (nint)pr, (nint)pc);
            GroupedCasts.Cast(
                pool, source, ElementFormat.E4M3, groups, powerOfTwo: false, (nint)pr, (nint)pc, along ? (nint)py : 0, (nint)po, (nint)pi, groups == ScaleGroups.Square ? 0 : (nint)pj, (nint)(&counted));
        }

        TensorNumerics expected = default;
        for (int row = 0; row < Rows; row++)
        {
            for (int column = 0; column < Columns; column++)
            {
                float one = (groups, along) switch
                {
                    (ScaleGroups.Row, true) => inverse[row],
                    (ScaleGroups.Row, false) => inverseOver[column],
                    (ScaleGroups.Block, true) => inverse[(column / 128 * Rows) + row],
                    (ScaleGroups.Block, false) => inverseOver[(row / 128 * Columns) + column],
                    _ => inverse[(row / 128 * ColumnTiles) + (column / 128)],
                };

                // A group with a NaN has the scale 1.
                float scale = float.IsNaN(one) ? 1f : 1f / one;
                byte code = (along ? y : over)[(row * Columns) + column];
                expected += TensorNumerics.Measure((ReadOnlySpan<float>)[x[(row * Columns) + column]], [code], ElementFormat.E4M3, scale);
            }
        }

        AssertCounts(expected, counted.Numerics, $"{groups}, along {along}");
        Assert.True(expected.Underflow > 0 && expected.Saturated > 0 && expected.NonFinite == 1);
        Assert.Equal(0f, counted.Scale);
    }

    internal static void AssertCounts(TensorNumerics expected, TensorNumerics actual, string what)
    {
        Assert.True(
            (expected.Elements, expected.NonFinite, expected.Underflow, expected.Saturated, expected.Amax) == (actual.Elements, actual.NonFinite, actual.Underflow, actual.Saturated, actual.Amax),
            $"{what}: expected {expected}, got {actual}");
        AssertSum(expected.Signal, actual.Signal, what + ", signal");
        AssertSum(expected.Noise, actual.Noise, what + ", noise");
    }

    /// <summary>Sums are of F32 squares, which end at both sides.</summary>
    private static void AssertSum(double expected, double actual, string what)
    {
        const double Least = 1e-37;
        Assert.True(Math.Abs(expected - actual) <= (1e-5 * expected) + Least || (expected > float.MaxValue && actual >= float.MaxValue), $"{what}: expected {expected:R}, got {actual:R}");
    }

    internal static float[] Numbers(string kind, int count)
    {
        var random = new Random(11);
        return [.. Enumerable.Range(0, count).Select(i => Normal() * kind switch
        {
            "tiny" => MathF.ScaleB(1f, -random.Next(10, 140)),
            "huge" => MathF.ScaleB(1f, random.Next(10, 60)),
            "mixed" => MathF.ScaleB(1f, random.Next(-24, 24)),
            "zero" => i % 2 == 0 ? 0f : -0f,
            "poisoned" => (i % 5) switch { 0 => float.NaN, 1 => float.PositiveInfinity, 2 => float.NegativeInfinity, _ => 1f },
            "largest" => 1000000f,
            _ => 1f,
        })];

        float Normal() => (float)(Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble()));
    }

    internal static byte[] Codes(float[] values, ElementFormat format, float scale) =>
        [.. values.Select(v => format == ElementFormat.E4M3 ? E4M3.FromSingle(v * scale) : E5M2.FromSingle(v * scale))];

    private static CastStatistics Count(float[] values, ElementFormat format, float scale, int runs)
    {
        CastStatistics statistics = default;
        nint slot = (nint)(&statistics);
        Parallel.For(0, runs, run =>
        {
            CastCounter counter = default;
            int first = values.Length / runs * run, end = run == runs - 1 ? values.Length : values.Length / runs * (run + 1);
            for (int i = first; i < end; i += Simd.Lanes)
            {
                int n = Math.Min(Simd.Lanes, end - i);
                // What a partial load leaves in the other lanes does not count.
                Vector256<float> value = Vector256.Create(float.NaN);
                for (int lane = 0; lane < n; lane++)
                {
                    value = value.WithElement(lane, values[i + lane]);
                }

                Vector256<float> scales = Vector256.Create(scale);
                switch (format, n == Simd.Lanes)
                {
                    case (ElementFormat.E4M3, true):
                        counter.AddE4M3(value, scales);
                        break;
                    case (ElementFormat.E4M3, false):
                        counter.AddE4M3Partial(value, scales, n);
                        break;
                    case (_, true):
                        counter.AddE5M2(value, scales);
                        break;
                    default:
                        counter.AddE5M2Partial(value, scales, n);
                        break;
                }
            }

            counter.Flush((CastStatistics*)slot, scale);
        });
        return statistics;
    }
}
