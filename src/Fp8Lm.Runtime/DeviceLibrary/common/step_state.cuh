#pragma once
#include <fp8lm/common/types.cuh>

// The scalars of one training step; the same layout and names as Fp8Lm.Execution.StepState (a test compares the offsets).
namespace fp8lm {

struct StepState
{
    // SkipStep: the gradient or the loss of this step is not finite; that of an earlier one, at which the host has not looked yet.
    static constexpr u32 kSkipped = 1, kHalted = 2;

    // Written by the host before a step.
    float LearningRate;
    float Beta1;
    float Beta2;
    float Epsilon;
    float WeightDecay;
    float BiasCorrection1;
    float BiasCorrection2;
    float MaxGradientNorm;
    float LossScale;
    u32 SeedLow;
    u32 SeedHigh;
    u32 MicroStep;
    u32 Training;

    // Written by kernels.
    float GradientNorm;
    float ClipFactor;
    u32 SkipStep;
    float DynamicLossScale;
    double LossSum;
    double WeightSum;
};

}  // namespace fp8lm
