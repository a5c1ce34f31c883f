using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Fp8Lm.Execution;

namespace Fp8Lm.Cpu;

/// <summary>AdamW with decoupled decay on eight elements, in F32; the scalars of the step.</summary>
internal readonly struct AdamMath(StepState state, bool decay)
{
    private readonly float clip = state.ClipFactor;
    private readonly float rate = state.LearningRate;
    private readonly float decay = decay ? state.WeightDecay : 0f;
    private readonly float beta1 = state.Beta1;
    private readonly float beta2 = state.Beta2;
    private readonly float rest1 = 1f - state.Beta1;
    private readonly float rest2 = 1f - state.Beta2;
    private readonly float unbias1 = 1f / state.BiasCorrection1;
    private readonly float unbias2 = 1f / state.BiasCorrection2;
    private readonly float epsilon = state.Epsilon;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Update(ref Vector256<float> w, ref Vector256<float> first, ref Vector256<float> second, Vector256<float> gradient)
    {
        Vector256<float> g = gradient * clip;
        first = (first * beta1) + (g * rest1);
        second = (second * beta2) + (g * rest2 * g);
        Vector256<float> step = first * unbias1 / (Vector256.Sqrt(second * unbias2) + Vector256.Create(epsilon));
        w -= (step + (w * decay)) * rate;
    }
}
