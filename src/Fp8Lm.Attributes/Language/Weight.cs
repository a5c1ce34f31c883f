using System;

namespace Fp8Lm;

/// <summary>
/// A trainable parameter: a <c>readonly</c> field (or get-only property) of a model or module. Matrices of linear layers are
/// <c>[outputs, inputs]</c>, embedding tables <c>[entries, features]</c>, gains and biases vectors, learned scalars <c>new Weight(1)</c>.
/// </summary>
/// <remarks>
/// In element-wise expressions a weight stands for the same value at every token, so <c>RmsNorm(x) * (1 + gain)</c> is
/// written as it reads.
/// </remarks>
public sealed class Weight
{
    /// <summary>Declares a parameter of the given shape.</summary>
    /// <param name="shape">One or two extents.</param>
    public Weight(params Dim[] shape)
    {
        _ = shape;
    }

    /// <summary>How it starts. Without it, matrices start as <c>Init.Normal(0.02)</c> and vectors as <see cref="Init.Zeros"/>.</summary>
    public Init? Init { get; init; }

    /// <summary>Whether AdamW's weight decay applies. Without it, matrices decay and vectors do not.</summary>
    public bool? Decay { get; init; }

    /// <summary>
    /// Whether recipes with FP8 run the three GEMMs of linears with this weight in FP8, as they do without it. False keeps them, and their
    /// operands, in the recipe's <see cref="RecipeDefinition.Compute"/> format; for linears that <c>plan</c> predicts to be slower in FP8. Only linears
    /// in repeated modules are FP8, so on other weights it is an error. A recipe with <see cref="RecipeDefinition.AllLinears"/> takes no notice.
    /// </summary>
    public bool Fp8 { get; init; } = true;

    /// <summary>The same value at every token.</summary>
    public static implicit operator Tensor(Weight weight) => throw Replaced.ByGenerator();

    /// <summary>Element-wise sum.</summary>
    [Op("add")]
    public static Tensor operator +(Weight left, Weight right) => throw Replaced.ByGenerator();

    /// <inheritdoc cref="op_Addition(Weight, Weight)"/>
    [Op("add")]
    public static Tensor operator +(Weight left, double right) => throw Replaced.ByGenerator();

    /// <inheritdoc cref="op_Addition(Weight, Weight)"/>
    [Op("add")]
    public static Tensor operator +(double left, Weight right) => throw Replaced.ByGenerator();

    /// <summary>Element-wise difference.</summary>
    [Op("sub")]
    public static Tensor operator -(Weight left, Weight right) => throw Replaced.ByGenerator();

    /// <inheritdoc cref="op_Subtraction(Weight, Weight)"/>
    [Op("sub")]
    public static Tensor operator -(Weight left, double right) => throw Replaced.ByGenerator();

    /// <inheritdoc cref="op_Subtraction(Weight, Weight)"/>
    [Op("sub")]
    public static Tensor operator -(double left, Weight right) => throw Replaced.ByGenerator();

    /// <summary>Element-wise product.</summary>
    [Op("mul")]
    public static Tensor operator *(Weight left, Weight right) => throw Replaced.ByGenerator();

    /// <inheritdoc cref="op_Multiply(Weight, Weight)"/>
    [Op("mul")]
    public static Tensor operator *(Weight left, double right) => throw Replaced.ByGenerator();

    /// <inheritdoc cref="op_Multiply(Weight, Weight)"/>
    [Op("mul")]
    public static Tensor operator *(double left, Weight right) => throw Replaced.ByGenerator();

    /// <summary>Element-wise quotient.</summary>
    [Op("div")]
    public static Tensor operator /(Weight left, Weight right) => throw Replaced.ByGenerator();

    /// <inheritdoc cref="op_Division(Weight, Weight)"/>
    [Op("div")]
    public static Tensor operator /(Weight left, double right) => throw Replaced.ByGenerator();

    /// <inheritdoc cref="op_Division(Weight, Weight)"/>
    [Op("div")]
    public static Tensor operator /(double left, Weight right) => throw Replaced.ByGenerator();

    /// <summary>Element-wise negation.</summary>
    [Op("neg")]
    public static Tensor operator -(Weight value) => throw Replaced.ByGenerator();
}
