namespace Fp8Lm;

/// <summary>The built-in recipes: which format every kind of tensor has, and how FP8 scales follow the data.</summary>
public enum Recipe
{
    /// <summary>Everything in FP32.</summary>
    Fp32,

    /// <summary>BF16 compute and gradients of the layers' weights; FP32 master weights and moments; 16 bytes a parameter of the layers, as PyTorch and Transformer Engine hold it.</summary>
    Bf16,

    /// <summary>
    /// FP16 compute with dynamic loss scaling; FP32 master weights, gradients and moments, as MetaSeq and Colossal-AI (Micikevicius et al. 2018, "Mixed
    /// Precision Training").
    /// </summary>
    Fp16,

    /// <summary>FP8 GEMMs on top of <see cref="Bf16"/>: E4M3 forward, E5M2 gradients, delayed scaling, as Transformer Engine.</summary>
    TransformerEngine,

    /// <summary><see cref="TransformerEngine"/> with every scale taken from the very tensor it applies to.</summary>
    TransformerEngineCurrent,

    /// <summary>
    /// FP8 GEMMs in E4M3 throughout, with a scale per row of every operand along K, taken from that row: per token for inputs and gradients, per output channel
    /// for weights. Scales are powers of two, as torchao's rowwise recipe has it.
    /// </summary>
    Rowwise,

    /// <summary>
    /// DeepSeek-V3 (arXiv 2412.19437, section 3.3): E4M3 operands throughout, FP32 gradients of weights, a scale per token and 128 of K for inputs and gradients and per 128 x 128 of weights, taken from
    /// that block and applied where the products add to FP32, every 128 of K.
    /// </summary>
    BlockScaled,

    /// <summary>FP8-LM, level 1: <see cref="TransformerEngine"/> with E4M3 weight gradients and FP16 weights with a scale; 11 bytes a parameter of the layers.</summary>
    Fp8LmO1,

    /// <summary>FP8-LM, level 2: level 1 with an E4M3 first and an FP16 second moment; 6 bytes a parameter of the layers.</summary>
    Fp8LmO2,

    /// <summary>FP8-LM, level 3: level 2 with the weights stored in E4M3 beside their FP16 master; 7 bytes a parameter of the layers.</summary>
    Fp8LmO3,

    /// <summary>
    /// <see cref="TransformerEngine"/> with COAT's optimizer (arXiv 2410.19313, section 4): both moments in E4M3 with a scale and an exponent for every 128 elements; 10 1/8 bytes a
    /// parameter of the layers.
    /// </summary>
    Coat,
}

/// <summary>How long the copies of a weight live that GEMMs read.</summary>
public enum WeightCopies
{
    /// <summary>Both layouts are written once per optimizer step and kept: fastest, two bytes a parameter in FP8.</summary>
    PerStep,

    /// <summary>The row-major copy is kept, one byte a parameter; the transposed one is made anew wherever an input gradient reads it.</summary>
    RowMajorPerStep,

    /// <summary>None is kept: every product of a layer casts the master again.</summary>
    PerUse,
}

/// <summary>How the slope of an activation (of GELU, SiLU, tanh, ..., or one that the model composes) is stored between forward and backward.</summary>
public enum SavedFactors
{
    /// <summary>In the format of <see cref="RecipeDefinition.Compute"/>.</summary>
    Compute,

    /// <summary>
    /// In one byte of fixed point if the compiler finds the function bounded in a range of at most two; 0 and 1 are exact and nothing is off by more than half a step, which
    /// is 0.0025 of GELU's slope. Others are stored as in <see cref="Compute"/>.
    /// </summary>
    Byte,
}

/// <summary>What backward computes again instead of keeping it for every layer.</summary>
public enum Recompute
{
    /// <summary>Only element-wise values that take no more memory so.</summary>
    Nothing,

    /// <summary>
    /// Also the normalised inputs of linears, which gradients of weights read: the kernel of the norm's gradient writes them. Per norm, layer, token and feature that saves one byte in FP8, at
    /// no cost (the forward pass leaves the transposed copy to backward), and two bytes in 16 bits, for two bytes of traffic. With scales per row or block they are kept.
    /// </summary>
    NormalizedInputs,
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

    /// <summary>One scale per row of each operand of a product, from the largest magnitude of that very row along K.</summary>
    Rowwise,

    /// <summary>
    /// One scale per row and 128 of K, for weights per 128 x 128, from the largest magnitude of that very block; products apply it every 128 of K, where they
    /// promote.
    /// </summary>
    Block,
}

/// <summary>What of a moment in FP8 shares a scale.</summary>
public enum MomentScaling
{
    /// <summary>All of a tensor, per layer: a power of two (FP8-LM, section 2.2).</summary>
    PerTensor,

    /// <summary>
    /// Every 128 elements, in the order of memory, which also share an exponent that makes them fill the range of the format (COAT's dynamic range expansion, arXiv 2410.19313,
    /// section 4); an eighth of a byte a parameter for both moments. Moments in F32, BF16 and F16 stay as they are.
    /// </summary>
    Grouped,
}

/// <summary>What the loss gradient is multiplied with, so that small gradients do not underflow in FP16 (Micikevicius et al. 2018, section 3.2).</summary>
public enum LossScaling
{
    /// <summary>Nothing.</summary>
    None,

    /// <summary>
    /// A loss scale that follows the run: halved (not below 1) in a step whose gradient norm is not finite, which is skipped; doubled after
    /// <see cref="RecipeDefinition.GrowthInterval"/> steps in a row that count. Norm, clipping and the optimizer see gradients without it.
    /// </summary>
    Dynamic,
}
