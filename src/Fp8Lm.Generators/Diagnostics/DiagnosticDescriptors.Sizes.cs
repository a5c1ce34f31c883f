using Microsoft.CodeAnalysis;

namespace Fp8Lm.Generators.Diagnostics;

/// <content>FP8L04xx: what a declared size makes of symbolic extents.</content>
internal static partial class DiagnosticDescriptors
{
    public static readonly DiagnosticDescriptor NotWhole = Error(
        "FP8L0401", "Dimension is not whole at a size",
        "At size '{0}' the dimension {1} is {2}. It must be a positive whole number; change the size.");

    public static readonly DiagnosticDescriptor Fp8Alignment = Error(
        "FP8L0402", "FP8 GEMM extent is not a multiple of 16",
        "At size '{0}' the extent {1} is {2}, but FP8 GEMMs need multiples of 16. The nearest is {3}.");

    public static readonly DiagnosticDescriptor HeadSizeAlignment = Error(
        "FP8L0403", "Head size is not supported",
        "At size '{0}' the head size {1} is {2}, but attention kernels need a multiple of 16 up to 256. Change the width or the number of heads.");

    public static readonly DiagnosticDescriptor Bf16Pitch = Error(
        "FP8L0404", "Row of 16-bit values is not a multiple of 8",
        "At size '{0}' rows of {1} = {2} 16-bit values are not 16-byte aligned. Use a multiple of 8.");

    public static readonly DiagnosticDescriptor DimQuotient = Error(
        "FP8L0405", "Quotient of dimensions is not expressible",
        "'{0} / {1}' is no product of dimensions. Declare the result as a dimension of its own and bind it in the sizes.");
}
