namespace Fp8Lm.Generators.Model;

/// <summary>Storage format of a tensor role.</summary>
public enum Format
{
    F32,
    BF16,
    F16,
    E4M3,
    E5M2,
    /// <summary>A byte of fixed point; of saved factors only.</summary>
    U8,
}

/// <summary>Where the scale of an FP8 tensor comes from.</summary>
public enum ScalePolicy
{
    /// <summary>The format needs none.</summary>
    None,
    /// <summary>From the maximum of a history of amax values.</summary>
    Delayed,
    /// <summary>From the amax of this very tensor.</summary>
    Current,
    /// <summary>One per row of an operand along K, from the amax of this very row.</summary>
    Rowwise,
    /// <summary>One per row and 128 of K (per 128 x 128 of a weight), from the amax of this very block.</summary>
    Block,
}

/// <summary>How long the copies of a weight live that GEMMs read.</summary>
public enum WeightCopies
{
    /// <summary>Both layouts are written once per optimizer step and kept.</summary>
    PerStep,
    /// <summary>The row-major copy is kept; the transposed one is made anew wherever an input gradient reads it.</summary>
    RowMajorPerStep,
    /// <summary>None is kept: every product of a layer casts the master again.</summary>
    PerUse,
}

/// <summary>How the forward pass stores the slope of an activation for the backward pass.</summary>
public enum SavedFactors
{
    /// <summary>In the format of Compute.</summary>
    Compute,
    /// <summary>In a byte of fixed point where the compiler can bound it, else in the format of Compute.</summary>
    Byte,
}

/// <summary>What backward computes again instead of keeping it.</summary>
public enum Recompute
{
    /// <summary>Nothing but element-wise values that take no more memory so.</summary>
    Nothing,
    /// <summary>Normalised inputs of linears, which gradients of weights read.</summary>
    NormalizedInputs,
}

/// <summary>What of a moment in FP8 shares a scale.</summary>
public enum MomentScaling
{
    /// <summary>All of a tensor.</summary>
    PerTensor,
    /// <summary>Every 128 elements, which also share an exponent.</summary>
    Grouped,
}

/// <summary>What the loss gradient is multiplied with.</summary>
public enum LossScaling
{
    /// <summary>Nothing.</summary>
    None,
    /// <summary>A scale that is halved when the gradient overflows and doubled after a number of steps without overflow.</summary>
    Dynamic,
}

/// <summary>
/// A recipe is a table: the format of every tensor role, and how FP8 scales follow the data. Built-in recipes and a user's own are the
/// same record; the passes look up roles and never ask for a recipe by name.
/// </summary>
/// <param name="Name">Shown to users, for example <c>TransformerEngine</c>.</param>
/// <param name="Compute">Activations that are stored between kernels, and 16-bit GEMM operands.</param>
/// <param name="Input">Input of a linear in a repeated block, as the GEMM reads it.</param>
/// <param name="Weight">Weight of such a linear, as the GEMM reads it.</param>
/// <param name="OutputGradient">Gradient of such a linear's output.</param>
/// <param name="WeightGradient">Gradient of weights, as stored and accumulated.</param>
/// <param name="Head">Operands of embedding table and output head.</param>
/// <param name="Master">Master weights.</param>
/// <param name="FirstMoment">Adam's m.</param>
/// <param name="SecondMoment">Adam's v.</param>
/// <param name="Payload">What collectives move.</param>
/// <param name="Scaling">Policy of FP8 roles.</param>
/// <param name="AmaxHistory">Steps in the amax history (delayed scaling).</param>
/// <param name="Margin">Scales are divided by 2^margin.</param>
/// <param name="PowerOfTwoScales">Round scales down to powers of two.</param>
/// <param name="PromoteForward">FP32 promotion every 128 of K in fprop.</param>
/// <param name="PromoteBackward">FP32 promotion in dgrad and wgrad.</param>
/// <param name="AllLinears">Weights that opt out of FP8 are FP8 all the same.</param>
/// <param name="Site">Declaration, or that of the attribute.</param>
public sealed record RecipeSpec(
    string Name,
    Format Compute,
    Format Input,
    Format Weight,
    Format OutputGradient,
    Format WeightGradient,
    Format Head,
    Format Master,
    Format FirstMoment,
    Format SecondMoment,
    Format Payload,
    ScalePolicy Scaling,
    int AmaxHistory,
    int Margin,
    bool PowerOfTwoScales,
    bool PromoteForward,
    bool PromoteBackward,
    bool AllLinears,
    int Site)
{
    public static readonly RecipeSpec Fp32 = new(
        "Fp32", Format.F32, Format.F32, Format.F32, Format.F32, Format.F32, Format.F32, Format.F32, Format.F32, Format.F32, Format.F32,
        ScalePolicy.None, 0, 0, false, false, false, false, -1);

    /// <summary>16-bit compute and weight gradients, FP32 master weights and moments, as PyTorch and Transformer Engine hold them.</summary>
    public static readonly RecipeSpec Bf16 = Fp32 with
    {
        Name = "Bf16", Compute = Format.BF16, Input = Format.BF16, Weight = Format.BF16, OutputGradient = Format.BF16, WeightGradient = Format.BF16,
        Head = Format.BF16, Recompute = Recompute.NormalizedInputs,
    };

    /// <summary>FP16 compute with dynamic loss scaling, everything else as <see cref="Fp32"/>: MetaSeq, Colossal-AI.</summary>
    public static readonly RecipeSpec Fp16 = Fp32 with
    {
        Name = "Fp16", Compute = Format.F16, Input = Format.F16, Weight = Format.F16, OutputGradient = Format.F16, Head = Format.F16,
        Recompute = Recompute.NormalizedInputs, LossScaling = LossScaling.Dynamic,
    };

    /// <summary>FP8 GEMMs only, E4M3 forward and E5M2 gradients, delayed scaling.</summary>
    public static readonly RecipeSpec TransformerEngine = Bf16 with
    {
        Name = "TransformerEngine", Input = Format.E4M3, Weight = Format.E4M3, OutputGradient = Format.E5M2,
        Scaling = ScalePolicy.Delayed, AmaxHistory = 16, PromoteBackward = true, SavedFactors = SavedFactors.Byte,
    };

    /// <summary><see cref="TransformerEngine"/> with the scale of every tensor taken from its own amax.</summary>
    public static readonly RecipeSpec TransformerEngineCurrent = TransformerEngine with
    {
        Name = "TransformerEngineCurrent", Scaling = ScalePolicy.Current, AmaxHistory = 1,
    };

    /// <summary>A scale per row of every operand, E4M3 throughout, as torchao's rowwise recipe.</summary>
    public static readonly RecipeSpec Rowwise = TransformerEngine with
    {
        Name = "Rowwise", OutputGradient = Format.E4M3, Scaling = ScalePolicy.Rowwise, AmaxHistory = 0, PowerOfTwoScales = true,
    };

    /// <summary>DeepSeek-V3: a scale per 1 x 128 of inputs and gradients and per 128 x 128 of weights, applied at promotion; FP32 weight gradients.</summary>
    public static readonly RecipeSpec BlockScaled = TransformerEngine with
    {
        Name = "BlockScaled", OutputGradient = Format.E4M3, WeightGradient = Format.F32, Scaling = ScalePolicy.Block, AmaxHistory = 0, PromoteForward = true,
    };

    /// <summary>FP8-LM's first level: FP8 weight gradients; the FP16 master with a scale is the weight itself. 11 bytes a parameter.</summary>
    public static readonly RecipeSpec Fp8LmO1 = TransformerEngine with
    {
        Name = "Fp8LmO1", WeightGradient = Format.E4M3, Master = Format.F16, PowerOfTwoScales = true, Copies = WeightCopies.PerUse,
    };

    /// <summary>FP8-LM's second level: FP8 first and FP16 second moment on top. 6 bytes a parameter.</summary>
    public static readonly RecipeSpec Fp8LmO2 = Fp8LmO1 with { Name = "Fp8LmO2", FirstMoment = Format.E4M3, SecondMoment = Format.F16 };

    /// <summary>FP8-LM's third level: weights are stored in FP8 beside their master. 7 bytes a parameter.</summary>
    public static readonly RecipeSpec Fp8LmO3 = Fp8LmO2 with { Name = "Fp8LmO3", Copies = WeightCopies.RowMajorPerStep };

    /// <summary>COAT's optimizer (arXiv 2410.19313, section 4) with the products of <see cref="TransformerEngine"/>: both moments in E4M3 with a scale and an exponent per 128 elements.</summary>
    public static readonly RecipeSpec Coat = TransformerEngine with
    {
        Name = "Coat", FirstMoment = Format.E4M3, SecondMoment = Format.E4M3, MomentScaling = MomentScaling.Grouped,
    };

    /// <summary>How long copies of weights live.</summary>
    public WeightCopies Copies { get; init; }

    /// <summary>How slopes of activations are stored between forward and backward.</summary>
    public SavedFactors SavedFactors { get; init; }

    /// <summary>What backward computes again.</summary>
    public Recompute Recompute { get; init; }

    /// <summary>What of a moment in FP8 shares a scale.</summary>
    public MomentScaling MomentScaling { get; init; }

    /// <summary>Where the scale of a weight gradient in FP8 comes from; None: as other scales do where those are delayed, else from its own amax.</summary>
    public ScalePolicy WeightGradientScaling { get; init; }

    /// <summary>Whether weight gradients are FP8 with a scale that is known before they are computed.</summary>
    public bool DelayedGradients => IsFp8(WeightGradient) && (WeightGradientScaling == ScalePolicy.None ? Scaling : WeightGradientScaling) == ScalePolicy.Delayed;

    /// <summary>What the loss gradient is multiplied with.</summary>
    public LossScaling LossScaling { get; init; }

    /// <summary>The loss scale of step 1, a power of two. The defaults are those of torch.amp.GradScaler.</summary>
    public int InitialLossScale { get; init; } = 65536;

    /// <summary>Steps in a row that count before the loss scale doubles.</summary>
    public int GrowthInterval { get; init; } = 2000;

    public bool ScalesLoss => LossScaling != LossScaling.None;

    /// <summary>Whether the optimizer keeps anything in fewer than 32 bits: it then works tensor by tensor, each with formats of its own.</summary>
    public bool OwnStates => WeightGradient != Format.F32 || Master != Format.F32 || FirstMoment != Format.F32 || SecondMoment != Format.F32;

    /// <summary>Whether anything that it keeps has a scale: it then takes the amax of what it will store in a pass of its own, and scales of weights' FP8 copies follow from that.</summary>
    public bool ScaledStates => IsScaled(WeightGradient) || IsScaled(Master) || MomentHasScale(FirstMoment) || MomentHasScale(SecondMoment);

    /// <summary>Whether it stores masters or moments in fewer than 32 bits, which sampled steps count.</summary>
    public bool NarrowStates => Master != Format.F32 || FirstMoment != Format.F32 || SecondMoment != Format.F32;

    /// <summary>Whether moments of that format, one of the recipe's two, are stored in groups.</summary>
    public bool Groups(Format moment) => MomentScaling == MomentScaling.Grouped && IsFp8(moment);

    /// <summary>Whether any moment is.</summary>
    public bool GroupedMoments => Groups(FirstMoment) || Groups(SecondMoment);

    /// <summary>Whether moments of that format have a scale per tensor.</summary>
    public bool MomentHasScale(Format moment) => IsScaled(moment) && !Groups(moment);

    /// <summary>Whether copies of linear weights depend on the master and what the optimizer left beside it alone, with no history: they can be made anew at any time.</summary>
    public bool CopiesFollowMaster => OwnStates && (ScaledStates || GroupedScales || !UsesFp8);

    public bool UsesFp8 => IsFp8(Input) || IsFp8(Weight) || IsFp8(OutputGradient);

    /// <summary>Whether scales belong to parts of tensors, are computed where the tensor is cast and live beside its bytes; there are no families of scales then.</summary>
    public bool GroupedScales => Scaling is ScalePolicy.Rowwise or ScalePolicy.Block;

    /// <summary>Whether a stored state of that format has a scale: formats with the range of F32 need none.</summary>
    public static bool IsScaled(Format format) => format is Format.F16 or Format.E4M3 or Format.E5M2;

    /// <summary>Whether linears with this weight run in FP8, where they stand in a repeated module.</summary>
    public bool InFp8(ParameterSpec weight) => UsesFp8 && (AllLinears || weight.Fp8);

    public static bool IsFp8(Format format) => format is Format.E4M3 or Format.E5M2;
}
