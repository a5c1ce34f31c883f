using System;
using Fp8Lm.Execution;

namespace Fp8Lm.Cpu;

public static unsafe partial class CpuKernels
{
    /// <summary>
    /// Adds row losses (label weights already in them) and label weights to the sums of the step, in F64 and in their order. Arguments:
    /// rowLoss F32 [count]; rowWeight F32 [count]; count; <see cref="StepState"/>.
    /// </summary>
    public static void LossSum(DimBinding dims, nint* args, CpuPool pool)
    {
        float* losses = (float*)args[0], weights = (float*)args[1];
        var state = (StepState*)args[3];
        double loss = 0, weight = 0;
        for (long i = 0; i < args[2]; i++)
        {
            loss += losses[i];
            weight += weights[i];
        }

        state->LossSum += loss;
        state->WeightSum += weight;
    }

    /// <summary>
    /// Skips a step whose recorded amax is not finite: a cast to FP8 saturates, so what follows from its bytes may look sound. Runs after the norm has written the skip
    /// flag. Arguments: amax U32 [slots]; slots; clears (whether amax are zeroed here, where no scale update does); <see cref="StepState"/>.
    /// </summary>
    public static void AmaxCheck(DimBinding dims, nint* args, CpuPool pool)
    {
        var amax = new Span<uint>((void*)args[0], checked((int)args[1]));
        var state = (StepState*)args[3];
        if (state->SkipStep == 0 && amax.ContainsAnyInRange(0x7F800000u, uint.MaxValue))
        {
            state->SkipStep = StepState.Skipped;
        }

        if (args[2] != 0)
        {
            amax.Clear();
        }
    }

    /// <summary>
    /// Rolls the amax histories, clears amax and derives the next scales, in skipped steps as well; a halted step only clears amax. Arguments: scale F32 [slots]; scaleInverse F32
    /// [slots]; amax U32 [slots]; history F32 [length, slots], newest first; maximum F32 [slots]; slots; length; powerOfTwo; margin; <see cref="StepState"/>.
    /// A slot whose amax is not finite, or whose history is all zero, keeps its scale; what is not finite enters the history as zero.
    /// </summary>
    public static void ScaleUpdate(DimBinding dims, nint* args, CpuPool pool)
    {
        float* scale = (float*)args[0], inverse = (float*)args[1], history = (float*)args[3], maximum = (float*)args[4];
        uint* amax = (uint*)args[2];
        long slots = args[5], length = args[6];
        bool halted = ((StepState*)args[9])->SkipStep == StepState.Halted;
        for (long slot = 0; slot < slots; slot++)
        {
            float newest = BitConverter.UInt32BitsToSingle(amax[slot]);
            bool finite = float.IsFinite(newest);
            amax[slot] = 0;
            if (halted)
            {
                continue;
            }

            float largest = Roll(history + slot, finite ? newest : 0f, slots, length);
            if (finite && largest > 0f)
            {
                scale[slot] = NextScale(maximum[slot], largest, args[7] != 0, (int)args[8]);
                inverse[slot] = 1f / scale[slot];
            }
        }
    }

    /// <summary>
    /// Scales of weight gradients in FP8 for the next step: half of what the largest amax of the last steps allows, since the next may be larger. Arguments: scale F32 [count]; reciprocals; amax U32
    /// [count]; history F32 [length, count], newest first; count; length; largest number of the format; <see cref="StepState"/>. What is not finite enters the history as zero; where
    /// that is all zero, a gradient keeps its scale. A halted step leaves histories as they are. The amax stay until gradients are cleared.
    /// </summary>
    public static void GradientScales(DimBinding dims, nint* args, CpuPool pool)
    {
        float* scale = (float*)args[0], inverse = (float*)args[1], history = (float*)args[3];
        uint* amax = (uint*)args[2];
        long count = args[4], length = args[5];
        bool halted = ((StepState*)args[7])->SkipStep == StepState.Halted;
        for (long slot = 0; slot < count; slot++)
        {
            float newest = BitConverter.UInt32BitsToSingle(amax[slot]);
            float largest = halted ? 0f : Roll(history + slot, float.IsFinite(newest) ? newest : 0f, count, length);
            for (long age = 0; halted && age < length; age++)
            {
                largest = Math.Max(largest, history[(age * count) + slot]);
            }

            scale[slot] = Scaling.State(BitConverter.SingleToUInt32Bits(largest), 0.5f * args[6], scale[slot]);
            inverse[slot] = 1f / scale[slot];
        }
    }

    /// <summary>Puts a number in front of a slot's history, whose oldest leaves it; gives the largest of those that stay.</summary>
    private static float Roll(float* history, float entering, long slots, long length)
    {
        float largest = entering;
        for (long age = 0; age < length; age++)
        {
            float* place = history + (age * slots);
            largest = Math.Max(largest, entering);
            (entering, *place) = (*place, entering);
        }

        return largest;
    }

    /// <summary>
    /// maximum / amax / 2^margin, or the power of two below. Division, scaling by powers of two and masking are exact or correctly rounded,
    /// so the device computes the same bits. Masking the quotient is the floor of its logarithm: an amax one rounding step above
    /// maximum / 2^k already takes the quotient past the middle between 2^k and the number below it.
    /// </summary>
    internal static float NextScale(float maximum, float amax, bool powerOfTwo, int margin)
    {
        float ratio = Math.Min(MathF.ScaleB(maximum / amax, -margin), float.MaxValue);
        return powerOfTwo ? BitConverter.UInt32BitsToSingle(BitConverter.SingleToUInt32Bits(ratio) & 0xFF800000) : ratio;
    }
}
