using Microsoft.CodeAnalysis;

namespace Fp8Lm.Generators.Diagnostics;

/// <content>FP8L09xx: bugs of our own.</content>
internal static partial class DiagnosticDescriptors
{
    public static readonly DiagnosticDescriptor CompilerBug = Error(
        "FP8L0901", "Compiler error",
        "The model compiler failed in {0}: {1}. This is a bug in Fp8Lm; please report it with the model's source.");
}
