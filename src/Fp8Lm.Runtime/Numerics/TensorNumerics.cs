using System;
using Fp8Lm.Execution;

namespace Fp8Lm.Numerics;

/// <summary>
/// What a cast has done to a tensor: counts and powers that can be added up over tensors, layers and steps, and the shares that people look at.
/// </summary>
/// <param name="Elements">Finite elements that were compared.</param>
/// <param name="NonFinite">Elements whose value before or after the cast is NaN or infinite; they count nowhere else.</param>
/// <param name="Underflow">Elements that were not zero and became zero.</param>
/// <param name="Saturated">Elements that sit at the largest magnitude of the format.</param>
/// <param name="Amax">Largest finite magnitude before the cast.</param>
/// <param name="Signal">Sum of squares before the cast.</param>
/// <param name="Noise">Sum of squared differences.</param>
public readonly record struct TensorNumerics(long Elements, long NonFinite, long Underflow, long Saturated, double Amax, double Signal, double Noise)
{
    /// <summary><see cref="Underflow"/> per element, 0 to 1.</summary>
    public double UnderflowShare => Elements == 0 ? 0 : (double)Underflow / Elements;

    /// <summary><see cref="Saturated"/> per element, 0 to 1.</summary>
    public double SaturatedShare => Elements == 0 ? 0 : (double)Saturated / Elements;

    /// <summary>Signal-to-noise ratio in dB, <c>10 log10(signal / noise)</c>; infinite for an exact cast, NaN for a tensor of zeros.</summary>
    public double SignalToNoise => Signal > 0 ? 10 * Math.Log10(Signal / Noise) : double.NaN;

    /// <summary>Both together.</summary>
    public static TensorNumerics operator +(TensorNumerics left, TensorNumerics right) => new(
        left.Elements + right.Elements, left.NonFinite + right.NonFinite, left.Underflow + right.Underflow, left.Saturated + right.Saturated,
        Math.Max(left.Amax, right.Amax), left.Signal + right.Signal, left.Noise + right.Noise);

    /// <summary>Compares values with their FP8 codes.</summary>
    /// <param name="values">F32 values before the cast.</param>
    /// <param name="codes">As many codes.</param>
    /// <param name="format">E4M3 or E5M2.</param>
    /// <param name="scale">What values were multiplied with before the cast; positive.</param>
    /// <exception cref="ArgumentException">Lengths differ, the format is not FP8, or the scale is no positive number.</exception>
    public static TensorNumerics Measure(ReadOnlySpan<float> values, ReadOnlySpan<byte> codes, ElementFormat format, float scale)
    {
        var measure = new Accumulator(codes, format, scale, values.Length);
        for (int i = 0; i < values.Length; i++)
        {
            measure.Add(values[i], i);
        }

        return measure.Result;
    }

    /// <summary>Compares F64 values with FP8 codes; otherwise as <see cref="Measure(ReadOnlySpan{float}, ReadOnlySpan{byte}, ElementFormat, float)"/>.</summary>
    /// <inheritdoc cref="Measure(ReadOnlySpan{float}, ReadOnlySpan{byte}, ElementFormat, float)"/>
    public static TensorNumerics Measure(ReadOnlySpan<double> values, ReadOnlySpan<byte> codes, ElementFormat format, float scale)
    {
        var measure = new Accumulator(codes, format, scale, values.Length);
        for (int i = 0; i < values.Length; i++)
        {
            measure.Add(values[i], i);
        }

        return measure.Result;
    }

    private ref struct Accumulator
    {
        private readonly ReadOnlySpan<byte> codes;
        private readonly float[] decoded;
        private readonly int largest;
        private readonly double scale;
        private long nonFinite;
        private long underflow;
        private long saturated;
        private double amax;
        private double signal;
        private double noise;

        public Accumulator(ReadOnlySpan<byte> codes, ElementFormat format, float scale, int count)
        {
            if (codes.Length != count)
            {
                throw new ArgumentException($"Every value has one code; got {count} values and {codes.Length} codes.", nameof(codes));
            }

            if (!(scale > 0f) || !float.IsFinite(scale))
            {
                throw new ArgumentException($"A scale is a positive number; got {scale}.", nameof(scale));
            }

            (decoded, largest) = format switch
            {
                ElementFormat.E4M3 => (e4m3, 0x7E),
                ElementFormat.E5M2 => (e5m2, 0x7B),
                _ => throw new ArgumentException($"Codes of one byte are E4M3 or E5M2; got {format}.", nameof(format)),
            };
            this.codes = codes;
            this.scale = scale;
        }

        public readonly TensorNumerics Result => new(codes.Length - nonFinite, nonFinite, underflow, saturated, amax, signal, noise);

        public void Add(double value, int index)
        {
            byte code = codes[index];
            double stored = decoded[code] / scale;
            if (!double.IsFinite(value) || !double.IsFinite(stored))
            {
                nonFinite++;
                return;
            }

            underflow += stored == 0 && value != 0 ? 1 : 0;
            saturated += (code & 0x7F) == largest ? 1 : 0;
            amax = Math.Max(amax, Math.Abs(value));
            signal += value * value;
            noise += (value - stored) * (value - stored);
        }
    }

    private static readonly float[] e4m3 = Decoded(E4M3.ToSingle);
    private static readonly float[] e5m2 = Decoded(E5M2.ToSingle);

    private static float[] Decoded(Func<byte, float> decode)
    {
        float[] values = new float[256];
        for (int code = 0; code < values.Length; code++)
        {
            values[code] = decode((byte)code);
        }

        return values;
    }
}
