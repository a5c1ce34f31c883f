namespace Fp8Lm;

public static partial class Ops
{
    /// <summary><c>|x|</c>.</summary>
    /// <param name="x">Any shape.</param>
    /// <returns>The shape of <paramref name="x"/>.</returns>
    [Op("abs")]
    public static Tensor Abs(Tensor x) => throw Replaced.ByGenerator();

    /// <summary><c>0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))</c>, the form of GPT-2 (Hendrycks and Gimpel 2016).</summary>
    /// <param name="x">Any shape.</param>
    /// <returns>The shape of <paramref name="x"/>.</returns>
    [Op("gelu")]
    public static Tensor Gelu(Tensor x) => throw Replaced.ByGenerator();

    /// <summary><c>0.5 x (1 + erf(x / sqrt(2)))</c>, the exact form (Hendrycks and Gimpel 2016).</summary>
    /// <param name="x">Any shape.</param>
    /// <returns>The shape of <paramref name="x"/>.</returns>
    [Op("gelu_erf")]
    public static Tensor GeluErf(Tensor x) => throw Replaced.ByGenerator();

    /// <summary><c>x sigmoid(x)</c>, also called swish (Elfwing et al. 2017).</summary>
    /// <param name="x">Any shape.</param>
    /// <returns>The shape of <paramref name="x"/>.</returns>
    [Op("silu")]
    public static Tensor Silu(Tensor x) => throw Replaced.ByGenerator();

    /// <summary><c>max(x, 0)</c>.</summary>
    /// <param name="x">Any shape.</param>
    /// <returns>The shape of <paramref name="x"/>.</returns>
    [Op("relu")]
    public static Tensor Relu(Tensor x) => throw Replaced.ByGenerator();

    /// <summary><c>max(x, 0)^2</c> (Primer, So et al. 2021).</summary>
    /// <param name="x">Any shape.</param>
    /// <returns>The shape of <paramref name="x"/>.</returns>
    [Op("squared_relu")]
    public static Tensor SquaredRelu(Tensor x) => throw Replaced.ByGenerator();

    /// <summary>Hyperbolic tangent.</summary>
    /// <param name="x">Any shape.</param>
    /// <returns>The shape of <paramref name="x"/>.</returns>
    [Op("tanh")]
    public static Tensor Tanh(Tensor x) => throw Replaced.ByGenerator();

    /// <summary><c>1 / (1 + exp(-x))</c>.</summary>
    /// <param name="x">Any shape.</param>
    /// <returns>The shape of <paramref name="x"/>.</returns>
    [Op("sigmoid")]
    public static Tensor Sigmoid(Tensor x) => throw Replaced.ByGenerator();

    /// <summary><c>e^x</c>.</summary>
    /// <param name="x">Any shape.</param>
    /// <returns>The shape of <paramref name="x"/>.</returns>
    [Op("exp")]
    public static Tensor Exp(Tensor x) => throw Replaced.ByGenerator();

    /// <summary>Natural logarithm.</summary>
    /// <param name="x">Any shape.</param>
    /// <returns>The shape of <paramref name="x"/>.</returns>
    [Op("log")]
    public static Tensor Log(Tensor x) => throw Replaced.ByGenerator();

    /// <summary>Square root.</summary>
    /// <param name="x">Any shape.</param>
    /// <returns>The shape of <paramref name="x"/>.</returns>
    [Op("sqrt")]
    public static Tensor Sqrt(Tensor x) => throw Replaced.ByGenerator();

    /// <summary><c>1 / sqrt(x)</c>.</summary>
    /// <param name="x">Any shape.</param>
    /// <returns>The shape of <paramref name="x"/>.</returns>
    [Op("rsqrt")]
    public static Tensor Rsqrt(Tensor x) => throw Replaced.ByGenerator();

    /// <summary><c>x^2</c>.</summary>
    /// <param name="x">Any shape.</param>
    /// <returns>The shape of <paramref name="x"/>.</returns>
    [Op("square")]
    public static Tensor Square(Tensor x) => throw Replaced.ByGenerator();

    /// <summary><c>x^exponent</c>; x should be positive unless the exponent is whole.</summary>
    /// <param name="x">Any shape.</param>
    /// <param name="exponent">A constant.</param>
    /// <returns>The shape of <paramref name="x"/>.</returns>
    [Op("pow")]
    public static Tensor Pow(Tensor x, double exponent) => throw Replaced.ByGenerator();

    /// <summary>The smaller of two values, element by element; shapes broadcast as for operators.</summary>
    /// <param name="left">Any shape.</param>
    /// <param name="right">A shape that broadcasts with it.</param>
    /// <returns>The common shape.</returns>
    [Op("min")]
    public static Tensor Min(Tensor left, Tensor right) => throw Replaced.ByGenerator();

    /// <summary>The smaller of value and constant.</summary>
    /// <param name="left">Any shape.</param>
    /// <param name="right">A constant.</param>
    /// <returns>The shape of <paramref name="left"/>.</returns>
    [Op("min")]
    public static Tensor Min(Tensor left, double right) => throw Replaced.ByGenerator();

    /// <summary>The smaller of constant and value.</summary>
    /// <param name="left">A constant.</param>
    /// <param name="right">Any shape.</param>
    /// <returns>The shape of <paramref name="right"/>.</returns>
    [Op("min")]
    public static Tensor Min(double left, Tensor right) => throw Replaced.ByGenerator();

    /// <summary>The larger of two values, element by element; shapes broadcast as for operators.</summary>
    /// <param name="left">Any shape.</param>
    /// <param name="right">A shape that broadcasts with it.</param>
    /// <returns>The common shape.</returns>
    [Op("max")]
    public static Tensor Max(Tensor left, Tensor right) => throw Replaced.ByGenerator();

    /// <summary>The larger of value and constant.</summary>
    /// <param name="left">Any shape.</param>
    /// <param name="right">A constant.</param>
    /// <returns>The shape of <paramref name="left"/>.</returns>
    [Op("max")]
    public static Tensor Max(Tensor left, double right) => throw Replaced.ByGenerator();

    /// <summary>The larger of constant and value.</summary>
    /// <param name="left">A constant.</param>
    /// <param name="right">Any shape.</param>
    /// <returns>The shape of <paramref name="right"/>.</returns>
    [Op("max")]
    public static Tensor Max(double left, Tensor right) => throw Replaced.ByGenerator();

    /// <summary><c>mask ? whenTrue : whenFalse</c>, element by element.</summary>
    /// <param name="mask">A comparison, such as <c>x &gt; 0</c>.</param>
    /// <param name="whenTrue">Taken where the comparison holds.</param>
    /// <param name="whenFalse">Taken elsewhere.</param>
    /// <returns>The common shape.</returns>
    [Op("select")]
    public static Tensor Select(Mask mask, Tensor whenTrue, Tensor whenFalse) => throw Replaced.ByGenerator();

    /// <summary><c>mask ? whenTrue : whenFalse</c>, element by element.</summary>
    /// <param name="mask">A comparison, such as <c>x &gt; 0</c>.</param>
    /// <param name="whenTrue">Taken where the comparison holds.</param>
    /// <param name="whenFalse">Taken elsewhere.</param>
    /// <returns>The common shape.</returns>
    [Op("select")]
    public static Tensor Select(Mask mask, Tensor whenTrue, double whenFalse) => throw Replaced.ByGenerator();

    /// <summary><c>mask ? whenTrue : whenFalse</c>, element by element.</summary>
    /// <param name="mask">A comparison, such as <c>x &gt; 0</c>.</param>
    /// <param name="whenTrue">Taken where the comparison holds.</param>
    /// <param name="whenFalse">Taken elsewhere.</param>
    /// <returns>The common shape.</returns>
    [Op("select")]
    public static Tensor Select(Mask mask, double whenTrue, Tensor whenFalse) => throw Replaced.ByGenerator();
}
