using Microsoft.CodeAnalysis;

namespace Fp8Lm.Generators.Diagnostics;

/// <content>FP8L01xx: models, dimensions and sizes.</content>
internal static partial class DiagnosticDescriptors
{
    public static readonly DiagnosticDescriptor ModelNotPartial = Error(
        "FP8L0101", "Model is not partial",
        "Model '{0}' is not partial, so the generator cannot add to it. Write 'partial class {0}'.");

    public static readonly DiagnosticDescriptor ContainerNotPartial = Error(
        "FP8L0102", "Containing type is not partial",
        "Model '{0}' is nested in '{1}', which is not partial. Write 'partial' on '{1}' too, or move the model out of it.");

    public static readonly DiagnosticDescriptor ModelIsGeneric = Error(
        "FP8L0103", "Model is generic",
        "'{0}' has type parameters, but a model is one architecture. Use dimensions and constructor parameters of modules instead.");

    public static readonly DiagnosticDescriptor ModelIsStatic = Error(
        "FP8L0104", "Model is static or abstract",
        "Model '{0}' is {1}, but weights are instance fields of a class that can be created. Remove '{1}'.");

    public static readonly DiagnosticDescriptor ForwardMissing = Error(
        "FP8L0105", "Forward is missing",
        "Model '{0}' has no method Forward. Write 'Tensor Forward(Tokens ids)' that returns logits, or 'Loss Forward(Tokens ids, Labels labels)'.");

    public static readonly DiagnosticDescriptor ForwardSignature = Error(
        "FP8L0106", "Forward has an unknown signature",
        "Forward is '{0}'. Write 'Tensor Forward(Tokens ids)' that returns logits, or 'Loss Forward(Tokens ids, Labels labels)'.");

    public static readonly DiagnosticDescriptor NoSizes = Error(
        "FP8L0107", "Model has no size",
        "Model '{0}' declares no size. Write '[ModelSize] static readonly Size Small = new() {{ {1} }};'.");

    public static readonly DiagnosticDescriptor SizeIncomplete = Error(
        "FP8L0108", "Size leaves a dimension open",
        "Size '{0}' gives no value to '{1}'. Add '[{1}] = ...' to its initializer.");

    public static readonly DiagnosticDescriptor SizeUnknownDim = Error(
        "FP8L0109", "Size sets something that is no dimension of the model",
        "Size '{0}' sets {1}, but only dimensions declared as 'static readonly Dim X = new();' and used by the model can be set");

    public static readonly DiagnosticDescriptor SizeDuplicateDim = Error(
        "FP8L0110", "Size sets a dimension twice",
        "Size '{0}' sets '{1}' twice. Keep one of the two values.");

    public static readonly DiagnosticDescriptor SizeValue = Error(
        "FP8L0111", "Size value is not a positive constant",
        "Size '{0}' sets '{1}' to {2}, but a size needs a positive whole number known at compile time");

    public static readonly DiagnosticDescriptor DimName = Error(
        "FP8L0112", "Dimension name is taken",
        "A dimension cannot be called '{0}': {1}. Rename the field.");

    public static readonly DiagnosticDescriptor DimNotReadonly = Error(
        "FP8L0113", "Dimension is not static readonly",
        "Dimension '{0}' must have one meaning for the whole model. Declare it as 'static readonly Dim {0}' with an initializer.");

    public static readonly DiagnosticDescriptor SizeDeclaration = Error(
        "FP8L0114", "Size is not a static readonly field with an initializer",
        "[ModelSize] field '{0}' must read 'static readonly Size {0} = new() {{ [Dimension] = value, ... }};'");

    public static readonly DiagnosticDescriptor ModelConstructor = Error(
        "FP8L0115", "Model constructor has parameters",
        "Model '{0}' is created by the generator, so its constructor takes no parameters. Use dimensions for what sizes decide and constants for the rest.");

    public static readonly DiagnosticDescriptor ModelBase = Error(
        "FP8L0116", "Model or module has a base class",
        "'{0}' derives from '{1}', whose members the generator does not read. Hold the common part as a module in a field instead.");

    public static readonly DiagnosticDescriptor SizeNotMarked = Warning(
        "FP8L0117", "Size is not marked",
        "Size '{0}' has no [ModelSize], so the model is not offered at it. Write '[ModelSize] static readonly Size {0} = ...'.");
}
