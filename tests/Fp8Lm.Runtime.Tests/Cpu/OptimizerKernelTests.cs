using System;
using System.Linq;
using Fp8Lm.Cpu;
using Fp8Lm.Execution;
using Xunit;

namespace Fp8Lm.Runtime.Tests.Cpu;

public unsafe class OptimizerKernelTests
{
    private static readonly StepState Step = new()
    {
        LearningRate = 1e-3f, Beta1 = 0.9f, Beta2 = 0.95f, Epsilon = 1e-8f, WeightDecay = 0.1f, BiasCorrection1 = 0.271f, BiasCorrection2 = 0.142625f, ClipFactor = 0.5f,
    };

    [Theory]
    [InlineData(1, true)]
    [InlineData(8, false)]
    [InlineData(40_003, true)]
    [InlineData(40_003, false)]
    public void AdamW_follows_the_definition(int count, bool decay)
    {
        (float[] w, float[] g, float[] m, float[] v) = Parameters(count);
        float[] w0 = [.. w], m0 = [.. m], v0 = [.. v];
        RunAdam(w, g, m, v, decay, Step, 2);
        for (int i = 0; i < count; i++)
        {
            double clipped = g[i] * 0.5, first = (0.9 * m0[i]) + (0.1 * clipped), second = (0.95 * v0[i]) + (0.05 * clipped * clipped);
            double update = (first / 0.271 / (Math.Sqrt(second / 0.142625) + 1e-8)) + (decay ? 0.1 * w0[i] : 0);
            Assert.Equal(first, m[i], 1e-7);
            Assert.Equal(second, v[i], 1e-7);
            Assert.Equal(w0[i] - (1e-3 * update), w[i], 1e-6);
        }
    }

    [Fact]
    public void A_skipped_step_changes_nothing()
    {
        (float[] w, float[] g, float[] m, float[] v) = Parameters(100);
        float[] w0 = [.. w], m0 = [.. m], v0 = [.. v];
        g[3] = float.NaN;
        RunAdam(w, g, m, v, true, Step with { SkipStep = 1 }, 2);
        Assert.Equal(w0, w);
        Assert.Equal(m0, m);
        Assert.Equal(v0, v);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(1000)]
    [InlineData(70_001)]
    public void The_norm_is_exact_and_the_same_for_every_number_of_workers(int count)
    {
        float[] gradient = Parameters(count).G;
        double expected = Math.Sqrt(gradient.Sum(x => (double)x * x));
        StepState one = Norm(gradient, 1f, 1);
        Assert.Equal((float)expected, one.GradientNorm, 1e-6 * expected);
        Assert.Equal(Math.Min(1, 1 / (expected + 1e-6)), one.ClipFactor, 1e-6);
        Assert.Equal(0u, one.SkipStep);
        foreach (int workers in (ReadOnlySpan<int>)[2, 3])
        {
            Assert.Equal(one.GradientNorm, Norm(gradient, 1f, workers).GradientNorm);
        }
    }

    [Fact]
    public void Clipping_is_off_without_a_maximum_and_for_small_gradients()
    {
        float[] gradient = [3f, 4f];
        Assert.Equal(1f, Norm(gradient, 0f, 1).ClipFactor);
        Assert.Equal(1f, Norm(gradient, 6f, 1).ClipFactor);
        Assert.Equal(0.5f, Norm(gradient, 2.5f, 1).ClipFactor, 1e-6);
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.NegativeInfinity)]
    public void Gradients_that_are_not_finite_skip_the_step(float bad)
    {
        float[] gradient = Parameters(20_000).G;
        gradient[19_999] = bad;
        StepState state = Norm(gradient, 1f, 2);
        Assert.Equal(1u, state.SkipStep);
        Assert.Equal(1f, state.ClipFactor);
        Assert.False(float.IsFinite(state.GradientNorm));
    }

    [Theory]
    [InlineData(0u, double.NaN, StepState.Skipped)]
    [InlineData(StepState.Skipped, 1.0, StepState.Halted)]
    [InlineData(StepState.Halted, 1.0, StepState.Halted)]
    public void A_loss_that_is_not_finite_skips_the_step_and_a_skipped_step_halts_the_next(uint skip, double loss, uint expected)
    {
        Assert.Equal(expected, Norm([3f, 4f], 1f, 1, new StepState { SkipStep = skip, LossSum = loss }).SkipStep);
    }

    private static (float[] W, float[] G, float[] M, float[] V) Parameters(int count)
    {
        var random = new Random(count);
        float[] Values(Func<double, double> map) => [.. Enumerable.Range(0, count).Select(_ => (float)map(random.NextDouble()))];
        return (Values(x => x - 0.5), Values(x => (x - 0.5) * 0.2), Values(x => (x - 0.5) * 0.1), Values(x => x * 0.01));
    }

    private static void RunAdam(float[] w, float[] g, float[] m, float[] v, bool decay, StepState state, int workers)
    {
        using var pool = new CpuPool(workers);
        fixed (float* master = w, gradient = g, first = m, second = v)
        {
            nint* args = stackalloc nint[] { (nint)master, (nint)gradient, (nint)first, (nint)second, w.Length, decay ? 1 : 0, (nint)(&state) };
            CpuKernels.AdamW(null!, args, pool);
        }
    }

    private static StepState Norm(float[] gradient, float maximum, int workers, StepState state = default)
    {
        using var pool = new CpuPool(workers);
        state.MaxGradientNorm = maximum;
        fixed (float* g = gradient)
        fixed (double* scratch = new double[4096])
        {
            nint* args = stackalloc nint[] { (nint)g, gradient.Length, (nint)(&state), (nint)scratch };
            CpuKernels.GradientNorm(null!, args, pool);
        }

        return state;
    }
}
