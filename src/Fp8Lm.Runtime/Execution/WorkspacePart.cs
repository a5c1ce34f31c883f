namespace Fp8Lm.Execution;

/// <summary>The parts of the workspace arena.</summary>
public enum WorkspacePart
{
    /// <summary><see cref="StepState"/>.</summary>
    State,
    /// <summary>I32 [micro-batch, sequence].</summary>
    Tokens,
    /// <summary>I32 [micro-batch, sequence].</summary>
    Labels,
    /// <summary>F32 [micro-batch, sequence].</summary>
    LabelWeights,
    /// <summary>F32 [slots].</summary>
    Scale,
    /// <summary>F32 [slots].</summary>
    ScaleInverse,
    /// <summary>U32 [slots].</summary>
    Amax,
    /// <summary>F32 [history, slots].</summary>
    AmaxHistory,
    /// <summary>F32 [slots].</summary>
    ScaleMaximum,
    /// <summary>Scratch for fixed-order reductions.</summary>
    ReductionScratch,
    /// <summary>F32 [4, instances]: scales of gradients, masters, first and second moments; empty when none of them has a scale, as the two parts below.</summary>
    StateScale,
    /// <summary>F32 [4, instances]: their reciprocals.</summary>
    StateScaleInverse,
    /// <summary>U32 [4, instances]: their amax of this step.</summary>
    StateAmax,
    /// <summary><see cref="StateSegment"/> [instances]; empty when all states are F32.</summary>
    Segments,
    /// <summary><see cref="LossScaleState"/>; empty in recipes without loss scaling.</summary>
    LossScale,
    /// <summary><see cref="Numerics.CastStatistics"/> [slots of all casts].</summary>
    CastStatistics,
    /// <summary>F32 [groups, 2]: largest magnitude and inverse exponent of every 128 elements of first moments in groups (<see cref="ParameterFormats.Grouped"/>), else empty.</summary>
    FirstGroups,
    /// <summary>The same of second moments.</summary>
    SecondGroups,
    /// <summary>F32 [history, instances]: amax of weight gradients in FP8 over the last steps, where their scales are delayed, else empty.</summary>
    GradientHistory,
}
