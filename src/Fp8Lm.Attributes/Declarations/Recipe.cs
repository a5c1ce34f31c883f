namespace Fp8Lm;

/// <summary>The built-in recipes: which format every kind of tensor has, and how FP8 scales follow the data.</summary>
public enum Recipe
{
    /// <summary>Everything in FP32.</summary>
    Fp32,

    /// <summary>BF16 compute; FP32 master weights, gradients and moments, as Megatron-LM.</summary>
    Bf16,

    /// <summary>FP8 GEMMs on top of <see cref="Bf16"/>: E4M3 forward, E5M2 gradients, delayed scaling, as Transformer Engine.</summary>
    TransformerEngine,

    /// <summary><see cref="TransformerEngine"/> with every scale taken from the very tensor it applies to.</summary>
    TransformerEngineCurrent,
}

/// <summary>Storage format of a kind of tensor.</summary>
public enum Format
{
    /// <summary>IEEE binary32.</summary>
    F32,

    /// <summary>bfloat16: F32's range, 8 bits of significand.</summary>
    BF16,

    /// <summary>IEEE binary16.</summary>
    F16,

    /// <summary>FP8 with 4 exponent and 3 mantissa bits, largest value 448.</summary>
    E4M3,

    /// <summary>FP8 with 5 exponent and 2 mantissa bits, largest value 57344.</summary>
    E5M2,
}

/// <summary>Where the scale of an FP8 tensor comes from.</summary>
public enum ScalePolicy
{
    /// <summary>No FP8, no scales.</summary>
    None,

    /// <summary>From the largest magnitude of the last steps (<see cref="RecipeDefinition.AmaxHistory"/>).</summary>
    Delayed,

    /// <summary>From the largest magnitude of the very tensor.</summary>
    Current,
}
