using System;
using System.Linq;
using Fp8Lm.Cpu;
using Fp8Lm.Execution;
using Fp8Lm.Numerics;
using Xunit;

namespace Fp8Lm.Runtime.Tests.Cpu;

public sealed unsafe class GroupedCastTests
{
    private const int Group = GroupedCasts.Group;

    public static TheoryData<ElementFormat, int, int, int, ElementFormat, ScaleGroups, bool> Cases
    {
        get
        {
            TheoryData<ElementFormat, int, int, int, ElementFormat, ScaleGroups, bool> cases = [];
            foreach (ScaleGroups groups in Enum.GetValues<ScaleGroups>())
            {
                cases.Add(ElementFormat.F32, 128, 128, 128, ElementFormat.E4M3, groups, false);
                cases.Add(ElementFormat.BF16, 144, 272, 272, ElementFormat.E4M3, groups, true);
                cases.Add(ElementFormat.BF16, 300, 208, 624, ElementFormat.E5M2, groups, false);
                cases.Add(ElementFormat.F32, 37, 190, 190, ElementFormat.E5M2, groups, true);
            }

            return cases;
        }
    }

    /// <summary>Both copies, element by element, from scales that the largest magnitude of the element's own group gives.</summary>
    [Theory]
    [MemberData(nameof(Cases))]
    public void EveryByteIsItsNumberTimesTheScaleOfItsGroup(ElementFormat source, int rows, int columns, int pitch, ElementFormat format, ScaleGroups groups, bool powerOfTwo)
    {
        float[] x = Numbers(rows * pitch, source);
        Copies copies = Cast(x, source, rows, columns, pitch, format, groups, powerOfTwo, workers: 3);
        float At(int r, int c) => x[(r * pitch) + c];
        for (int row = 0; row < rows; row++)
        {
            for (int column = 0; column < columns; column++)
            {
                (Range r, Range c) = groups switch
                {
                    ScaleGroups.Row => (row..(row + 1), 0..columns),
                    ScaleGroups.Block => (row..(row + 1), Within(column, columns)),
                    _ => (Within(row, rows), Within(column, columns)),
                };
                Check(copies.Along, Largest(r, c), copies.InverseAlong(row, column), "sums along rows");
                (r, c) = groups switch
                {
                    ScaleGroups.Row => (0..rows, column..(column + 1)),
                    ScaleGroups.Block => (Within(row, rows), column..(column + 1)),
                    _ => (r, c),
                };
                Check(copies.Over, Largest(r, c), copies.InverseOver(row, column), "sums over rows");

                void Check(byte[] bytes, float amax, float inverse, string copy)
                {
                    float scale = (format == ElementFormat.E4M3 ? 448f : 57344f) / amax;
                    scale = powerOfTwo ? MathF.ScaleB(1f, (int)Math.Floor(Math.Log2(scale))) : scale;
                    float scaled = At(row, column) * scale;
                    byte expected = format == ElementFormat.E4M3 ? E4M3.FromSingle(scaled) : E5M2.FromSingle(scaled);
                    Assert.True(expected == bytes[(row * columns) + column] && inverse == 1f / scale, $"{copy}: {row}, {column}");
                }
            }
        }

        float Largest(Range r, Range c) => Enumerable.Range(0, rows).Take(r).Max(i => Enumerable.Range(0, columns).Take(c).Max(j => Math.Abs(At(i, j))));

        static Range Within(int index, int extent) => (index / Group * Group)..Math.Min(extent, (index / Group * Group) + Group);
    }

    /// <summary>One huge token: with a scale for the whole tensor all others become zeros, with one per row or block they keep their digits.</summary>
    [Theory]
    [InlineData(ScaleGroups.Row)]
    [InlineData(ScaleGroups.Block)]
    public void AnOutlierHurtsItsOwnRowOnly(ScaleGroups groups)
    {
        const int Rows = 64, Columns = 256;
        float[] x = Numbers(Rows * Columns, ElementFormat.F32);
        for (int c = 0; c < Columns; c++)
        {
            x[(9 * Columns) + c] *= 1e7f;
        }

        Copies copies = Cast(x, ElementFormat.F32, Rows, Columns, Columns, ElementFormat.E4M3, groups, powerOfTwo: false, workers: 1);
        float whole = 448f / x.Max(Math.Abs);
        double error = 0, perTensor = 0, size = 0;
        for (int i = 0; i < x.Length; i++)
        {
            if (i / Columns != 9)
            {
                double value = E4M3.ToSingle(copies.Along[i]) * (double)copies.InverseAlong(i / Columns, i % Columns), coarse = E4M3.ToSingle(E4M3.FromSingle(x[i] * whole)) / (double)whole;
                error += (value - x[i]) * (value - x[i]);
                perTensor += (coarse - x[i]) * (coarse - x[i]);
                size += (double)x[i] * x[i];
            }
        }

        Assert.True(Math.Sqrt(error / size) < 0.03, $"off by {Math.Sqrt(error / size):E2} of the norm");
        Assert.True(Math.Sqrt(perTensor / size) > 0.99, $"per tensor off by {Math.Sqrt(perTensor / size):E2} of the norm");
    }

    /// <summary>Zeros and numbers too small for a quotient have the scale one; an infinity or NaN makes its group's inverse scale NaN, and no other's.</summary>
    [Fact]
    public void GroupsWithoutAScale()
    {
        float[] x = Numbers(6 * 16, ElementFormat.F32);
        Array.Clear(x, 0, 16);
        for (int c = 0; c < 16; c++)
        {
            x[16 + c] = 1e-39f;
        }

        (x[32], x[48 + 3]) = (float.NegativeInfinity, float.NaN);
        Copies copies = Cast(x, ElementFormat.F32, 6, 16, 16, ElementFormat.E4M3, ScaleGroups.Row, powerOfTwo: true, workers: 1);
        Assert.Equal([1f, 1f, float.NaN, float.NaN], Enumerable.Range(0, 4).Select(r => copies.InverseAlong(r, 0)));
        Assert.All(Enumerable.Range(4, 2), r => Assert.True(float.IsNormal(copies.InverseAlong(r, 0))));
        Assert.Equal([0, 3], Enumerable.Range(0, 16).Where(c => float.IsNaN(copies.InverseOver(0, c))));
        Assert.Equal(new byte[32], copies.Along[..32]);
    }

    /// <summary>A master with a scale: its numbers times the inverse, in any format, are what is measured and cast.</summary>
    [Theory]
    [InlineData(ElementFormat.F16)]
    [InlineData(ElementFormat.E4M3)]
    [InlineData(ElementFormat.E5M2)]
    public void AFactorMultipliesWhatIsRead(ElementFormat format)
    {
        const int Rows = 144, Columns = 48;
        const float Factor = 0.125f;
        using Matrix stored = new(format, kMajor: true, Rows, Columns, seed: 4);
        float inMemory = Factor;
        float[] product = [.. Enumerable.Range(0, Rows * Columns).Select(i => stored[i / Columns, i % Columns] * Factor)];
        foreach (ScaleGroups groups in Enum.GetValues<ScaleGroups>())
        {
            GroupedSource source = new(stored.Operand.Address, format, Rows, Columns, stored.Operand.Pitch) { Factor = (nint)(&inMemory) };
            Copies expected = Cast(product, ElementFormat.F32, Rows, Columns, Columns, ElementFormat.E4M3, groups, powerOfTwo: true, workers: 1);
            Copies actual = Cast(source, ElementFormat.E4M3, groups, powerOfTwo: true, workers: 2);
            Assert.Equal(expected.Along, actual.Along);
            Assert.Equal(expected.Over, actual.Over);
            Assert.Equal(expected.InverseAlong(130, 7), actual.InverseAlong(130, 7));
            Assert.Equal(expected.InverseOver(130, 7), actual.InverseOver(130, 7));
        }
    }

    [Fact]
    public void WhatIsNotWantedIsNotWritten()
    {
        float[] x = Numbers(256, ElementFormat.F32);
        using CpuPool pool = new(1);
        byte[] bytes = new byte[256];
        fixed (float* from = x)
        fixed (byte* to = bytes)
        {
            GroupedSource source = new((nint)from, ElementFormat.F32, 16, 16, 16);
            GroupedCasts.Cast(pool, source, ElementFormat.E4M3, ScaleGroups.Block, false, 0, 0, 0, (nint)to, 0, 0);
            Assert.Contains(bytes, b => b != 0);
            Assert.Throws<ArgumentException>(() => GroupedCasts.Cast(pool, source, ElementFormat.BF16, ScaleGroups.Block, false, 0, 0, 0, (nint)bytes.Length, 0, 0));
            Assert.Throws<ArgumentException>(() => GroupedCasts.Amax(pool, source with { Format = ElementFormat.I32 }, 0, 0));
        }
    }

    private static float[] Numbers(int count, ElementFormat format)
    {
        Random random = new(11);
        return [.. Enumerable.Range(0, count).Select(i =>
        {
            float value = (random.NextSingle() - 0.5f) * MathF.ScaleB(1f, random.Next(-6, 7));
            return format == ElementFormat.BF16 ? BFloat16.ToSingle(BFloat16.FromSingle(value)) : value;
        })];
    }

    private static Copies Cast(float[] x, ElementFormat format, int rows, int columns, int pitch, ElementFormat to, ScaleGroups groups, bool powerOfTwo, int workers)
    {
        ushort[] narrow = [.. x.Select(BFloat16.FromSingle)];
        fixed (float* wide = x)
        fixed (ushort* half = narrow)
        {
            return Cast(new GroupedSource(format == ElementFormat.F32 ? (nint)wide : (nint)half, format, rows, columns, pitch), to, groups, powerOfTwo, workers);
        }
    }

    private static Copies Cast(GroupedSource source, ElementFormat to, ScaleGroups groups, bool powerOfTwo, int workers)
    {
        int rows = (int)source.Rows, columns = (int)source.Columns;
        int rowTiles = (rows + Group - 1) / Group, columnTiles = (columns + Group - 1) / Group;
        float[] rowAmax = new float[columnTiles * rows], columnAmax = new float[rowTiles * columns], inverseAlong = new float[columnTiles * rows], inverseOver = new float[rowTiles * columns];
        byte[] along = new byte[rows * columns], over = new byte[rows * columns];
        using CpuPool pool = new(workers);
        fixed (float* pr = rowAmax, pc = columnAmax, pi = inverseAlong, pj = inverseOver)
        fixed (byte* pa = along, po = over)
        {
            if (groups == ScaleGroups.Row)
            {
                GroupedCasts.Amax(pool, source, (nint)pr, (nint)pc);
            }

            GroupedCasts.Cast(pool, source, to, groups, powerOfTwo, (nint)pr, (nint)pc, (nint)pa, (nint)po, (nint)pi, (nint)pj);
        }

        return new Copies(
            along, over,
            (r, c) => inverseAlong[groups switch { ScaleGroups.Row => r, ScaleGroups.Block => (c / Group * rows) + r, _ => (r / Group * columnTiles) + (c / Group) }],
            (r, c) => groups switch { ScaleGroups.Row => inverseOver[c], ScaleGroups.Block => inverseOver[(r / Group * columns) + c], _ => inverseAlong[(r / Group * columnTiles) + (c / Group)] });
    }

    /// <param name="Along">Bytes for sums along rows.</param>
    /// <param name="Over">Bytes for sums over rows.</param>
    /// <param name="InverseAlong">Inverse scale of an element of the first.</param>
    /// <param name="InverseOver">Of the second.</param>
    private sealed record Copies(byte[] Along, byte[] Over, Func<int, int, float> InverseAlong, Func<int, int, float> InverseOver);
}
