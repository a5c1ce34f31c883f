using Microsoft.CodeAnalysis;

namespace Fp8Lm.Generators.Diagnostics;

/// <content>FP8L07xx: the C# that a forward pass may use.</content>
internal static partial class DiagnosticDescriptors
{
    public static readonly DiagnosticDescriptor Statement = Error(
        "FP8L0701", "Statement is not part of the language",
        "{0} cannot be compiled into a model. {1}.");

    public static readonly DiagnosticDescriptor Expression = Error(
        "FP8L0702", "Expression is not part of the language",
        "{0} cannot be compiled into a model. {1}.");

    public static readonly DiagnosticDescriptor Call = Error(
        "FP8L0703", "Call is not part of the language",
        "'{0}' is no operation of the language and no method the generator can read. Use the operations of Fp8Lm.Ops, or methods of your own made of them.");

    public static readonly DiagnosticDescriptor ConditionOnDim = Error(
        "FP8L0704", "Condition depends on a dimension",
        "The condition depends on dimension {0}, which differs between sizes, but all sizes share one program. Use a bool or int constructor parameter.");

    public static readonly DiagnosticDescriptor ConditionOnTensor = Error(
        "FP8L0705", "Condition depends on data",
        "The condition depends on {0}, which is known only while the model runs. Use 'Select(mask, a, b)' to choose per element.");

    public static readonly DiagnosticDescriptor Recursion = Error(
        "FP8L0706", "Recursion",
        "'{0}' calls itself. Calls are inlined, so they must end; write the repetition as Repeat or as a 'for' with constant bounds.");

    public static readonly DiagnosticDescriptor UnsupportedType = Error(
        "FP8L0707", "Type is not part of the language",
        "'{0}' has type '{1}', which cannot occur in a model. Use Tensor, Mask, Dim, numbers, bool, enums, tuples, weights and modules.");

    public static readonly DiagnosticDescriptor NoValue = Error(
        "FP8L0708", "Value is missing",
        "'{0}' has no value here. Assign it before.");

    public static readonly DiagnosticDescriptor Indexing = Error(
        "FP8L0709", "Tensors are not indexed",
        "A tensor has no indexer. Use 'Slice(x, start, length)', 'Split(...)' or 'Split2(x)' for parts of the last axis.");

    public static readonly DiagnosticDescriptor ForeachCollection = Error(
        "FP8L0710", "foreach over something else than a Repeat",
        "'foreach' runs over {0}. Iterate a Repeat field, or write a 'for' with constant bounds.");

    public static readonly DiagnosticDescriptor LeavesLoop = Error(
        "FP8L0711", "Jump out of the layers",
        "'{0}' leaves a loop over layers, but every layer runs. Assign a local in the loop and use it afterwards.");

    public static readonly DiagnosticDescriptor CarriedValue = Error(
        "FP8L0712", "Value cannot be handed from layer to layer",
        "'{0}' is assigned in a loop over layers and is {1} before it. Only tensors with a value before the loop are handed on; declare others inside the loop.");

    public static readonly DiagnosticDescriptor ForBounds = Error(
        "FP8L0713", "Loop bounds are not constant",
        "This 'for' needs a condition on constants and at most {0} iterations. Use Repeat for layers.");

    public static readonly DiagnosticDescriptor RefParameter = Error(
        "FP8L0714", "Parameter is passed by reference",
        "Parameter '{0}' is passed by '{1}'. Return the value instead; several values as a tuple.");

    public static readonly DiagnosticDescriptor CrossEntropyPlace = Error(
        "FP8L0715", "Loss is not the result of the model",
        "CrossEntropy {0}. Call it once, outside of loops, and return it from Forward.");

    public static readonly DiagnosticDescriptor NotConstant = Error(
        "FP8L0716", "Argument is not a constant",
        "'{0}' needs {1} known at compile time, but got {2}. Use a literal, a const or a constructor parameter.");

    public static readonly DiagnosticDescriptor TooLarge = Error(
        "FP8L0717", "Model is too large",
        "The forward pass has more than {0} operations after inlining. Use Repeat for layers instead of unrolled loops.");

    public static readonly DiagnosticDescriptor Arithmetic = Error(
        "FP8L0718", "Constant expression has no value",
        "The constant expression '{0}' cannot be computed: {1}");

    public static readonly DiagnosticDescriptor CapturedAssignment = Error(
        "FP8L0719", "Captured variable assigned in a loop over layers",
        "'{0}' is assigned by a function that is called in a loop over layers, but lives outside of it. Return the value from the function.");
}
