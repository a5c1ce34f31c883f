using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Fp8Lm.Cpu;

// The counter-based generator; fp8lm::uniform in the device library computes the same integers:
//
//     mix(x):               x ^= x >> 16;  x *= 0x21F0AAAD;  x ^= x >> 15;  x *= 0xD35A2D97;  x ^= x >> 15
//     uniform(key, index):  h = mix(mix(index ^ key) + key * 0x9E3779B9 + 0x85EBCA6B);  (h >> 8) * 2^-24
//
// One round alone would give every key a permutation of the same sequence; the key enters again before the second.
public static partial class VectorMath
{
    private const uint KeyFactor = 0x9E3779B9;
    private const uint KeyOffset = 0x85EBCA6B;
    private const float UniformStep = 5.9604644775390625e-8f;

    /// <summary>A number in [0, 1) with 24 random bits, a function of key and index alone.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Uniform(uint key, uint index) => (Mix(unchecked(Mix(index ^ key) + (key * KeyFactor) + KeyOffset)) >> 8) * UniformStep;

    /// <inheritdoc cref="Uniform(uint, uint)"/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> Uniform(uint key, Vector256<uint> index)
    {
        Vector256<uint> first = Mix(index ^ Vector256.Create(key));
        Vector256<uint> second = Mix(first + Vector256.Create(unchecked((key * KeyFactor) + KeyOffset)));
        return Vector256.ConvertToSingle((second >> 8).AsInt32()) * UniformStep;
    }

    /// <summary><see cref="Uniform(uint, Vector256{uint})"/> of eight consecutive indices.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<float> UniformFrom(uint key, uint firstIndex) => Uniform(key, Vector256<uint>.Indices + Vector256.Create(firstIndex));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint Mix(uint x)
    {
        unchecked
        {
            x ^= x >> 16;
            x *= 0x21F0AAAD;
            x ^= x >> 15;
            x *= 0xD35A2D97;
            return x ^ (x >> 15);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector256<uint> Mix(Vector256<uint> x)
    {
        x ^= x >> 16;
        x *= 0x21F0AAADu;
        x ^= x >> 15;
        x *= 0xD35A2D97u;
        return x ^ (x >> 15);
    }
}
