using System;
using System.Linq;
using Fp8Lm.Cpu;
using Fp8Lm.Execution;
using Xunit;

namespace Fp8Lm.Runtime.Tests.Cuda;

/// <summary>Casts with a scale per row or block on a GPU: the bytes and scales of the CPU.</summary>
public sealed unsafe class GroupedCastKernelTests
{
    public static TheoryData<ElementFormat, int, int, int> Shapes => new()
    {
        { ElementFormat.BF16, 128, 128, 128 },
        { ElementFormat.BF16, 144, 208, 208 },
        { ElementFormat.BF16, 400, 272, 816 },
        { ElementFormat.F32, 144, 272, 272 },
        { ElementFormat.F32, 37, 190, 190 },
        { ElementFormat.BF16, 16, 2048, 2048 },
        { ElementFormat.F16, 144, 208, 208 },
        { ElementFormat.E4M3, 272, 144, 144 },
    };

    [Theory]
    [MemberData(nameof(Shapes))]
    public void TheBytesAreThoseOfTheCpu(ElementFormat source, int rows, int columns, int pitch)
    {
        Gpu.Require();
        foreach (ScaleGroups groups in Enum.GetValues<ScaleGroups>())
        {
            Check(source, rows, columns, pitch, ElementFormat.E4M3, groups, powerOfTwo: false);
            Check(source, rows, columns, pitch, ElementFormat.E5M2, groups, powerOfTwo: true);
        }
    }

    private static void Check(ElementFormat source, int rows, int columns, int pitch, ElementFormat format, ScaleGroups groups, bool powerOfTwo)
    {
        string what = $"{source} {rows} x {columns} to {format}, {groups}";
        int rowTiles = (rows + 127) / 128, columnTiles = (columns + 127) / 128;
        byte[] x = Numbers(source, rows, pitch);
        // A master with a scale is multiplied with its inverse.
        bool scaled = source is ElementFormat.F16 or ElementFormat.E4M3;
        float factor = 0.125f;
        using CpuPool pool = new(2);
        byte[] rowAmax = new byte[4 * columnTiles * rows], columnAmax = new byte[4 * rowTiles * columns], y = new byte[rows * columns], over = new byte[rows * columns];
        byte[] inverse = new byte[4 * columnTiles * rows], inverseOver = new byte[4 * rowTiles * columns];
        fixed (byte* px = x, pr = rowAmax, pc = columnAmax, py = y, po = over, pi = inverse, pj = inverseOver)
        {
            GroupedSource matrix = new((nint)px, source, rows, columns, pitch) { Factor = scaled ? (nint)(&factor) : 0 };
            GroupedCasts.Amax(pool, matrix, (nint)pr, (nint)pc);
            GroupedCasts.Cast(pool, matrix, format, groups, powerOfTwo, (nint)pr, (nint)pc, (nint)py, (nint)po, (nint)pi, (nint)pj);
        }

        TestBuffer[] amaxes = [new(ElementFormat.F32, columnTiles * rows), new(ElementFormat.F32, rowTiles * columns)];
        RowGeometry geometry = new(_ => rows, _ => columns);
        KernelInfo measure = new("test", KernelKind.Row, KernelTexts.GroupedCast(source, rows, columns, pitch, "", "", false, factor: true), null!, ["x", "factor", "row_amax", "column_amax"], geometry);
        TestBuffer one = new(ElementFormat.F32, 1);
        float[] factors = [scaled ? factor : 1f];
        using (KernelHarness harness = new(measure, [new(source, rows * pitch), one, .. amaxes]))
        {
            harness.Upload(0, x);
            harness.Upload(1, factors);
            harness.LaunchOnBuffers();
            Assert.True(rowAmax.AsSpan().SequenceEqual(harness.Download<byte>(2)), what + ": amax of rows");
            Assert.True(columnAmax.AsSpan().SequenceEqual(harness.Download<byte>(3)), what + ": amax of columns");
        }

        KernelInfo cast = new(
            "test", KernelKind.Row, KernelTexts.GroupedCast(source, rows, columns, pitch, format.CudaName(), groups.ToString(), powerOfTwo, factor: true), null!,
            ["x", "factor", "row_amax", "column_amax", "y", "y_t", "inverse", "inverse_t"], geometry);
        using KernelHarness casts = new(
            cast, [new(source, rows * pitch), one, .. amaxes, new(format, y.Length), new(format, y.Length), new(ElementFormat.F32, inverse.Length / 4), new(ElementFormat.F32, inverseOver.Length / 4)]);
        casts.Upload(0, x);
        casts.Upload(1, factors);
        casts.Upload(2, rowAmax);
        casts.Upload(3, columnAmax);
        casts.LaunchOnBuffers();
        Assert.True(y.AsSpan().SequenceEqual(casts.Download<byte>(4)), what + ": row-major copy");
        byte[] transposed = new byte[over.Length];
        for (int i = 0; i < over.Length; i++)
        {
            transposed[(i % columns * rows) + (i / columns)] = over[i];
        }

        Assert.True(transposed.AsSpan().SequenceEqual(casts.Download<byte>(5)), what + ": transposed copy");
        (int along, int across) = groups switch
        {
            ScaleGroups.Row => (rows, columns),
            ScaleGroups.Block => (columnTiles * rows, rowTiles * columns),
            _ => (rowTiles * columnTiles, 0),
        };
        Assert.True(inverse.AsSpan(0, 4 * along).SequenceEqual(casts.Download<byte>(6).AsSpan(0, 4 * along)), what + ": inverse scales");
        Assert.True(inverseOver.AsSpan(0, 4 * across).SequenceEqual(casts.Download<byte>(7).AsSpan(0, 4 * across)), what + ": inverse scales of the transposed copy");
    }

    /// <summary>Normal numbers of many magnitudes; a row of zeros, one with an infinity, and a tiny one.</summary>
    private static byte[] Numbers(ElementFormat format, int rows, int pitch)
    {
        float[] x = TestNumbers.Random(5, rows * pitch, format, integers: false);
        for (int i = 0; i < x.Length; i++)
        {
            int row = i / pitch;
            x[i] *= MathF.ScaleB(1f, row % 23 - 11);
            x[i] = row == 3 ? 0f : row == 5 ? x[i] * 1e-38f : x[i];
        }

        x[7 * pitch] = float.PositiveInfinity;
        return TestNumbers.Encode(x, format);
    }
}
