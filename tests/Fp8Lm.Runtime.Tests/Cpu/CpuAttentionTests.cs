using System;
using Fp8Lm.Cpu;
using Fp8Lm.Execution;
using Xunit;

namespace Fp8Lm.Runtime.Tests.Cpu;

public unsafe class CpuAttentionTests
{
    /// <summary>Shape of one case; window 0 is full causal attention.</summary>
    public sealed record Shape(int Batch, int Sequence, int QueryHeads, int KeyValueHeads, int HeadSize, int Window, ElementFormat Format = ElementFormat.F32);

    public static TheoryData<Shape> Shapes =>
    [
        new Shape(1, 1, 1, 1, 16, 0),
        new Shape(2, 16, 2, 2, 16, 0),
        new Shape(2, 33, 2, 1, 32, 0),
        new Shape(1, 128, 4, 4, 32, 0, ElementFormat.BF16),
        new Shape(3, 50, 4, 2, 20, 0, ElementFormat.F16),
        new Shape(1, 300, 2, 1, 64, 0),
        new Shape(2, 70, 2, 2, 16, 1),
        new Shape(1, 90, 2, 1, 48, 17),
        new Shape(1, 700, 1, 1, 16, 290),
        new Shape(1, 520, 2, 1, 16, 100, ElementFormat.BF16),
        new Shape(1, 40, 3, 1, 16, 4000),
    ];

    private struct Collect(float* to, int width) : ITileEpilogue
    {
        public readonly void Apply(int row, int rows, int col, int cols, float* acc, int ld)
        {
            Assert.True(rows is > 0 and <= 16 && ld % 16 == 0 && ld >= cols && (nint)acc % 64 == 0);
            for (int r = 0; r < rows; r++)
            {
                for (int c = 0; c < cols; c++)
                {
                    // Starts as NaN; a second visit would be seen as a sum with the first.
                    float* element = to + ((row + r) * (long)width) + col + c;
                    *element = float.IsNaN(*element) ? acc[(r * (long)ld) + c] : float.PositiveInfinity;
                }
            }
        }
    }

    [Theory]
    [MemberData(nameof(Shapes))]
    public void Forward_and_backward_match_the_definition(Shape shape)
    {
        using var setup = new Setup(shape);
        setup.Run(2);
        AssertClose(setup.Model.Output, setup.Output, "output");
        AssertClose(setup.Model.LogSum, setup.LogSum, "log sum");
        (double[] dq, double[] dk, double[] dv) = setup.Model.Backward(setup.Q.Values, setup.K.Values, setup.V.Values, setup.Gradient.Values);
        AssertClose(dq, setup.Dq, "query gradient");
        AssertClose(dk, setup.Dk, "key gradient");
        AssertClose(dv, setup.Dv, "value gradient");
    }

    [Theory]
    [InlineData(0)]
    [InlineData(150)]
    public void The_number_of_workers_changes_no_bit(int window)
    {
        using var one = new Setup(new Shape(1, 333, 4, 2, 32, window));
        using var many = new Setup(new Shape(1, 333, 4, 2, 32, window));
        one.Run(1);
        foreach (int workers in (ReadOnlySpan<int>)[2, 3, 5])
        {
            many.Run(workers);
            Assert.Equal(one.Output, many.Output);
            Assert.Equal(one.LogSum, many.LogSum);
            Assert.Equal(one.Dq, many.Dq);
            Assert.Equal(one.Dk, many.Dk);
            Assert.Equal(one.Dv, many.Dv);
        }
    }

    [Fact]
    public void Gradients_agree_with_finite_differences()
    {
        using var setup = new Setup(new Shape(1, 11, 2, 1, 4, 5));
        setup.Run(1);
        const double step = 1e-4;
        foreach ((HeadMatrix matrix, float[] gradient) in new[] { (setup.Q, setup.Dq), (setup.K, setup.Dk), (setup.V, setup.Dv) })
        {
            for (int i = 0; i < gradient.Length; i++)
            {
                double value = matrix.Values[i];
                matrix.Values[i] = value + step;
                double up = setup.Objective();
                matrix.Values[i] = value - step;
                double down = setup.Objective();
                matrix.Values[i] = value;
                Assert.Equal((up - down) / (2 * step), gradient[i], 2e-5);
            }
        }
    }

    [Fact]
    public void Large_logits_do_not_overflow()
    {
        using var setup = new Setup(new Shape(1, 40, 1, 1, 16, 0), magnitude: 60);
        setup.Run(2);

        // Logits in the thousands carry absolute errors of some 1e-4 in F32, and so do the probabilities.
        AssertClose(setup.Model.Output, setup.Output, "output", 1e-3);
        Assert.All(setup.Dq, x => Assert.True(float.IsFinite(x)));
    }

    [Fact]
    public void Illegal_shapes_are_refused()
    {
        using var pool = new CpuPool(1);
        var operand = new AttentionOperand(0, ElementFormat.F32, 64);
        var epilogue = default(Collect);
        var good = new AttentionArgs(operand, operand, operand, default, 1, 16, 4, 2, 16, 0.25f, 0);
        foreach (AttentionArgs bad in (ReadOnlySpan<AttentionArgs>)
            [good with { KeyValueHeads = 3 }, good with { HeadSize = 300 }, good with { Scale = 0f }, good with { Window = -1 }, good with { Key = operand with { Format = ElementFormat.E4M3 } }])
        {
            AttentionArgs args = bad;
            Assert.Throws<ArgumentException>(() => CpuAttention.Forward(pool, args, null, ref epilogue));
        }
    }

    private static void AssertClose(double[] expected, float[] actual, string what, double tolerance = 3e-6)
    {
        Assert.Equal(expected.Length, actual.Length);
        double largest = 0.1;
        foreach (double x in expected)
        {
            largest = Math.Max(largest, Math.Abs(x));
        }

        for (int i = 0; i < expected.Length; i++)
        {
            Assert.True(Math.Abs(expected[i] - actual[i]) <= tolerance * largest, $"{what} {i}: {actual[i]:R} for {expected[i]:R}");
        }
    }

    private sealed class Setup : IDisposable
    {
        private readonly Shape shape;
        private readonly float scale;

        public Setup(Shape shape, double magnitude = 1)
        {
            this.shape = shape;
            scale = (float)(1.1 / Math.Sqrt(shape.HeadSize));
            Model = new AttentionModel(shape.Batch, shape.Sequence, shape.QueryHeads, shape.KeyValueHeads, shape.HeadSize, scale, shape.Window);
            Q = new HeadMatrix(shape.Format, Model.Tokens, Model.QueryWidth, 1, magnitude);
            K = new HeadMatrix(shape.Format, Model.Tokens, Model.KeyWidth, 2, magnitude);
            V = new HeadMatrix(shape.Format, Model.Tokens, Model.KeyWidth, 3, magnitude);
            Gradient = new HeadMatrix(shape.Format, Model.Tokens, Model.QueryWidth, 4, magnitude);
            Model.Forward(Q.Values, K.Values, V.Values);
        }

        public AttentionModel Model { get; }

        public HeadMatrix Q { get; }

        public HeadMatrix K { get; }

        public HeadMatrix V { get; }

        public HeadMatrix Gradient { get; }

        public float[] Output { get; private set; } = [];

        public float[] LogSum { get; private set; } = [];

        public float[] Dq { get; private set; } = [];

        public float[] Dk { get; private set; } = [];

        public float[] Dv { get; private set; } = [];

        public void Run(int workers)
        {
            using var pool = new CpuPool(workers);
            Output = NewResult(Model.QueryWidth);
            Dq = NewResult(Model.QueryWidth);
            Dk = NewResult(Model.KeyWidth);
            Dv = NewResult(Model.KeyWidth);
            LogSum = new float[Model.Tokens * shape.QueryHeads];
            float[] deltas = Model.Delta(Gradient.Values);
            var args = new AttentionArgs(
                Q.Operand, K.Operand, V.Operand, Gradient.Operand, shape.Batch, shape.Sequence, shape.QueryHeads, shape.KeyValueHeads, shape.HeadSize, scale, shape.Window);
            fixed (float* output = Output, dq = Dq, dk = Dk, dv = Dv, lse = LogSum, delta = deltas)
            {
                var toOutput = new Collect(output, Model.QueryWidth);
                var toQuery = new Collect(dq, Model.QueryWidth);
                var toKey = new Collect(dk, Model.KeyWidth);
                var toValue = new Collect(dv, Model.KeyWidth);
                CpuAttention.Forward(pool, args with { OutputGradient = default }, lse, ref toOutput);
                CpuAttention.BackwardQuery(pool, args, lse, delta, ref toQuery);
                CpuAttention.BackwardKeyValue(pool, args, lse, delta, ref toKey, ref toValue);
            }
        }

        /// <summary>Sum of output times its gradient, in F64: what the gradients are gradients of.</summary>
        public double Objective()
        {
            Model.Forward(Q.Values, K.Values, V.Values);
            double sum = 0;
            for (int i = 0; i < Model.Output.Length; i++)
            {
                sum += Model.Output[i] * Gradient.Values[i];
            }

            return sum;
        }

        public void Dispose()
        {
            Q.Dispose();
            K.Dispose();
            V.Dispose();
            Gradient.Dispose();
        }

        private float[] NewResult(int width)
        {
            float[] result = new float[Model.Tokens * width];
            Array.Fill(result, float.NaN);
            return result;
        }
    }
}
