using System;
using Fp8Lm.Execution;

namespace Fp8Lm.Cpu;

/// <summary>Scales that are taken from the amax of the very tensor (current scaling); the same formula as <c>fp8lm/common/current_scale.cuh</c>.</summary>
public static unsafe class Scaling
{
    /// <summary>maximum / amax, or 1 where there is nothing to scale or the amax is not finite.</summary>
    public static float Current(uint amaxBits, float maximum)
    {
        float amax = BitConverter.UInt32BitsToSingle(amaxBits);
        float scale = maximum / amax;
        return amax > 0f && float.IsFinite(amax) && float.IsFinite(scale) ? scale : 1f;
    }

    /// <summary>
    /// 2^floor(log2(maximum / amax)), and the old scale where the amax is zero or not finite (fact sheet, section 2.2); bit-identical to
    /// <c>fp8lm/common/state_scale.cuh</c>. Clamped so that the reciprocal is a normal number.
    /// </summary>
    public static float State(uint amaxBits, float maximum, float old)
    {
        const float Most = 8.507059e37f, Least = 1.17549435e-38f;
        if (amaxBits is 0 or >= 0x7F800000)
        {
            return old;
        }

        return Math.Clamp(CpuKernels.NextScale(maximum, BitConverter.UInt32BitsToSingle(amaxBits), powerOfTwo: true, margin: 0), Least, Most);
    }

    /// <summary>Kernel: amax start again for a micro-batch, but one that is not finite stays until the step has been judged. Arguments: amax (U32), slots.</summary>
    public static void ClearAmax(DimBinding dims, nint* args, CpuPool pool) => CpuKernels.GradientAmax(dims, args, pool);
}
