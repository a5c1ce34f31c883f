using System;
using System.Linq;
using Fp8Lm.Execution;
using Fp8Lm.Numerics;
using Xunit;

namespace Fp8Lm.Runtime.Tests.Cuda;

public sealed class RowKernelTests
{
    [Theory]
    [InlineData(16, 128)]
    [InlineData(37, 190)]
    [InlineData(4096, 768)]
    [InlineData(1, 2)]
    [InlineData(80, 24)]       // several rows in a warp
    [InlineData(160, 4104)]    // a cluster whose last block has fewer columns
    [InlineData(2048, 12288)]
    [InlineData(20, 40000)]    // several packs a lane
    [InlineData(48, 3001)]     // packs of one element
    public void RowsReduceTransposeAndSum(int rows, int columns)
    {
        float[] x = TestNumbers.Random(1, rows * columns, ElementFormat.BF16, integers: false);
        int slabs = (rows + 15) / 16;
        KernelInfo kernel = new(
            "test", KernelKind.Row, KernelTexts.Row(rows, columns), null!, ["x", "norms", "largest", "y", "y_t", "y_amax", "partial"],
            new RowGeometry(_ => rows, _ => columns));
        using KernelHarness harness = new(
            kernel, new TestBuffer(ElementFormat.BF16, x.Length), new TestBuffer(ElementFormat.F32, rows), new TestBuffer(ElementFormat.F32, rows),
            new TestBuffer(ElementFormat.E4M3, x.Length), new TestBuffer(ElementFormat.E4M3, x.Length), new TestBuffer(ElementFormat.I32, 1), new TestBuffer(ElementFormat.F32, slabs * columns));
        harness.Upload(0, TestNumbers.Encode(x, ElementFormat.BF16));
        harness.Upload(5, new uint[1]);
        harness.LaunchOnBuffers();

        double[] norms = new double[rows];
        float[] largest = [.. x.Chunk(columns).Select(row => row.Max())];
        double[] sums = new double[slabs * columns];
        byte[] codes = new byte[x.Length];
        byte[] transposed = new byte[x.Length];
        for (int i = 0; i < x.Length; i++)
        {
            (int row, int col) = (i / columns, i % columns);
            norms[row] += (double)x[i] * x[i];
            sums[(row / 16 * columns) + col] += x[i];
            codes[i] = transposed[(col * rows) + row] = E4M3.FromSingle(x[i] * 16);
        }

        TestNumbers.AssertClose(norms, harness.Download<float>(1), 1e-6, "row sums");
        TestNumbers.AssertClose(sums, harness.Download<float>(6), 1e-6, "column sums");
        Assert.Equal(largest, harness.Download<float>(2));
        Assert.Equal(codes, harness.Download<byte>(3));
        Assert.Equal(transposed, harness.Download<byte>(4));
        Assert.Equal(x.Max(Math.Abs), BitConverter.UInt32BitsToSingle(harness.Download<uint>(5)[0]));
    }
}
