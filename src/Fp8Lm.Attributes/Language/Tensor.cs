namespace Fp8Lm;

/// <summary>
/// A value of the forward pass: one array of features per token, <c>[micro-batch, sequence, features...]</c>. Operators are element-wise and
/// broadcast trailing feature axes of extent 1, missing leading feature axes, weights and numbers.
/// </summary>
/// <remarks>Only the compiler holds tensors; see <see cref="Ops"/> for what can be done with them.</remarks>
public sealed class Tensor
{
    private Tensor()
    {
    }

    /// <summary>Element-wise sum.</summary>
    [Op("add")]
    public static Tensor operator +(Tensor left, Tensor right) => throw Replaced.ByGenerator();

    /// <inheritdoc cref="op_Addition(Tensor, Tensor)"/>
    [Op("add")]
    public static Tensor operator +(Tensor left, double right) => throw Replaced.ByGenerator();

    /// <inheritdoc cref="op_Addition(Tensor, Tensor)"/>
    [Op("add")]
    public static Tensor operator +(double left, Tensor right) => throw Replaced.ByGenerator();

    /// <summary>Element-wise difference.</summary>
    [Op("sub")]
    public static Tensor operator -(Tensor left, Tensor right) => throw Replaced.ByGenerator();

    /// <inheritdoc cref="op_Subtraction(Tensor, Tensor)"/>
    [Op("sub")]
    public static Tensor operator -(Tensor left, double right) => throw Replaced.ByGenerator();

    /// <inheritdoc cref="op_Subtraction(Tensor, Tensor)"/>
    [Op("sub")]
    public static Tensor operator -(double left, Tensor right) => throw Replaced.ByGenerator();

    /// <summary>Element-wise product.</summary>
    [Op("mul")]
    public static Tensor operator *(Tensor left, Tensor right) => throw Replaced.ByGenerator();

    /// <inheritdoc cref="op_Multiply(Tensor, Tensor)"/>
    [Op("mul")]
    public static Tensor operator *(Tensor left, double right) => throw Replaced.ByGenerator();

    /// <inheritdoc cref="op_Multiply(Tensor, Tensor)"/>
    [Op("mul")]
    public static Tensor operator *(double left, Tensor right) => throw Replaced.ByGenerator();

    /// <summary>Element-wise quotient.</summary>
    [Op("div")]
    public static Tensor operator /(Tensor left, Tensor right) => throw Replaced.ByGenerator();

    /// <inheritdoc cref="op_Division(Tensor, Tensor)"/>
    [Op("div")]
    public static Tensor operator /(Tensor left, double right) => throw Replaced.ByGenerator();

    /// <inheritdoc cref="op_Division(Tensor, Tensor)"/>
    [Op("div")]
    public static Tensor operator /(double left, Tensor right) => throw Replaced.ByGenerator();

    /// <summary>Element-wise negation.</summary>
    [Op("neg")]
    public static Tensor operator -(Tensor value) => throw Replaced.ByGenerator();

    /// <summary>Where the left value is less than the right one.</summary>
    [Op("lt")]
    public static Mask operator <(Tensor left, Tensor right) => throw Replaced.ByGenerator();

    /// <inheritdoc cref="op_LessThan(Tensor, Tensor)"/>
    [Op("lt")]
    public static Mask operator <(Tensor left, double right) => throw Replaced.ByGenerator();

    /// <inheritdoc cref="op_LessThan(Tensor, Tensor)"/>
    [Op("lt")]
    public static Mask operator <(double left, Tensor right) => throw Replaced.ByGenerator();

    /// <summary>Where the left value is at most the right one.</summary>
    [Op("le")]
    public static Mask operator <=(Tensor left, Tensor right) => throw Replaced.ByGenerator();

    /// <inheritdoc cref="op_LessThanOrEqual(Tensor, Tensor)"/>
    [Op("le")]
    public static Mask operator <=(Tensor left, double right) => throw Replaced.ByGenerator();

    /// <inheritdoc cref="op_LessThanOrEqual(Tensor, Tensor)"/>
    [Op("le")]
    public static Mask operator <=(double left, Tensor right) => throw Replaced.ByGenerator();

    /// <summary>Where the left value is greater than the right one.</summary>
    [Op("gt")]
    public static Mask operator >(Tensor left, Tensor right) => throw Replaced.ByGenerator();

    /// <inheritdoc cref="op_GreaterThan(Tensor, Tensor)"/>
    [Op("gt")]
    public static Mask operator >(Tensor left, double right) => throw Replaced.ByGenerator();

    /// <inheritdoc cref="op_GreaterThan(Tensor, Tensor)"/>
    [Op("gt")]
    public static Mask operator >(double left, Tensor right) => throw Replaced.ByGenerator();

    /// <summary>Where the left value is at least the right one.</summary>
    [Op("ge")]
    public static Mask operator >=(Tensor left, Tensor right) => throw Replaced.ByGenerator();

    /// <inheritdoc cref="op_GreaterThanOrEqual(Tensor, Tensor)"/>
    [Op("ge")]
    public static Mask operator >=(Tensor left, double right) => throw Replaced.ByGenerator();

    /// <inheritdoc cref="op_GreaterThanOrEqual(Tensor, Tensor)"/>
    [Op("ge")]
    public static Mask operator >=(double left, Tensor right) => throw Replaced.ByGenerator();

    /// <summary>Where the left value is equal to the right one.</summary>
    [Op("eq")]
    public static Mask operator ==(Tensor left, Tensor right) => throw Replaced.ByGenerator();

    /// <inheritdoc cref="op_Equality(Tensor, Tensor)"/>
    [Op("eq")]
    public static Mask operator ==(Tensor left, double right) => throw Replaced.ByGenerator();

    /// <inheritdoc cref="op_Equality(Tensor, Tensor)"/>
    [Op("eq")]
    public static Mask operator ==(double left, Tensor right) => throw Replaced.ByGenerator();

    /// <summary>Where the left value is different from the right one.</summary>
    [Op("ne")]
    public static Mask operator !=(Tensor left, Tensor right) => throw Replaced.ByGenerator();

    /// <inheritdoc cref="op_Inequality(Tensor, Tensor)"/>
    [Op("ne")]
    public static Mask operator !=(Tensor left, double right) => throw Replaced.ByGenerator();

    /// <inheritdoc cref="op_Inequality(Tensor, Tensor)"/>
    [Op("ne")]
    public static Mask operator !=(double left, Tensor right) => throw Replaced.ByGenerator();

    /// <inheritdoc/>
    public override bool Equals(object? obj) => ReferenceEquals(this, obj);

    /// <inheritdoc/>
    public override int GetHashCode() => base.GetHashCode();
}
