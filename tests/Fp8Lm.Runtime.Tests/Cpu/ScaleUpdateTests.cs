using System;
using Fp8Lm.Cpu;
using Fp8Lm.Execution;
using Xunit;

namespace Fp8Lm.Runtime.Tests.Cpu;

public unsafe class ScaleUpdateTests
{
    [Theory]
    [InlineData(448f, 1f, 256f)]
    [InlineData(448f, 448f, 1f)]
    [InlineData(448f, 449f, 0.5f)]
    [InlineData(448f, 0.003f, 131072f)]
    [InlineData(57344f, 1f, 32768f)]
    [InlineData(57344f, 57345f, 0.5f)]
    [InlineData(448f, 1e-45f, 1.7014118e38f)]
    public void Powers_of_two_are_those_of_the_reference(float maximum, float amax, float expected) =>
        Assert.Equal(expected, CpuKernels.NextScale(maximum, amax, powerOfTwo: true, margin: 0));

    [Fact]
    public void Powers_of_two_bring_the_largest_element_into_the_upper_binade()
    {
        var random = new Random(2);
        for (int i = 0; i < 200_000; i++)
        {
            float maximum = i % 2 == 0 ? 448f : 57344f;
            float amax = (float)Math.Pow(2, (random.NextDouble() * 60) - 30);
            if (i % 5 == 0)
            {
                // Right at the edge: maximum / 2^k and its neighbours.
                amax = maximum / MathF.ScaleB(1f, random.Next(-20, 20));
                amax = i % 3 == 0 ? float.BitIncrement(amax) : i % 3 == 1 ? float.BitDecrement(amax) : amax;
            }

            float scale = CpuKernels.NextScale(maximum, amax, powerOfTwo: true, margin: 0);
            double largest = (double)amax * scale;
            Assert.True(largest <= maximum && largest > maximum / 2, $"{amax:R} x {scale:R}");
            Assert.Equal(maximum / amax, CpuKernels.NextScale(maximum, amax, powerOfTwo: false, margin: 0));
            Assert.Equal(scale / 8, CpuKernels.NextScale(maximum, amax, powerOfTwo: true, margin: 3));
        }
    }

    [Theory]
    [InlineData(0x3F800000u, 0u, 0u)]
    [InlineData(0x3F800000u, StepState.Skipped, StepState.Skipped)]
    [InlineData(0x7F800000u, 0u, StepState.Skipped)]
    [InlineData(0x7FC00000u, 0u, StepState.Skipped)]
    [InlineData(0x7F800000u, StepState.Halted, StepState.Halted)]
    [InlineData(0x7F7FFFFFu, 0u, 0u)]
    public void An_amax_that_is_not_finite_skips_the_step(uint bits, uint before, uint after)
    {
        foreach (bool clears in new[] { false, true })
        {
            uint[] amax = [0, 0x40000000, bits];
            var state = new StepState { SkipStep = before };
            fixed (uint* a = amax)
            {
                nint[] args = [(nint)a, amax.Length, clears ? 1 : 0, (nint)(&state)];
                fixed (nint* pointer = args)
                {
                    CpuKernels.AmaxCheck(new DimBinding(1, 1), pointer, null!);
                }
            }

            Assert.Equal(after, state.SkipStep);
            Assert.Equal(clears ? [0, 0, 0] : [0, 0x40000000, bits], amax);
        }
    }

    [Fact]
    public void The_largest_of_the_history_counts_and_old_entries_fall_out()
    {
        var slots = new Slots(3);
        Assert.Equal(448f / 2f, slots.Update(2f));
        Assert.Equal(448f / 8f, slots.Update(8f));
        Assert.Equal(448f / 8f, slots.Update(1f));
        Assert.Equal([1f, 8f, 2f], slots.History);
        Assert.Equal(448f / 8f, slots.Update(0f));
        Assert.Equal(448f / 1f, slots.Update(0.5f));
        Assert.Equal([0.5f, 0f, 1f], slots.History);
        Assert.Equal(1f / slots.Scale, slots.Inverse);
        Assert.Equal(0u, slots.Amax);
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(float.PositiveInfinity)]
    public void What_is_not_finite_keeps_the_scale_and_enters_as_zero(float amax)
    {
        var slots = new Slots(2);
        slots.Update(4f);
        Assert.Equal(448f / 4f, slots.Update(amax));
        Assert.Equal([0f, 4f], slots.History);
        Assert.Equal(448f / 1f, slots.Update(1f));
    }

    [Fact]
    public void A_slot_that_never_saw_a_value_keeps_its_scale()
    {
        var slots = new Slots(2);
        Assert.Equal(1f, slots.Update(0f));
        Assert.Equal(1f, slots.Inverse);
    }

    [Fact]
    public void A_halted_step_leaves_scale_and_history_and_clears_amax()
    {
        var slots = new Slots(2);
        slots.Update(4f);
        Assert.Equal(448f / 4f, slots.Update(64f, StepState.Halted));
        Assert.Equal([4f, 0f], slots.History);
        Assert.Equal(0u, slots.Amax);
    }

    /// <summary>Scales of weight gradients: half of what the largest amax allows, as a power of two; a halted step rolls nothing; amax stay.</summary>
    [Fact]
    public void Scales_of_gradients_leave_half_of_the_range()
    {
        float[] scale = [1f, 8f, 1f], inverse = [1f, 0.125f, 1f], history = new float[2 * 3];
        uint[] amax = new uint[3];
        void Update(float[] values, uint skip = 0)
        {
            for (int i = 0; i < 3; i++)
            {
                amax[i] = BitConverter.SingleToUInt32Bits(values[i]);
            }

            StepState state = new() { SkipStep = skip };
            fixed (float* s = scale, i = inverse, h = history)
            fixed (uint* a = amax)
            {
                nint* args = stackalloc nint[] { (nint)s, (nint)i, (nint)a, (nint)h, 3, 2, 448, (nint)(&state) };
                CpuKernels.GradientScales(null!, args, null!);
            }

            Assert.Equal(values, System.Linq.Enumerable.Select(amax, BitConverter.UInt32BitsToSingle));
            Assert.Equal(System.Linq.Enumerable.Select(scale, s => 1 / s), inverse);
        }

        Update([1f, 0f, 224f]);
        Assert.Equal([128f, 8f, 1f], scale);
        Update([2f, 0f, 225f]);
        Assert.Equal([64f, 8f, 0.5f], scale);
        Update([0.25f, float.PositiveInfinity, 1f], StepState.Halted);
        Assert.Equal([64f, 8f, 0.5f], scale);
        Assert.Equal([2f, 0f, 225f, 1f, 0f, 224f], history);
        Update([0.25f, float.NaN, 1f], StepState.Skipped);
        Assert.Equal([64f, 8f, 0.5f], scale);
        Update([0.25f, 4f, 1f]);
        Assert.Equal([512f, 32f, 128f], scale);
        Assert.Equal([0.25f, 4f, 1f, 0.25f, 0f, 1f], history);
    }

    /// <summary>Two slots, of which the second one is under test; the first must not be disturbed by it.</summary>
    private sealed class Slots(int length)
    {
        private readonly float[] scale = [7f, 1f];
        private readonly float[] inverse = [7f, 1f];
        private readonly uint[] amax = [0, 0];
        private readonly float[] history = new float[2 * length];
        private readonly float[] maximum = [448f, 448f];

        public float Scale => scale[1];

        public float Inverse => inverse[1];

        public uint Amax => amax[1];

        public float[] History => [.. System.Linq.Enumerable.Select(System.Linq.Enumerable.Range(0, length), age => history[(age * 2) + 1])];

        public float Update(float value, uint skip = StepState.Skipped)
        {
            amax[1] = BitConverter.SingleToUInt32Bits(value) & 0x7FFFFFFF;
            using var pool = new CpuPool(1);
            StepState state = new() { SkipStep = skip };
            fixed (float* s = scale, i = inverse, h = history, m = maximum)
            fixed (uint* a = amax)
            {
                nint* args = stackalloc nint[] { (nint)s, (nint)i, (nint)a, (nint)h, (nint)m, 2, length, 0, 0, (nint)(&state) };
                CpuKernels.ScaleUpdate(null!, args, pool);
            }

            Assert.Equal(7f, scale[0]);
            return scale[1];
        }
    }
}
