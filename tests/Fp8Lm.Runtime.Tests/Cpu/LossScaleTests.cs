using System;
using System.Linq;
using Fp8Lm.Cpu;
using Fp8Lm.Execution;
using Xunit;

namespace Fp8Lm.Runtime.Tests.Cpu;

/// <summary>The loss scale from step to step, and the norm that derives it.</summary>
public unsafe class LossScaleTests
{
    [Theory]
    [InlineData(65536f, 7u, false, false, 32768f, 0u)]    // overflow
    [InlineData(2f, 0u, false, false, 1f, 0u)]
    [InlineData(1f, 5u, false, false, 1f, 0u)]            // the least
    [InlineData(1024f, 7u, true, true, 1024f, 8u)]        // a step that counts
    [InlineData(1024f, 9u, true, true, 2048f, 0u)]        // the tenth
    [InlineData(1024f, 9u, true, false, 1024f, 9u)]       // the loss is not finite, the norm is: nothing is known about the scale
    [InlineData(LossScaleState.Largest, 9u, true, true, LossScaleState.Largest, 0u)]
    public void A_step_leaves(float scale, uint good, bool finite, bool counts, float expected, uint steps) =>
        Assert.Equal(new LossScaleState { Scale = expected, GoodSteps = steps }, new LossScaleState { Scale = scale, GoodSteps = good }.Next(finite, counts, 10));

    [Fact]
    public void The_largest_scale_is_a_power_of_two_with_a_normal_reciprocal()
    {
        Assert.Equal(LossScaleState.Largest, MathF.ScaleB(1, 126));
        Assert.True(float.IsNormal(1 / LossScaleState.Largest));
    }

    [Theory]
    [InlineData(2.5f, 0.5)]
    [InlineData(0f, 1)]
    public void The_norm_is_of_gradients_without_the_scale_and_the_clip_factor_takes_it_out(float maximum, double clip)
    {
        LossScaleState scale = new() { Scale = 1024 };
        StepState state = Norm([3f * 1024, 4f * 1024], new StepState { MaxGradientNorm = maximum }, ref scale);
        Assert.Equal(5f, state.GradientNorm);
        Assert.Equal(clip / 1024, state.ClipFactor, 1e-9);
        Assert.Equal(1024f, state.DynamicLossScale);
        Assert.Equal(new LossScaleState { Scale = 1024, GoodSteps = 1 }, scale);
    }

    /// <summary>An overflow skips and halves; the step behind it is halted and changes nothing; a loss that is not finite skips and says nothing about the scale.</summary>
    [Fact]
    public void Skipped_and_halted_steps()
    {
        LossScaleState scale = new() { Scale = 1024, GoodSteps = 3 };
        StepState state = Norm([float.PositiveInfinity, 1f], default, ref scale);
        Assert.Equal(StepState.Skipped, state.SkipStep);
        Assert.Equal(new LossScaleState { Scale = 512 }, scale);
        Assert.Equal(StepState.Halted, Norm([float.NaN, 1f], state, ref scale).SkipStep);
        Assert.Equal(new LossScaleState { Scale = 512 }, scale);
        Assert.Equal(StepState.Skipped, Norm([1f, 1f], new StepState { LossSum = double.NaN }, ref scale).SkipStep);
        Assert.Equal(new LossScaleState { Scale = 512 }, scale);
    }

    private static StepState Norm(float[] gradient, StepState state, ref LossScaleState scale)
    {
        using var pool = new CpuPool(1);
        fixed (float* g = gradient)
        fixed (double* scratch = new double[4096])
        fixed (LossScaleState* s = &scale)
        {
            nint* args = stackalloc nint[] { (nint)g, gradient.Length, (nint)(&state), (nint)scratch, (nint)s, 10 };
            CpuKernels.GradientNormOfScaledLoss(null!, args, pool);
        }

        return state;
    }
}
