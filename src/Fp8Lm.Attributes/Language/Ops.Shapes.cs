namespace Fp8Lm;

public static partial class Ops
{
    /// <summary>Views the features as heads.</summary>
    /// <param name="x"><c>[C]</c>.</param>
    /// <param name="heads">Number of heads H; divides C.</param>
    /// <returns><c>[H, C / H]</c>.</returns>
    [Op("split_heads")]
    public static Tensor SplitHeads(Tensor x, Dim heads) => throw Replaced.ByGenerator();

    /// <summary>Views heads as one feature axis; the inverse of <see cref="SplitHeads"/>.</summary>
    /// <param name="x"><c>[H, D]</c>.</param>
    /// <returns><c>[H * D]</c>.</returns>
    [Op("merge_heads")]
    public static Tensor MergeHeads(Tensor x) => throw Replaced.ByGenerator();

    /// <summary>Views the features, in order, in another shape.</summary>
    /// <param name="x">Any shape.</param>
    /// <param name="shape">Feature axes with the same number of elements in all.</param>
    /// <returns><c>[shape]</c>.</returns>
    [Op("reshape")]
    public static Tensor Reshape(Tensor x, params Dim[] shape) => throw Replaced.ByGenerator();

    /// <summary>Part of the last axis.</summary>
    /// <param name="x"><c>[..., C]</c>.</param>
    /// <param name="start">First feature.</param>
    /// <param name="length">Number of features.</param>
    /// <returns><c>[..., length]</c>.</returns>
    [Op("slice")]
    public static Tensor Slice(Tensor x, Dim start, Dim length) => throw Replaced.ByGenerator();

    /// <summary>Cuts the last axis into two parts that cover it.</summary>
    /// <param name="x"><c>[..., C]</c>.</param>
    /// <param name="first">Extent of the first part.</param>
    /// <param name="second">Extent of the second part.</param>
    /// <returns><c>[..., first]</c>, <c>[..., second]</c>.</returns>
    [Op("split")]
    public static (Tensor First, Tensor Second) Split(Tensor x, Dim first, Dim second) => throw Replaced.ByGenerator();

    /// <summary>Cuts the last axis into three parts that cover it.</summary>
    /// <param name="x"><c>[..., C]</c>.</param>
    /// <param name="first">Extent of the first part.</param>
    /// <param name="second">Extent of the second part.</param>
    /// <param name="third">Extent of the third part.</param>
    /// <returns>The parts, in order.</returns>
    [Op("split")]
    public static (Tensor First, Tensor Second, Tensor Third) Split(Tensor x, Dim first, Dim second, Dim third) => throw Replaced.ByGenerator();

    /// <summary>Cuts the last axis into four parts that cover it.</summary>
    /// <param name="x"><c>[..., C]</c>.</param>
    /// <param name="first">Extent of the first part.</param>
    /// <param name="second">Extent of the second part.</param>
    /// <param name="third">Extent of the third part.</param>
    /// <param name="fourth">Extent of the fourth part.</param>
    /// <returns>The parts, in order.</returns>
    [Op("split")]
    public static (Tensor First, Tensor Second, Tensor Third, Tensor Fourth) Split(Tensor x, Dim first, Dim second, Dim third, Dim fourth) => throw Replaced.ByGenerator();

    /// <summary>Cuts the last axis into halves.</summary>
    /// <param name="x"><c>[..., C]</c>.</param>
    /// <returns>Two times <c>[..., C / 2]</c>.</returns>
    [Op("split_equal")]
    public static (Tensor First, Tensor Second) Split2(Tensor x) => throw Replaced.ByGenerator();

    /// <summary>Cuts the last axis into thirds.</summary>
    /// <param name="x"><c>[..., C]</c>.</param>
    /// <returns>Three times <c>[..., C / 3]</c>.</returns>
    [Op("split_equal")]
    public static (Tensor First, Tensor Second, Tensor Third) Split3(Tensor x) => throw Replaced.ByGenerator();

    /// <summary>Cuts the last axis into quarters.</summary>
    /// <param name="x"><c>[..., C]</c>.</param>
    /// <returns>Four times <c>[..., C / 4]</c>.</returns>
    [Op("split_equal")]
    public static (Tensor First, Tensor Second, Tensor Third, Tensor Fourth) Split4(Tensor x) => throw Replaced.ByGenerator();

    /// <summary>Joins values along the last axis.</summary>
    /// <param name="parts">At least two; all but the last axis agree.</param>
    /// <returns><c>[..., sum of the last extents]</c>.</returns>
    [Op("concat")]
    public static Tensor Concat(params Tensor[] parts) => throw Replaced.ByGenerator();
}
