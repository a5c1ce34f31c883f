using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Fp8Lm.Cpu;

/// <summary>
/// The scalar functions of kernel programs on eight lanes. A lane's result depends on that lane alone, and the scalar overloads run the
/// same arithmetic on one lane, so tails and remainders equal the body bit for bit.
/// </summary>
public static partial class VectorMath
{
    /// <summary>Absolute value.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Abs(Vector256<float> x) => Vector256.Abs(x);

    /// <inheritdoc cref="Abs(Vector256{float})"/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Abs(float x) => float.Abs(x);

    /// <summary>Smaller of two; NaN if one is NaN.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Min(Vector256<float> a, Vector256<float> b) => Vector256.Min(a, b);

    /// <inheritdoc cref="Min(Vector256{float}, Vector256{float})"/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Min(float a, float b) => float.Min(a, b);

    /// <summary>Larger of two; NaN if one is NaN.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Max(Vector256<float> a, Vector256<float> b) => Vector256.Max(a, b);

    /// <inheritdoc cref="Max(Vector256{float}, Vector256{float})"/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Max(float a, float b) => float.Max(a, b);

    /// <summary><paramref name="a"/> where the mask's lane is all ones, else <paramref name="b"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Select(Vector256<float> mask, Vector256<float> a, Vector256<float> b) => Vector256.ConditionalSelect(mask, a, b);

    /// <inheritdoc cref="Select(Vector256{float}, Vector256{float}, Vector256{float})"/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Select(bool mask, float a, float b) => mask ? a : b;

    /// <summary>Largest integer that is not above.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Floor(Vector256<float> x) => Vector256.Floor(x);

    /// <inheritdoc cref="Floor(Vector256{float})"/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Floor(float x) => float.Floor(x);

    /// <summary>Square root, correctly rounded.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Sqrt(Vector256<float> x) => Vector256.Sqrt(x);

    /// <inheritdoc cref="Sqrt(Vector256{float})"/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Sqrt(float x) => float.Sqrt(x);

    /// <summary>1 / sqrt(x), both correctly rounded.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Rsqrt(Vector256<float> x) => Vector256<float>.One / Vector256.Sqrt(x);

    /// <inheritdoc cref="Rsqrt(Vector256{float})"/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Rsqrt(float x) => 1f / float.Sqrt(x);

    /// <summary>
    /// x to a constant power. Whole exponents up to 64 are products (of the reciprocal for negative ones), halves are roots; any other
    /// exponent goes lane by lane through <see cref="float.Pow(float, float)"/>.
    /// </summary>
    public static Vector256<float> Pow(Vector256<float> x, float exponent)
    {
        float magnitude = float.Abs(exponent);
        if (magnitude <= 64f && float.IsInteger(exponent))
        {
            Vector256<float> product = IntegerPower(x, (int)magnitude);
            return exponent < 0f ? Vector256<float>.One / product : product;
        }

        if (magnitude == 0.5f)
        {
            return exponent > 0f ? Sqrt(x) : Rsqrt(x);
        }

        Vector256<float> result = default;
        for (int lane = 0; lane < Vector256<float>.Count; lane++)
        {
            result = result.WithElement(lane, float.Pow(x.GetElement(lane), exponent));
        }

        return result;
    }

    /// <inheritdoc cref="Pow(Vector256{float}, float)"/>
    public static float Pow(float x, float exponent) => Pow(Vector256.CreateScalar(x), exponent).ToScalar();

    private static Vector256<float> IntegerPower(Vector256<float> x, int exponent)
    {
        Vector256<float> product = Vector256<float>.One;
        for (; exponent > 0; exponent >>= 1)
        {
            if ((exponent & 1) != 0)
            {
                product *= x;
            }

            x *= x;
        }

        return product;
    }

    /// <summary>a * b + c, rounded once.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Fma(Vector256<float> a, Vector256<float> b, Vector256<float> c) => Vector256.FusedMultiplyAdd(a, b, c);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> Fma(Vector256<float> a, Vector256<float> b, float c) => Vector256.FusedMultiplyAdd(a, b, Vector256.Create(c));
}
