using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Fp8Lm.Execution;

namespace Fp8Lm.Cpu;

/// <summary>Inverted dropout from the counter-based generator; the same formula as <c>fp8lm/common/dropout.cuh</c>.</summary>
public static unsafe class Dropout
{
    /// <summary>Key of one random site in one layer of one micro-step.</summary>
    public static uint Key(StepState* state, uint site, uint layer)
    {
        unchecked
        {
            uint key = (state->SeedLow * 0x9E3779B9u) ^ (state->SeedHigh * 0x85EBCA6Bu);
            key = (key ^ state->MicroStep) * 0xC2B2AE35u;
            return (key ^ (site << 16) ^ layer) * 0x27D4EB2Fu;
        }
    }

    /// <summary>What eight consecutive elements are multiplied with: 0 or 1 / (1 - rate) while training, else 1.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Factor(StepState* state, uint site, uint layer, uint index, float rate)
    {
        if (state->Training == 0)
        {
            return Vector256<float>.One;
        }

        Vector256<float> drawn = VectorMath.UniformFrom(Key(state, site, layer), index);
        return Vector256.ConditionalSelect(Vector256.LessThan(drawn, Vector256.Create(rate)), Vector256<float>.Zero, Vector256.Create(1f / (1f - rate)));
    }
}
