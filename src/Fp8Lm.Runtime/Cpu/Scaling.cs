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

    /// <summary>Kernel: zeroes all amax of the micro-batch. Arguments: amax (U32), slots.</summary>
    public static void ClearAmax(DimBinding dims, nint* args, CpuPool pool) => new Span<uint>((void*)args[0], checked((int)args[1])).Clear();
}
