namespace Fp8Lm;

/// <summary>A recipe of the user's own: a built-in one with some entries of its table replaced.</summary>
/// <example>
/// <code>
/// [ModelRecipe] static readonly RecipeDefinition AllE4M3 = new(Recipe.TransformerEngine) { OutputGradient = Format.E4M3 };
/// </code>
/// </example>
public sealed class RecipeDefinition
{
    /// <summary>Starts from a built-in recipe.</summary>
    /// <param name="baseRecipe">What holds for everything the initialiser does not name.</param>
    public RecipeDefinition(Recipe baseRecipe) => BaseRecipe = baseRecipe;

    /// <summary>The recipe this one starts from.</summary>
    public Recipe BaseRecipe { get; }

    /// <summary>Activations stored between kernels, and 16-bit GEMM operands: F32, BF16, or F16 where nothing is FP8.</summary>
    public Format Compute { get; init; }

    /// <summary>Inputs of linear layers in repeated modules, as the GEMM reads them.</summary>
    public Format Input { get; init; }

    /// <summary>Weights of such layers, as the GEMM reads them.</summary>
    public Format Weight { get; init; }

    /// <summary>Gradients of such layers' outputs, as the GEMM reads them.</summary>
    public Format OutputGradient { get; init; }

    /// <summary>Gradients of the weights of such layers, as stored and accumulated: F32; BF16, to which every micro-batch adds one rounding; or E4M3 or E5M2 with a scale per tensor (FP8-LM, section 2.1). All others are F32.</summary>
    public Format WeightGradient { get; init; }

    /// <summary>
    /// Where the scale of a weight gradient in E4M3 or E5M2 comes from: <see cref="ScalePolicy.Delayed"/>, so that the product that makes the gradient casts it, from the largest magnitude
    /// of the last <see cref="AmaxHistory"/> steps with a factor of two in reserve; or <see cref="ScalePolicy.Current"/>, from the gradient's own amax as the paper's code has it (a pass
    /// more over every gradient and micro-batch). Without a value it is Delayed where <see cref="Scaling"/> is, and Current elsewhere.
    /// </summary>
    public ScalePolicy WeightGradientScaling { get; init; }

    /// <summary>Embedding table and output head.</summary>
    public Format Head { get; init; }

    /// <summary>Master weights of such layers: F32, BF16, or F16, E4M3 or E5M2 with a scale per tensor. All others are F32.</summary>
    public Format Master { get; init; }

    /// <summary>First moment of Adam of every parameter: F32, BF16, or F16, E4M3 or E5M2 with a scale per tensor; E4M3 and E5M2 also in groups (<see cref="MomentScaling"/>).</summary>
    public Format FirstMoment { get; init; }

    /// <summary>Second moment of Adam of every parameter: as <see cref="FirstMoment"/>.</summary>
    public Format SecondMoment { get; init; }

    /// <summary>What of a moment in E4M3 or E5M2 shares a scale; <see cref="MomentScaling.Grouped"/> only where a moment is one of these.</summary>
    public MomentScaling MomentScaling { get; init; }

    /// <summary>How long copies of weights live; other than <see cref="WeightCopies.PerStep"/> only with a master, gradient or moment of fewer than 32 bits.</summary>
    public WeightCopies Copies { get; init; }

    /// <summary>How slopes of activations are stored between forward and backward; <see cref="SavedFactors.Byte"/> in the built-in recipes with FP8.</summary>
    public SavedFactors SavedFactors { get; init; }

    /// <summary>What backward computes again to save memory; <see cref="Recompute.NormalizedInputs"/> in all built-in recipes but <see cref="Recipe.Fp32"/>.</summary>
    public Recompute Recompute { get; init; }

    /// <summary>What collectives move.</summary>
    public Format Payload { get; init; }

    /// <summary>Where FP8 scales come from.</summary>
    public ScalePolicy Scaling { get; init; }

    /// <summary>Steps that a delayed scale looks back; 0 with scales per row or block, which have no history.</summary>
    public int AmaxHistory { get; init; }

    /// <summary>Delayed scales are divided by two to this power; 0 with scales per row or block, which fit their numbers exactly.</summary>
    public int Margin { get; init; }

    /// <summary>Whether scales are rounded down to powers of two.</summary>
    public bool PowerOfTwoScales { get; init; }

    /// <summary>Whether the forward GEMM promotes its FP8 accumulator to FP32 every 128 of K.</summary>
    public bool PromoteForward { get; init; }

    /// <summary>Whether the gradient GEMMs do.</summary>
    public bool PromoteBackward { get; init; }

    /// <summary>Whether linears whose weight says <see cref="Fp8Lm.Weight.Fp8">Fp8 = false</see> are FP8 in this recipe all the same; for comparing the two.</summary>
    public bool AllLinears { get; init; }

    /// <summary>Whether the loss gradient is scaled; only with <see cref="Compute"/> in F16.</summary>
    public LossScaling LossScaling { get; init; }

    /// <summary>The loss scale of step 1: a power of two from 1 to 2^24; 65536 in <see cref="Recipe.Fp16"/>, as in PyTorch's <c>GradScaler</c>.</summary>
    public int InitialLossScale { get; init; }

    /// <summary>Steps in a row that count before the loss scale doubles: from 1 to 1000000; 2000 in <see cref="Recipe.Fp16"/>, as in PyTorch's <c>GradScaler</c>.</summary>
    public int GrowthInterval { get; init; }
}
