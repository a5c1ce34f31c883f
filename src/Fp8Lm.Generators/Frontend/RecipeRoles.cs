using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using Fp8Lm.Generators.Diagnostics;
using Fp8Lm.Generators.Model;
using Microsoft.CodeAnalysis;

namespace Fp8Lm.Generators.Frontend;

/// <summary>The roles of a user's recipe: what each may be, and what goes together.</summary>
internal static class RecipeRoles
{
    private static readonly Format[] Operand = [Format.F32, Format.BF16, Format.F16, Format.E4M3, Format.E5M2], Stored = [Format.F32, Format.BF16, Format.F16], Exact = [Format.F32],
        Gradient = [Format.F32, Format.BF16, Format.E4M3, Format.E5M2], State = [Format.F32, Format.BF16, Format.F16, Format.E4M3, Format.E5M2];

    private static readonly (string Role, Func<RecipeSpec, Format> Get, Format[] Allowed)[] Roles =
    [
        ("Compute", r => r.Compute, Stored),
        ("Input", r => r.Input, Operand),
        ("Weight", r => r.Weight, Operand),
        ("OutputGradient", r => r.OutputGradient, Operand),
        ("WeightGradient", r => r.WeightGradient, Gradient),
        ("Head", r => r.Head, Stored),
        ("Master", r => r.Master, State),
        ("FirstMoment", r => r.FirstMoment, State),
        ("SecondMoment", r => r.SecondMoment, State),
        ("Payload", r => r.Payload, Exact),
    ];

    /// <summary>The recipe with one entry of its table replaced.</summary>
    public static RecipeSpec With(RecipeSpec recipe, string role, object value)
    {
        int number = value is bool ? 0 : System.Convert.ToInt32(value, CultureInfo.InvariantCulture);
        bool flag = value is true;
        return role switch
        {
            "Compute" => recipe with { Compute = (Format)number },
            "Input" => recipe with { Input = (Format)number },
            "Weight" => recipe with { Weight = (Format)number },
            "OutputGradient" => recipe with { OutputGradient = (Format)number },
            "WeightGradient" => recipe with { WeightGradient = (Format)number },
            "Head" => recipe with { Head = (Format)number },
            "Master" => recipe with { Master = (Format)number },
            "FirstMoment" => recipe with { FirstMoment = (Format)number },
            "SecondMoment" => recipe with { SecondMoment = (Format)number },
            "Payload" => recipe with { Payload = (Format)number },
            "Scaling" => recipe with { Scaling = (ScalePolicy)number },
            "Copies" => recipe with { Copies = (WeightCopies)number },
            "SavedFactors" => recipe with { SavedFactors = (SavedFactors)number },
            "Recompute" => recipe with { Recompute = (Recompute)number },
            "MomentScaling" => recipe with { MomentScaling = (MomentScaling)number },
            "WeightGradientScaling" => recipe with { WeightGradientScaling = (ScalePolicy)number },
            "LossScaling" => recipe with { LossScaling = (LossScaling)number },
            "InitialLossScale" => recipe with { InitialLossScale = number },
            "GrowthInterval" => recipe with { GrowthInterval = number },
            "AmaxHistory" => recipe with { AmaxHistory = number },
            "Margin" => recipe with { Margin = number },
            "PowerOfTwoScales" => recipe with { PowerOfTwoScales = flag },
            "PromoteForward" => recipe with { PromoteForward = flag },
            "PromoteBackward" => recipe with { PromoteBackward = flag },
            "AllLinears" => recipe with { AllLinears = flag },
            _ => recipe,
        };
    }

    public static bool Check(RecipeSpec recipe, Func<string, Location> place, ReadContext context)
    {
        bool legal = true;
        foreach ((string role, Func<RecipeSpec, Format> get, Format[] allowed) in Roles)
        {
            if (!allowed.Contains(get(recipe)))
            {
                context.Report(DiagnosticDescriptors.RecipeFormat, place(role), recipe.Name, role, get(recipe).ToString(), string.Join(", ", allowed));
                legal = false;
            }
        }

        if (legal && Conflict(recipe) is { } conflict)
        {
            context.Report(DiagnosticDescriptors.RecipeCombination, place(conflict.Role), recipe.Name, conflict.Reason);
            legal = false;
        }

        return legal;
    }

    private static (string Role, string Reason)? Conflict(RecipeSpec recipe)
    {
        // Each of a linear's three GEMMs reads two of these, and a GEMM reads operands of one width.
        (string Role, Format Format)[] operands = [("Input", recipe.Input), ("Weight", recipe.Weight), ("OutputGradient", recipe.OutputGradient)];
        IEnumerable<(string Role, Format Format)> wide = operands.Where(o => !RecipeSpec.IsFp8(o.Format));
        if (recipe.UsesFp8 && wide.Any())
        {
            return (wide.First().Role, "Input, Weight and OutputGradient meet in GEMMs, so all three are FP8 or none is");
        }

        if (wide.FirstOrDefault(o => o.Format != recipe.Compute) is { Role: { } role })
        {
            return (role, role + " is not FP8, so it must have the format of Compute, " + recipe.Compute);
        }

        if (recipe.Master != Format.F32 && recipe.Weight == Format.F32)
        {
            return ("Master", "GEMMs read F32 weights in place, so Master must be F32 unless Weight is BF16, F16 or FP8");
        }

        if (recipe.Copies != WeightCopies.PerStep && !recipe.CopiesFollowMaster)
        {
            return ("Copies", recipe.OwnStates
                ? "FP8 copies of weights can only be left out where the optimizer keeps their scales; make Master, WeightGradient or a moment F16, E4M3 or E5M2, or use 'WeightCopies.PerStep'"
                : "copies of weights can only be left out where the optimizer works tensor by tensor; make Master, WeightGradient or a moment smaller than F32, or use 'WeightCopies.PerStep'");
        }

        if (recipe.MomentScaling == MomentScaling.Grouped && !recipe.GroupedMoments)
        {
            return ("MomentScaling", $"FirstMoment is {recipe.FirstMoment} and SecondMoment is {recipe.SecondMoment}, and only moments in E4M3 or E5M2 are stored in groups; make one of them E4M3, or use 'MomentScaling.PerTensor'");
        }

        if (GradientScaleConflict(recipe) is { } gradient)
        {
            return gradient;
        }

        if (LossScaleConflict(recipe) is { } scaling)
        {
            return scaling;
        }

        return recipe.Head != recipe.Compute ? ("Head", "Head must have the format of Compute, " + recipe.Compute)
            : recipe.UsesFp8 && recipe.Scaling == ScalePolicy.None ? ("Scaling", "FP8 formats need 'Scaling = ScalePolicy.Delayed', 'ScalePolicy.Current', 'ScalePolicy.Rowwise' or 'ScalePolicy.Block'")
            : !recipe.UsesFp8 && recipe.Scaling != ScalePolicy.None ? ("Scaling", "nothing is FP8, so 'Scaling' must be 'ScalePolicy.None'")
            : !recipe.UsesFp8 && recipe.AllLinears ? ("AllLinears", "nothing is FP8, so 'AllLinears' has no meaning; remove it")
            : recipe.Scaling == ScalePolicy.Delayed && recipe.AmaxHistory is < 1 or > 4096 ? ("AmaxHistory", "delayed scaling needs an AmaxHistory of 1 to 4096")
            : recipe.Margin is < -16 or > 16 ? ("Margin", "Margin must be between -16 and 16")
            : recipe.GroupedScales ? GroupConflict(recipe)
            : null;
    }

    /// <summary>A weight gradient in FP8 has one scale, which is either known before or its own.</summary>
    private static (string Role, string Reason)? GradientScaleConflict(RecipeSpec recipe) => recipe.WeightGradientScaling switch
    {
        ScalePolicy.None => null,
        _ when !RecipeSpec.IsFp8(recipe.WeightGradient) => ("WeightGradientScaling", $"WeightGradient is {recipe.WeightGradient}, which needs no scale; make it E4M3 or E5M2, or remove WeightGradientScaling"),
        ScalePolicy.Current => null,
        ScalePolicy.Delayed => recipe.Scaling == ScalePolicy.Delayed ? null
            : ("WeightGradientScaling", $"'Scaling = ScalePolicy.{recipe.Scaling}' keeps no history of amax; use 'ScalePolicy.Current' for weight gradients"),
        _ => ("WeightGradientScaling", "a weight gradient has one scale; use 'ScalePolicy.Delayed' or 'ScalePolicy.Current'"),
    };

    /// <summary>What scales per row or block rule out.</summary>
    private static (string Role, string Reason)? GroupConflict(RecipeSpec recipe)
    {
        string scaling = "'ScalePolicy." + recipe.Scaling + "'";
        return recipe.AmaxHistory != 0 ? ("AmaxHistory", $"{scaling} takes every scale from the numbers it applies to, so AmaxHistory has no meaning; make it 0")
            : recipe.Margin != 0 ? ("Margin", $"{scaling} takes every scale from the numbers it applies to, which cannot overflow, so Margin has no meaning; make it 0")
            : recipe.Scaling == ScalePolicy.Block && !recipe.PromoteForward ? ("PromoteForward", $"{scaling} applies scales where products promote, so PromoteForward must be true")
            : recipe.Scaling == ScalePolicy.Block && !recipe.PromoteBackward ? ("PromoteBackward", $"{scaling} applies scales where products promote, so PromoteBackward must be true")
            : null;
    }

    /// <summary>F16 overflows where BF16 does not; overflow is found by a gradient norm that is not finite, and casts to FP8 saturate.</summary>
    private static (string Role, string Reason)? LossScaleConflict(RecipeSpec recipe) =>
        recipe.Compute == Format.F16 && recipe.UsesFp8 ? ("Compute", "casts to FP8 saturate, so an overflow of F16 would not be seen; Compute must be BF16 or F32 where products read FP8")
        : recipe.Compute == Format.F16 && RecipeSpec.IsFp8(recipe.WeightGradient) ? ("WeightGradient", "sums of FP8 gradients are stored in Compute before they are cast, where F16 would overflow unseen; WeightGradient must be F32 or BF16")
        : recipe.LossScaling == LossScaling.None ? null
        : recipe.Compute != Format.F16 ? ("LossScaling", "Compute is " + recipe.Compute + ", which has the range of F32, so 'LossScaling' must be 'LossScaling.None'")
        : recipe.InitialLossScale is < 1 or > 1 << 24 || (recipe.InitialLossScale & (recipe.InitialLossScale - 1)) != 0 ? ("InitialLossScale", "InitialLossScale must be a power of two from 1 to 16777216")
        : recipe.GrowthInterval is < 1 or > 1000000 ? ("GrowthInterval", "GrowthInterval must be between 1 and 1000000")
        : null;
}
