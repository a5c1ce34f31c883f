using System;
using System.Text;

namespace Fp8Lm.Training;

/// <summary>Random numbers as functions of a key and a counter: no state, so neither order, threads nor device can change them.</summary>
public static class CounterRandom
{
    /// <summary>64 well-mixed bits of a key and a counter (two rounds of the SplitMix64 finaliser).</summary>
    public static ulong Mix(ulong key, ulong counter) => Finish(Finish(key + 0x9E3779B97F4A7C15) + ((counter + 1) * 0x9E3779B97F4A7C15));

    /// <summary>A key for a name.</summary>
    public static ulong Key(ulong seed, string name)
    {
        ulong key = Mix(seed, 0x6B6579);
        foreach (byte b in Encoding.UTF8.GetBytes(name))
        {
            key = Mix(key, b);
        }

        return key;
    }

    /// <summary>Uniform in [0, 1).</summary>
    public static double Uniform(ulong key, ulong counter) => (Mix(key, counter) >> 11) * (1.0 / (1UL << 53));

    /// <summary>Two independent standard normal numbers (Box and Muller).</summary>
    public static (double First, double Second) NormalPair(ulong key, ulong counter)
    {
        // 1 - u lies in (0, 1], where the logarithm is finite.
        double radius = Math.Sqrt(-2 * Math.Log(1 - Uniform(key, 2 * counter)));
        (double sine, double cosine) = Math.SinCos(2 * Math.PI * Uniform(key, (2 * counter) + 1));
        return (radius * cosine, radius * sine);
    }

    /// <summary>The finaliser of SplitMix64.</summary>
    internal static ulong Finish(ulong z)
    {
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }
}
