using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Fp8Lm.Cpu;

// Rotary angles reach the sequence length in radians, where F32 reduction has lost the phase; reduction and series run in F64.
public static partial class VectorMath
{
    /// <summary>Sine of angles up to 10^6 in magnitude, correct to F32 rounding.</summary>
    public static Vector256<float> Sin(Vector256<float> x) => Vector256.Narrow(SinQuadrant(Lower(x), 0), SinQuadrant(Upper(x), 0));

    /// <inheritdoc cref="Sin(Vector256{float})"/>
    public static float Sin(float x) => Sin(Vector256.CreateScalar(x)).ToScalar();

    /// <summary>Cosine of angles up to 10^6 in magnitude, correct to F32 rounding.</summary>
    public static Vector256<float> Cos(Vector256<float> x) => Vector256.Narrow(SinQuadrant(Lower(x), 1), SinQuadrant(Upper(x), 1));

    /// <inheritdoc cref="Cos(Vector256{float})"/>
    public static float Cos(float x) => Cos(Vector256.CreateScalar(x)).ToScalar();

    private static Vector256<double> Lower(Vector256<float> x) => Vector256.WidenLower(x);

    private static Vector256<double> Upper(Vector256<float> x) => Vector256.WidenUpper(x);

    /// <summary>sin(x + quarterTurns * pi / 2).</summary>
    private static Vector256<double> SinQuadrant(Vector256<double> x, long quarterTurns)
    {
        // Adding 1.5 * 2^52 rounds x * 2 / pi to an integer whose low bits are the quadrant.
        Vector256<double> rounder = Vector256.Create(6755399441055744.0);
        Vector256<double> shifted = Vector256.FusedMultiplyAdd(x, Vector256.Create(0.63661977236758138), rounder);
        Vector256<long> quadrant = shifted.AsInt64() + Vector256.Create(quarterTurns);
        Vector256<double> turns = shifted - rounder;
        Vector256<double> r = Vector256.FusedMultiplyAdd(turns, Vector256.Create(-1.5707963267948966), x);
        r = Vector256.FusedMultiplyAdd(turns, Vector256.Create(-6.123233995736766e-17), r);

        Vector256<double> s = r * r;
        Vector256<double> sine = Horner(s, -2.4805636241834365e-08, 2.7555990929565315e-06, -0.00019841266916985966, 0.0083333333310792231, -0.16666666666663885);
        sine = Vector256.FusedMultiplyAdd(sine * s, r, r);
        Vector256<double> cosine = Horner(s, 2.0700600483432832e-09, -2.7556369695573001e-07, 2.4801585210990515e-05, -0.0013888888887277342, 0.04166666666666468);
        cosine = Vector256.FusedMultiplyAdd(cosine, s, Vector256.Create(-0.5));
        cosine = Vector256.FusedMultiplyAdd(cosine, s, Vector256<double>.One);

        Vector256<double> odd = Vector256.Equals(quadrant & Vector256<long>.One, Vector256<long>.One).AsDouble();
        Vector256<double> negative = ((quadrant & Vector256.Create(2L)) << 62).AsDouble();
        return Vector256.ConditionalSelect(odd, cosine, sine) ^ negative;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<double> Horner(Vector256<double> x, double c4, double c3, double c2, double c1, double c0)
    {
        Vector256<double> p = Vector256.FusedMultiplyAdd(Vector256.Create(c4), x, Vector256.Create(c3));
        p = Vector256.FusedMultiplyAdd(p, x, Vector256.Create(c2));
        p = Vector256.FusedMultiplyAdd(p, x, Vector256.Create(c1));
        return Vector256.FusedMultiplyAdd(p, x, Vector256.Create(c0));
    }
}
