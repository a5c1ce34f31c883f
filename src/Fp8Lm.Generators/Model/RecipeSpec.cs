namespace Fp8Lm.Generators.Model;

/// <summary>Storage format of a tensor role.</summary>
public enum Format
{
    F32,
    BF16,
    F16,
    E4M3,
    E5M2,
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
    int Site)
{
    public static readonly RecipeSpec Fp32 = new(
        "Fp32", Format.F32, Format.F32, Format.F32, Format.F32, Format.F32, Format.F32, Format.F32, Format.F32, Format.F32, Format.F32,
        ScalePolicy.None, 0, 0, false, false, false, -1);

    /// <summary>16-bit compute, FP32 master weights, gradients and moments, as Megatron-LM.</summary>
    public static readonly RecipeSpec Bf16 = Fp32 with
    {
        Name = "Bf16", Compute = Format.BF16, Input = Format.BF16, Weight = Format.BF16, OutputGradient = Format.BF16, Head = Format.BF16,
    };

    /// <summary>FP8 GEMMs only, E4M3 forward and E5M2 gradients, delayed scaling.</summary>
    public static readonly RecipeSpec TransformerEngine = Bf16 with
    {
        Name = "TransformerEngine", Input = Format.E4M3, Weight = Format.E4M3, OutputGradient = Format.E5M2,
        Scaling = ScalePolicy.Delayed, AmaxHistory = 16, PromoteBackward = true,
    };

    /// <summary><see cref="TransformerEngine"/> with the scale of every tensor taken from its own amax.</summary>
    public static readonly RecipeSpec TransformerEngineCurrent = TransformerEngine with
    {
        Name = "TransformerEngineCurrent", Scaling = ScalePolicy.Current, AmaxHistory = 1,
    };

    public bool UsesFp8 => IsFp8(Input) || IsFp8(Weight) || IsFp8(OutputGradient);

    public static bool IsFp8(Format format) => format is Format.E4M3 or Format.E5M2;
}
