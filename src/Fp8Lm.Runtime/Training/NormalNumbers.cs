using System;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Fp8Lm.Training;

/// <summary>
/// The normal numbers of <see cref="CounterRandom.NormalPair"/>, four pairs at a time. Logarithm and sine are approximated here, so a result counts only
/// when every number within the error of the approximation rounds to the same F32; the few others are computed one by one. The values are
/// those of the plain formula, whatever the machine.
/// </summary>
internal static class NormalNumbers
{
    private const ulong Golden = 0x9E3779B97F4A7C15;

    // Of the logarithm and of what follows it (the platform's logarithm is off by 2^-52 at most, this one by 2^-50), and of sine and cosine: the plain
    // formula rounds the angle, this one does not, which is 2^-49.
    private const double RelativeError = 1.0 / (1L << 46);
    private const double AngleError = 1.0 / (1L << 48);

    /// <summary>Writes deviation times the normal numbers of pairs <paramref name="firstPair"/> and following; a last single place takes the first of its pair.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)] // a large model is initialised before the runtime would get round to it
    public static void Fill(Span<float> values, ulong key, ulong firstPair, double deviation)
    {
        int i = 0;
        ulong mixed = CounterRandom.Finish(key + Golden);
        for (; i + 8 <= values.Length; i += 8)
        {
            ulong pair = firstPair + ((ulong)i / 2);
            if (!TryEight(values.Slice(i, 8), mixed, pair, deviation))
            {
                One(values.Slice(i, 8), key, pair, deviation);
            }
        }

        One(values[i..], key, firstPair + ((ulong)i / 2), deviation);
    }

    private static void One(Span<float> values, ulong key, ulong firstPair, double deviation)
    {
        for (int i = 0; i < values.Length; i += 2)
        {
            (double a, double b) = CounterRandom.NormalPair(key, firstPair + ((ulong)i / 2));
            values[i] = (float)(a * deviation);
            if (i + 1 < values.Length)
            {
                values[i + 1] = (float)(b * deviation);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static bool TryEight(Span<float> values, ulong mixed, ulong pair, double deviation)
    {
        // Uniform numbers 2p and 2p + 1 of pair p have counters 2p + 1 and 2p + 2 in the mixing.
        Vector256<ulong> counter = Vector256.Create((2 * pair) + 1) + Vector256.Create(0UL, 2, 4, 6);
        Vector256<double> u = Uniform(mixed, counter), turn = Uniform(mixed, counter + Vector256<ulong>.One);
        Vector256<double> radius = Vector256.Sqrt(Vector256.Log(Vector256<double>.One - u) * -2.0);
        (Vector256<double> sine, Vector256<double> cosine) = SinCosOfTurn(turn);
        Vector256<double> first = radius * cosine * deviation, second = radius * sine * deviation;

        Vector256<double> angleError = radius * (deviation * AngleError);
        Vector256<double> error1 = (Vector256.Abs(first) * RelativeError) + angleError, error2 = (Vector256.Abs(second) * RelativeError) + angleError;
        Vector256<float> low = Vector256.Narrow(first - error1, second - error2), high = Vector256.Narrow(first + error1, second + error2);
        if (!Vector256.EqualsAll(low, high))
        {
            return false;
        }

        Vector256.Shuffle(low, Vector256.Create(0, 4, 1, 5, 2, 6, 3, 7)).CopyTo(values);
        return true;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<double> Uniform(ulong mixed, Vector256<ulong> counter)
    {
        Vector256<ulong> z = Vector256.Create(mixed) + (counter * Golden);
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        z ^= z >> 31;

        // 53 bits are a double without rounding.
        return Vector256.ConvertToDouble((z >> 11).AsInt64()) * (1.0 / (1UL << 53));
    }

    /// <summary>Sine and cosine of 2 pi t for t in [0, 1). The nearest quarter turn is taken off without rounding; what is left has a short series.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static (Vector256<double> Sine, Vector256<double> Cosine) SinCosOfTurn(Vector256<double> t)
    {
        Vector256<double> quarters = Vector256.Round(t * 4.0);
        Vector256<double> x = ((t * 4.0) - quarters) * (Math.PI / 2), x2 = x * x;

        // Taylor; the first term left out is below 2^-55 for |x| <= pi / 4.
        Vector256<double> s = Vector256.Create(1.0 / 355687428096000.0);
        s = (s * x2) - Vector256.Create(1.0 / 1307674368000.0);
        s = (s * x2) + Vector256.Create(1.0 / 6227020800.0);
        s = (s * x2) - Vector256.Create(1.0 / 39916800.0);
        s = (s * x2) + Vector256.Create(1.0 / 362880.0);
        s = (s * x2) - Vector256.Create(1.0 / 5040.0);
        s = (s * x2) + Vector256.Create(1.0 / 120.0);
        s = (s * x2) - Vector256.Create(1.0 / 6.0);
        s = (s * x2 * x) + x;

        Vector256<double> c = Vector256.Create(-1.0 / 6402373705728000.0);
        c = (c * x2) + Vector256.Create(1.0 / 20922789888000.0);
        c = (c * x2) - Vector256.Create(1.0 / 87178291200.0);
        c = (c * x2) + Vector256.Create(1.0 / 479001600.0);
        c = (c * x2) - Vector256.Create(1.0 / 3628800.0);
        c = (c * x2) + Vector256.Create(1.0 / 40320.0);
        c = (c * x2) - Vector256.Create(1.0 / 720.0);
        c = (c * x2) + Vector256.Create(1.0 / 24.0);
        c = (c * x2) - Vector256.Create(0.5);
        c = (c * x2) + Vector256<double>.One;

        // q quarter turns: sine and cosine change places for odd q; sine is negative for q = 2, 3, cosine for q = 1, 2.
        Vector256<long> q = Vector256.ConvertToInt64(quarters);
        Vector256<double> odd = Vector256.Equals(q & Vector256<long>.One, Vector256<long>.One).AsDouble();
        Vector256<double> sineSign = ((q & Vector256.Create(2L)) << 62).AsDouble(), cosineSign = (((q + Vector256<long>.One) & Vector256.Create(2L)) << 62).AsDouble();
        return (Vector256.ConditionalSelect(odd, c, s) ^ sineSign, Vector256.ConditionalSelect(odd, s, c) ^ cosineSign);
    }
}
