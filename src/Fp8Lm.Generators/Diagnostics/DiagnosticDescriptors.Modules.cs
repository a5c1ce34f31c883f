using Microsoft.CodeAnalysis;

namespace Fp8Lm.Generators.Diagnostics;

/// <content>FP8L06xx: modules and repeated modules.</content>
internal static partial class DiagnosticDescriptors
{
    public static readonly DiagnosticDescriptor ModuleCycle = Error(
        "FP8L0601", "Module contains itself",
        "Module '{0}' contains itself: {1}. A module can hold only modules that do not lead back to it; use Repeat for a stack.");

    public static readonly DiagnosticDescriptor NotAModule = Error(
        "FP8L0602", "Class is not a module",
        "'{0}' is created as part of a model but has no [Fp8Module]. Write '[Fp8Module]' on the class.");

    public static readonly DiagnosticDescriptor ModuleIsNull = Error(
        "FP8L0603", "Module or weight is null",
        "'{0}' is null here. Give it a value, or test it with 'is not null' before.");

    public static readonly DiagnosticDescriptor RepeatIteratedTwice = Error(
        "FP8L0604", "Repeated module is iterated twice",
        "'{0}' is iterated a second time. Declare one Repeat per loop; layers that run together belong into one module.");

    public static readonly DiagnosticDescriptor RepeatNested = Error(
        "FP8L0605", "Repeat inside a repeated module",
        "'{0}' repeats modules inside a repeated module. Write the inner modules as fields, one by one.");

    public static readonly DiagnosticDescriptor RepeatFactory = Error(
        "FP8L0606", "Factory of a Repeat makes no module",
        "The factory of '{0}' must create one module, for example '() => new Block(Width, Heads)'");

    public static readonly DiagnosticDescriptor ModuleParameter = Error(
        "FP8L0607", "Constructor parameter has an unsupported type",
        "Parameter '{0}' has type '{1}'. Constructors of modules take Dim, numbers, bool, enums, Weight, modules and functions of tensors.");

    public static readonly DiagnosticDescriptor NoSource = Error(
        "FP8L0608", "Source is not available",
        "'{0}' is compiled elsewhere, so the generator cannot read it. Its source must be in this project.");

    public static readonly DiagnosticDescriptor ModuleIsGeneric = Error(
        "FP8L0609", "Module is generic",
        "Module '{0}' is generic. Take what differs as a constructor parameter instead.");

    public static readonly DiagnosticDescriptor RepeatUnused = Error(
        "FP8L0610", "Repeated module is never iterated",
        "No 'foreach' runs over '{0}'. Write 'foreach (var layer in {0}) x = layer.Forward(x);' or remove it.");
}
