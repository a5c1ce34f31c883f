using System;
using System.Linq;
using Fp8Lm.Cpu;
using Fp8Lm.Execution;
using Fp8Lm.Numerics;
using Xunit;

namespace Fp8Lm.Runtime.Tests.Cpu;

public unsafe class GradientKernelTests
{
    [Theory]
    [InlineData(8, false, 1)]
    [InlineData(77, false, 2)]
    [InlineData(130, true, 3)]
    public void Rows_are_added_to_their_tokens_in_order(int columns, bool bf16, int workers)
    {
        const int count = 90, vocabulary = 7;
        int[] tokens = [.. Enumerable.Range(0, count).Select(i => i % 31 == 30 ? -1 : i * i % (vocabulary - 1))];
        tokens[5] = vocabulary;
        float[] dy = Values(count * columns), grad = Values(vocabulary * columns), expected = [.. grad];
        ushort[] codes = [.. dy.Select(BFloat16.FromSingle)];
        for (int i = 0; i < count; i++)
        {
            for (int c = 0; c < columns && tokens[i] is >= 0 and < vocabulary; c++)
            {
                expected[(tokens[i] * columns) + c] += bf16 ? BFloat16.ToSingle(codes[(i * columns) + c]) : dy[(i * columns) + c];
            }
        }

        using var pool = new CpuPool(workers);
        fixed (int* t = tokens)
        fixed (float* y = dy, g = grad)
        fixed (ushort* y16 = codes)
        {
            nint* args = stackalloc nint[] { (nint)t, bf16 ? (nint)y16 : (nint)y, (nint)g, count, vocabulary, columns };
            if (bf16)
            {
                CpuKernels.EmbeddingGradientBF16(null!, args, pool);
            }
            else
            {
                CpuKernels.EmbeddingGradientF32(null!, args, pool);
            }
        }

        Assert.Equal(expected, grad);
    }

    [Theory]
    [InlineData(16, false, 1)]
    [InlineData(45, true, 2)]
    public void Positions_are_summed_over_the_batch(int columns, bool bf16, int workers)
    {
        const int batch = 5, sequence = 37;
        float[] dy = Values(batch * sequence * columns), grad = Values(sequence * columns), expected = [.. grad];
        ushort[] codes = [.. dy.Select(BFloat16.FromSingle)];
        for (int i = 0; i < expected.Length; i++)
        {
            float sum = 0;
            for (int b = 0; b < batch; b++)
            {
                int at = (b * sequence * columns) + i;
                sum += bf16 ? BFloat16.ToSingle(codes[at]) : dy[at];
            }

            expected[i] += sum;
        }

        using var pool = new CpuPool(workers);
        fixed (float* y = dy, g = grad)
        fixed (ushort* y16 = codes)
        {
            nint* args = stackalloc nint[] { bf16 ? (nint)y16 : (nint)y, (nint)g, batch, sequence, columns };
            if (bf16)
            {
                CpuKernels.PositionGradientBF16(null!, args, pool);
            }
            else
            {
                CpuKernels.PositionGradientF32(null!, args, pool);
            }
        }

        Assert.Equal(expected, grad);
    }

    [Theory]
    [InlineData(1, 1)]
    [InlineData(200, 2)]
    [InlineData(67, 3)]
    public void Slabs_are_added_in_order(int columns, int workers)
    {
        const int slabs = 19;
        float[] partial = Values(slabs * columns), grad = Values(columns), expected = [.. grad];
        for (int c = 0; c < columns; c++)
        {
            float sum = 0;
            for (int s = 0; s < slabs; s++)
            {
                sum += partial[(s * columns) + c];
            }

            expected[c] += sum;
        }

        using var pool = new CpuPool(workers);
        fixed (float* p = partial, g = grad)
        {
            nint* args = stackalloc nint[] { (nint)p, slabs, columns, (nint)g };
            CpuKernels.ColumnSumFinish(null!, args, pool);
        }

        Assert.Equal(expected, grad);
    }

    [Fact]
    public void Losses_add_up_over_micro_batches()
    {
        float[] losses = Values(1001), weights = [.. Values(1001).Select(x => x > 0 ? 1f : 0f)];
        StepState state = new() { LossSum = 3, WeightSum = 4 };
        using var pool = new CpuPool(1);
        fixed (float* l = losses, w = weights)
        {
            nint* args = stackalloc nint[] { (nint)l, (nint)w, losses.Length, (nint)(&state) };
            CpuKernels.LossSum(null!, args, pool);
            CpuKernels.LossSum(null!, args, pool);
        }

        Assert.Equal(3 + (2 * losses.Sum(x => (double)x)), state.LossSum, 1e-10);
        Assert.Equal(4 + (2 * weights.Sum(x => (double)x)), state.WeightSum);
    }

    private static float[] Values(int count)
    {
        var random = new Random(count);
        return [.. Enumerable.Range(0, count).Select(_ => (float)(random.NextDouble() - 0.5))];
    }
}
