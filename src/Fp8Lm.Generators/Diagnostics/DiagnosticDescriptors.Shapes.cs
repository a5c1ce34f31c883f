using Microsoft.CodeAnalysis;

namespace Fp8Lm.Generators.Diagnostics;

/// <content>FP8L03xx: shapes of operands; all but 0316 and 0317 are found by shape inference.</content>
internal static partial class DiagnosticDescriptors
{
    public static readonly DiagnosticDescriptor ElementwiseShapes = Error(
        "FP8L0301", "Shapes of an element-wise operation differ",
        "'{0}' combines {1} and {2}. Axes are matched from the last one and must be equal or 1; change one of the operands or reshape it.");

    public static readonly DiagnosticDescriptor LinearFeatures = Error(
        "FP8L0302", "Linear: features and weight do not fit",
        "Linear reads {0} with a weight of shape {1}. The weight must be [outputs, inputs], and inputs must equal the last extent of the input.");

    public static readonly DiagnosticDescriptor WeightRank = Error(
        "FP8L0303", "Weight has the wrong number of axes",
        "'{0}' needs a weight with {1} axes, but found one with {2}. Matrices are [outputs, inputs] or [entries, features]; gains and biases have one axis.");

    public static readonly DiagnosticDescriptor VectorLength = Error(
        "FP8L0304", "Gain or bias has the wrong length",
        "'{0}' needs a gain or bias of length {1}, but found {2}. It has one value per feature of what it is applied to.");

    public static readonly DiagnosticDescriptor HeadSizes = Error(
        "FP8L0305", "Head sizes of query and key differ",
        "Attention compares queries with heads of size {0} and keys with heads of size {1}. Both must have the same head size.");

    public static readonly DiagnosticDescriptor HeadsExpected = Error(
        "FP8L0306", "Attention needs heads",
        "Attention needs [heads, headSize] for {0}, but found {1}. Write 'SplitHeads({0}, heads)' before the call.");

    public static readonly DiagnosticDescriptor HeadGroups = Error(
        "FP8L0307", "Query heads are no multiple of key/value heads",
        "At size '{0}' there are {1} query heads for {2} key/value heads. The first must be a multiple of the second.");

    public static readonly DiagnosticDescriptor ReshapeCount = Error(
        "FP8L0308", "Reshape changes the number of elements",
        "{0} cannot be viewed as {1}: the numbers of elements differ. Make the product of the new extents equal to that of the old ones.");

    public static readonly DiagnosticDescriptor SliceRange = Error(
        "FP8L0309", "Slice is out of range",
        "At size '{0}' the slice from {1} of length {2} does not lie inside an axis of {3}. Change start or length.");

    public static readonly DiagnosticDescriptor ConcatShapes = Error(
        "FP8L0310", "Concat: leading axes differ",
        "Concat joins {0} and {1} along the last axis, but their other axes differ. Reshape one of them first.");

    public static readonly DiagnosticDescriptor EmbedTable = Error(
        "FP8L0311", "Embedding table is no matrix",
        "An embedding table must be [entries, features], but found {0}. Declare it as 'new(Vocab, Width)'.");

    public static readonly DiagnosticDescriptor LogitsShape = Error(
        "FP8L0312", "Logits have more than one feature axis",
        "The loss needs logits of shape [vocabulary], but found {0}. End with a Linear onto the vocabulary; MergeHeads joins heads.");

    public static readonly DiagnosticDescriptor CarriedShape = Error(
        "FP8L0313", "Loop changes the shape of a value",
        "'{0}' enters a layer as {1} and leaves it as {2}. Layers must keep the shape of what they hand on.");

    public static readonly DiagnosticDescriptor RotaryDims = Error(
        "FP8L0314", "Rotary part does not fit the head",
        "At size '{0}' Rotary turns {1} features of heads of size {2}. The number must be even and at most the head size.");

    public static readonly DiagnosticDescriptor MaskOperand = Error(
        "FP8L0315", "Mask and tensor confused",
        "'{0}' got a Mask where it needs a Tensor, or the reverse. A Mask is made by a comparison and used by Select.");

    public static readonly DiagnosticDescriptor SplitCover = Error(
        "FP8L0316", "Split does not cover the axis",
        "The parts of Split add up to {0}, but the axis has {1}. Make the parts cover it, or use Slice.");

    public static readonly DiagnosticDescriptor ArgumentRange = Error(
        "FP8L0317", "Constant argument is out of range",
        "Argument '{0}' of {1} is {2}, but must be {3}");

    public static readonly DiagnosticDescriptor NeedsTokens = Error(
        "FP8L0318", "Op of tokens applied to weights alone",
        "'{0}' works on values of tokens, but found {1}, which is made of weights alone. Use element-wise ops, sums and maxima there, or combine it with a value of tokens first.");
}
