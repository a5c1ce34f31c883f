namespace Fp8Lm;

public static partial class Ops
{
    /// <summary>Sum over the last axis.</summary>
    /// <param name="x"><c>[..., C]</c>.</param>
    /// <returns><c>[..., 1]</c>, which broadcasts against <paramref name="x"/>.</returns>
    [Op("sum")]
    public static Tensor Sum(Tensor x) => throw Replaced.ByGenerator();

    /// <summary>Mean over the last axis.</summary>
    /// <param name="x"><c>[..., C]</c>.</param>
    /// <returns><c>[..., 1]</c>, which broadcasts against <paramref name="x"/>.</returns>
    [Op("mean")]
    public static Tensor Mean(Tensor x) => throw Replaced.ByGenerator();

    /// <summary>Largest value of the last axis.</summary>
    /// <param name="x"><c>[..., C]</c>.</param>
    /// <returns><c>[..., 1]</c>, which broadcasts against <paramref name="x"/>.</returns>
    [Op("reduce_max")]
    public static Tensor ReduceMax(Tensor x) => throw Replaced.ByGenerator();

    /// <summary><c>exp(x) / sum(exp(x))</c> over the last axis, computed after subtracting the maximum.</summary>
    /// <param name="x"><c>[..., C]</c>.</param>
    /// <returns>The shape of <paramref name="x"/>.</returns>
    [Op("softmax")]
    public static Tensor Softmax(Tensor x) => throw Replaced.ByGenerator();
}
