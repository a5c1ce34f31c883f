using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Fp8Lm.Cpu;

// The polynomials interpolate at Chebyshev nodes; their own relative error is below 2e-8, a third of an F32 rounding step.
public static partial class VectorMath
{
    /// <summary>e^x within 2 units in the last place, subnormal results included.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Exp(Vector256<float> x)
    {
        // Beyond these the result is infinity or zero anyway; comparisons let NaN through.
        Vector256<float> high = Vector256.Create(89f), low = Vector256.Create(-104f);
        x = Vector256.ConditionalSelect(Vector256.GreaterThan(x, high), high, x);
        x = Vector256.ConditionalSelect(Vector256.LessThan(x, low), low, x);

        Vector256<float> p = ExpReduced(x, out Vector256<int> n);

        // 2^n leaves the exponent range at both ends, so it is applied in two halves.
        Vector256<int> half = n >> 1;
        return p * PowerOfTwo(half) * PowerOfTwo(n - half);
    }

    /// <summary>e^x for x that is at most a rounding error above zero, as in a softmax; results below the normal range become zero.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static Vector256<float> ExpNonPositive(Vector256<float> x)
    {
        // Where x is too small n wraps around and the product is nonsense, which the mask removes; NaN is not below anything and stays.
        Vector256<float> tiny = Vector256.LessThan(x, Vector256.Create(-87.3f));
        Vector256<float> p = ExpReduced(x, out Vector256<int> n);
        return Vector256.AndNot(p * PowerOfTwo(n), tiny);
    }

    /// <inheritdoc cref="Exp(Vector256{float})"/>
    public static float Exp(float x) => Exp(Vector256.CreateScalar(x)).ToScalar();

    /// <summary>Natural logarithm within 2 units in the last place; -infinity at zero, NaN below.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Log(Vector256<float> x)
    {
        // Subnormals are brought into the normal range first.
        Vector256<float> tiny = Vector256.LessThan(x, Vector256.Create(1.17549435e-38f));
        Vector256<float> scaled = Vector256.ConditionalSelect(tiny, x * 8388608f, x);
        Vector256<int> offset = tiny.AsInt32() & Vector256.Create(23);

        // x = 2^n m with m in [sqrt(1/2), sqrt(2)): measured from sqrt(1/2), the exponent field of the bits is n.
        Vector256<int> origin = Vector256.Create(0x3F3504F3);
        Vector256<int> distance = scaled.AsInt32() - origin;
        Vector256<int> n = distance >> 23;
        Vector256<float> f = ((distance & Vector256.Create(0x007FFFFF)) + origin).AsSingle() - Vector256<float>.One;
        Vector256<float> whole = Vector256.ConvertToSingle(n - offset);

        Vector256<float> p = Fma(Vector256.Create(-0.0790274377f), f, 0.126223198f);
        p = Fma(p, f, -0.129981838f);
        p = Fma(p, f, 0.142144959f);
        p = Fma(p, f, -0.166412815f);
        p = Fma(p, f, 0.200010451f);
        p = Fma(p, f, -0.250003064f);
        p = Fma(p, f, 0.333333307f);
        Vector256<float> square = f * f;
        Vector256<float> tail = Fma(p * f, square, whole * 1.42860682e-6f);
        tail = Fma(square, Vector256.Create(-0.5f), tail);
        Vector256<float> result = Fma(whole, Vector256.Create(0.693145752f), f + tail);

        Vector256<float> infinity = Vector256.Create(float.PositiveInfinity);
        result = Vector256.ConditionalSelect(Vector256.LessThan(x, infinity), result, x);
        result = Vector256.ConditionalSelect(Vector256.Equals(x, Vector256<float>.Zero), -infinity, result);
        return Vector256.ConditionalSelect(Vector256.LessThan(x, Vector256<float>.Zero), Vector256.Create(float.NaN), result);
    }

    /// <inheritdoc cref="Log(Vector256{float})"/>
    public static float Log(float x) => Log(Vector256.CreateScalar(x)).ToScalar();

    /// <summary>1 / (1 + e^-x).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Sigmoid(Vector256<float> x) => Vector256<float>.One / (Vector256<float>.One + Exp(-x));

    /// <inheritdoc cref="Sigmoid(Vector256{float})"/>
    public static float Sigmoid(float x) => Sigmoid(Vector256.CreateScalar(x)).ToScalar();

    /// <summary>Hyperbolic tangent within 3 units in the last place, small arguments included.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Tanh(Vector256<float> x)
    {
        Vector256<float> magnitude = Vector256.Abs(x);
        Vector256<float> sign = x & Vector256.Create(-0f);
        // From 9.1 on the result is one in F32, so the exponential stays in the range that one power of two reaches.
        Vector256<float> limit = Vector256.Create(9.1f);
        Vector256<float> clamped = Vector256.ConditionalSelect(Vector256.GreaterThan(magnitude, limit), limit, magnitude);
        Vector256<float> e = ExpReduced(clamped + clamped, out Vector256<int> n) * PowerOfTwo(n);
        Vector256<float> large = Vector256<float>.One - (Vector256.Create(2f) / (e + Vector256<float>.One));

        Vector256<float> square = x * x;
        Vector256<float> p = Fma(Vector256.Create(-0.00609671416f), square, 0.020997179f);
        p = Fma(p, square, -0.0538509096f);
        p = Fma(p, square, 0.133327697f);
        p = Fma(p, square, -0.333333289f);
        Vector256<float> small = Fma(p * square, x, x);
        return Vector256.ConditionalSelect(Vector256.LessThan(magnitude, Vector256.Create(0.625f)), small, large) | sign;
    }

    /// <inheritdoc cref="Tanh(Vector256{float})"/>
    public static float Tanh(float x) => Tanh(Vector256.CreateScalar(x)).ToScalar();

    /// <summary>Error function, relative error below 2e-7.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Erf(Vector256<float> x)
    {
        Vector256<float> sign = x & Vector256.Create(-0f);
        Vector256<float> t = Vector256.Abs(x);

        // Up to 1: x + x P(x^2). Above: 1 - e^(t Q(t)), which from 4 on is 1 in F32.
        Vector256<float> square = x * x;
        Vector256<float> p = Fma(Vector256.Create(7.87587506e-5f), square, -0.000801686429f);
        p = Fma(p, square, 0.00518908742f);
        p = Fma(p, square, -0.026854212f);
        p = Fma(p, square, 0.112835947f);
        p = Fma(p, square, -0.376126267f);
        p = Fma(p, square, 0.128379166f);
        Vector256<float> small = Fma(p, x, x);

        Vector256<float> limit = Vector256.Create(4f);
        Vector256<float> u = Vector256.ConditionalSelect(Vector256.GreaterThan(t, limit), limit, t);
        Vector256<float> q = Fma(Vector256.Create(2.16618044e-7f), u, -3.23675458e-6f);
        q = Fma(q, u, 1.58438845e-6f);
        q = Fma(q, u, 0.000331685447f);
        q = Fma(q, u, -0.00383551133f);
        q = Fma(q, u, 0.0243323056f);
        q = Fma(q, u, -0.107022514f);
        q = Fma(q, u, -0.634617255f);
        q = Fma(q, u, -1.12879281f);
        Vector256<float> large = Vector256<float>.One - Exp(q * u);
        return Vector256.ConditionalSelect(Vector256.LessThan(t, Vector256<float>.One), small, large) | sign;
    }

    /// <inheritdoc cref="Erf(Vector256{float})"/>
    public static float Erf(float x) => Erf(Vector256.CreateScalar(x)).ToScalar();

    /// <summary>e^r for x = n ln 2 + r, |r| at most half of ln 2.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> ExpReduced(Vector256<float> x, out Vector256<int> n)
    {
        // Adding 1.5 * 2^23 rounds to the nearest integer and leaves it in the low bits.
        Vector256<float> rounder = Vector256.Create(12582912f);
        Vector256<float> shifted = Fma(x, Vector256.Create(1.44269504f), rounder);
        n = shifted.AsInt32() - rounder.AsInt32();
        Vector256<float> whole = shifted - rounder;
        Vector256<float> r = Fma(whole, Vector256.Create(-0.693145752f), x);
        r = Fma(whole, Vector256.Create(-1.42860682e-6f), r);

        Vector256<float> p = Fma(Vector256.Create(0.00139261765f), r, 0.00836317307f);
        p = Fma(p, r, 0.0416665547f);
        p = Fma(p, r, 0.16666577f);
        p = Fma(p, r, 0.5f);
        return Fma(p, r * r, r) + Vector256<float>.One;
    }

    /// <summary>2^n for n in [-126, 127].</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<float> PowerOfTwo(Vector256<int> n) => ((n + Vector256.Create(127)) << 23).AsSingle();
}
