using Microsoft.CodeAnalysis;

namespace Fp8Lm.Generators.Diagnostics;

/// <content>FP8L02xx: weights and how they are declared.</content>
internal static partial class DiagnosticDescriptors
{
    public static readonly DiagnosticDescriptor WeightUnused = Error(
        "FP8L0201", "Weight is never used",
        "Weight '{0}' does not reach the loss, so it would never be trained. Use it in Forward or remove it.");

    public static readonly DiagnosticDescriptor WeightAssignedTwice = Error(
        "FP8L0202", "Assigned twice",
        "'{0}' is assigned twice, so the first value would be lost. Keep one of the two assignments.");

    public static readonly DiagnosticDescriptor WeightNotReadonly = Error(
        "FP8L0203", "Weight or module is not readonly",
        "'{0}' must be the same object for the life of the model. Declare it as 'readonly {1} {0}' or as a get-only property.");

    public static readonly DiagnosticDescriptor WeightShape = Error(
        "FP8L0204", "Weight has no extents",
        "Weight '{0}' has no extents. Write its shape, for example 'new(Width)' or 'new(Outputs, Inputs)'; a learned scalar is 'new(1)'.");

    public static readonly DiagnosticDescriptor WeightOutsideDeclaration = Error(
        "FP8L0205", "Weight or module created in the forward pass",
        "'{0}' is created in the forward pass, but what is trained must outlive it. Declare a field 'readonly {0} name = ...' and use that.");

    public static readonly DiagnosticDescriptor WeightStatic = Error(
        "FP8L0206", "Weight or module is static",
        "'{0}' is static, but weights belong to one model object. Remove 'static'.");

    public static readonly DiagnosticDescriptor MemberNotAssigned = Error(
        "FP8L0207", "Weight or module has no value",
        "'{0}' is never given a value. Add an initializer, for example '= new(...)'.");

    public static readonly DiagnosticDescriptor GainStartsAtZero = Warning(
        "FP8L0208", "Gain starts at zero",
        "Weight '{0}' is the gain of {1} and starts at zero, so nothing passes and nothing is learned behind it. Write 'new(...) {{ Init = Init.Ones }}'.");

    public static readonly DiagnosticDescriptor MemberReassigned = Error(
        "FP8L0209", "Field assigned in the forward pass",
        "'{0}' is assigned in the forward pass, but fields do not change while a model runs. Use a local variable.");

    public static readonly DiagnosticDescriptor InitValue = Error(
        "FP8L0210", "Initial value is not a constant",
        "The initial value {0} is not usable. Expected {1}.");

    public static readonly DiagnosticDescriptor WeightFp8 = Error(
        "FP8L0211", "Opting out of FP8 where nothing is FP8",
        "Weight '{0}' says 'Fp8 = false', but no Linear in a repeated module reads it, so no recipe would use FP8 there. Remove 'Fp8 = false'.");
}
