namespace Fp8Lm;

/// <summary>
/// An extent of a model, such as its width or its number of heads. A dimension is a symbol: the compiler reasons about
/// <c>4 * Width</c> as written, and every <see cref="Size"/> gives it a value.
/// </summary>
/// <example>
/// <code>
/// static readonly Dim Width = new(), Heads = new();      // bound by sizes
/// static readonly Dim HeadSize = Width / Heads;           // derived
/// </code>
/// </example>
/// <remarks>Quotients are exact; a size for which one is not whole is reported at compile time.</remarks>
public sealed class Dim
{
    /// <summary>Declares a dimension that sizes give a value to; the name of the field is the name of the dimension.</summary>
    public Dim()
    {
    }

    /// <summary>A fixed extent.</summary>
    public static implicit operator Dim(int value)
    {
        _ = value;
        return new();
    }

    /// <summary>The sum of two extents.</summary>
    public static Dim operator +(Dim left, Dim right) => Derived(left, right);

    /// <summary>The difference of two extents; it must be positive at every size.</summary>
    public static Dim operator -(Dim left, Dim right) => Derived(left, right);

    /// <summary>The product of two extents.</summary>
    public static Dim operator *(Dim left, Dim right) => Derived(left, right);

    /// <summary>The quotient of two extents; it must be whole at every size.</summary>
    public static Dim operator /(Dim left, Dim right) => Derived(left, right);

    // Only the compiler knows what a dimension is worth; at run time the object is a mere token, for example as the key in a Size.
    private static Dim Derived(Dim left, Dim right)
    {
        _ = (left, right);
        return new();
    }
}
