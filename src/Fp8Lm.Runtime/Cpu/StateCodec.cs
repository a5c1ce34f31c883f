using System;
using System.Runtime.Intrinsics;
using Fp8Lm.Execution;

namespace Fp8Lm.Cpu;

/// <summary>Numbers to and from the formats of the optimizer's states, by the same casts as its kernels.</summary>
internal static unsafe class StateCodec
{
    private const int Lanes = Simd.Lanes;

    /// <summary>Rounds values times a scale; the format's largest number is where they saturate.</summary>
    public static void Encode(ReadOnlySpan<float> values, ElementFormat format, float scale, Span<byte> bytes)
    {
        switch (format)
        {
            case ElementFormat.F32:
                Encode<F32State>(values, scale, bytes);
                break;
            case ElementFormat.BF16:
                Encode<BF16State>(values, scale, bytes);
                break;
            case ElementFormat.F16:
                Encode<F16State>(values, scale, bytes);
                break;
            case ElementFormat.E4M3:
                Encode<E4M3State>(values, scale, bytes);
                break;
            case ElementFormat.E5M2:
                Encode<E5M2State>(values, scale, bytes);
                break;
            default:
                throw new ArgumentOutOfRangeException(nameof(format), format, "No state has this format.");
        }
    }

    /// <summary>Values times the reciprocal of their scale.</summary>
    public static void Decode(ReadOnlySpan<byte> bytes, ElementFormat format, float inverse, Span<float> values)
    {
        switch (format)
        {
            case ElementFormat.F32:
                Decode<F32State>(bytes, inverse, values);
                break;
            case ElementFormat.BF16:
                Decode<BF16State>(bytes, inverse, values);
                break;
            case ElementFormat.F16:
                Decode<F16State>(bytes, inverse, values);
                break;
            case ElementFormat.E4M3:
                Decode<E4M3State>(bytes, inverse, values);
                break;
            case ElementFormat.E5M2:
                Decode<E5M2State>(bytes, inverse, values);
                break;
            default:
                throw new ArgumentOutOfRangeException(nameof(format), format, "No state has this format.");
        }
    }

    /// <summary>Stores values in groups, each with a scale and an exponent of its own.</summary>
    /// <param name="values">The values; every group but the last has all of its elements.</param>
    /// <param name="format">E4M3 or E5M2.</param>
    /// <param name="groups">Gets the groups; one with a number that is not finite stays as it is.</param>
    /// <param name="bytes">Gets the elements.</param>
    public static void EncodeGroups(ReadOnlySpan<float> values, ElementFormat format, Span<MomentGroup> groups, Span<byte> bytes)
    {
        float* padded = stackalloc float[MomentGroup.Elements];
        byte* rounded = stackalloc byte[MomentGroup.Elements];
        for (int i = 0; i < values.Length; i += MomentGroup.Elements)
        {
            int n = Math.Min(MomentGroup.Elements, values.Length - i);
            var lanes = new Span<float>(padded, MomentGroup.Elements);
            values.Slice(i, n).CopyTo(lanes);
            lanes[n..].Clear();
            ref MomentGroup group = ref groups[i / MomentGroup.Elements];
            if (format == ElementFormat.E4M3)
            {
                group.Compress<GroupedState<E4M3State>>(padded, MomentGroup.Elements, rounded);
            }
            else
            {
                group.Compress<GroupedState<E5M2State>>(padded, MomentGroup.Elements, rounded);
            }

            new Span<byte>(rounded, n).CopyTo(bytes[i..]);
        }
    }

    /// <summary>The values of what <see cref="EncodeGroups"/> has stored.</summary>
    public static void DecodeGroups(ReadOnlySpan<byte> bytes, ElementFormat format, ReadOnlySpan<MomentGroup> groups, Span<float> values)
    {
        Decode(bytes, format, 1f, values);
        Span<float> lanes = stackalloc float[Lanes];
        for (int i = 0; i < values.Length; i += Lanes)
        {
            int n = Math.Min(Lanes, values.Length - i);
            values.Slice(i, n).CopyTo(lanes);
            MomentGroup group = groups[i / MomentGroup.Elements];
            Vector256<float> stored = Vector256.Create<float>(lanes);
            (format == ElementFormat.E4M3 ? group.Expand<GroupedState<E4M3State>>(stored) : group.Expand<GroupedState<E5M2State>>(stored)).CopyTo(lanes);
            lanes[..n].CopyTo(values[i..]);
        }
    }

    private static void Encode<T>(ReadOnlySpan<float> values, float scale, Span<byte> bytes) where T : struct, IStateFormat
    {
        Span<float> lanes = stackalloc float[Lanes];
        Span<byte> rounded = stackalloc byte[Lanes * sizeof(float)];
        for (int i = 0; i < values.Length; i += Lanes)
        {
            int n = Math.Min(Lanes, values.Length - i);
            lanes.Clear();
            values.Slice(i, n).CopyTo(lanes);
            if (T.Maximum > 0f)
            {
                foreach (ref float value in lanes)
                {
                    // NaN stays NaN.
                    value *= scale;
                    value = value > T.Maximum ? T.Maximum : value < -T.Maximum ? -T.Maximum : value;
                }
            }

            fixed (float* from = lanes)
            fixed (byte* to = rounded)
            {
                T.Store(to, Simd.Load(from));
            }

            rounded[..(n * T.Bytes)].CopyTo(bytes[(i * T.Bytes)..]);
        }
    }

    private static void Decode<T>(ReadOnlySpan<byte> bytes, float inverse, Span<float> values) where T : struct, IStateFormat
    {
        Span<byte> stored = stackalloc byte[Lanes * sizeof(float)];
        Span<float> lanes = stackalloc float[Lanes];
        for (int i = 0; i < values.Length; i += Lanes)
        {
            int n = Math.Min(Lanes, values.Length - i);
            stored.Clear();
            bytes.Slice(i * T.Bytes, n * T.Bytes).CopyTo(stored);
            fixed (byte* from = stored)
            fixed (float* to = lanes)
            {
                Simd.Store(to, T.Load(from) * (T.Maximum > 0f ? inverse : 1f));
            }

            lanes[..n].CopyTo(values[i..]);
        }
    }
}
