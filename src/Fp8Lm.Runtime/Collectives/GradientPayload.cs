using System;
using System.Runtime.InteropServices;
using Fp8Lm.Cpu;
using Fp8Lm.Execution;
using Fp8Lm.Numerics;

namespace Fp8Lm.Collectives;

/// <summary>
/// One rank's gradients as they travel: FP8 codes of all tensors in one run of bytes, and a scale per tensor (<c>real = code / scale</c>). Knows nothing of
/// other ranks or of how bytes move.
/// </summary>
/// <remarks>
/// A scale is the product of a power of two from the amax (<see cref="BaseScale"/>) and a factor such as mu. They are kept apart, so that a factor neither
/// accumulates while the amax says nothing (a gradient that is zero) nor ends up on the wrong side of a reciprocal.
/// </remarks>
public sealed unsafe class GradientPayload
{
    /// <summary>Bounds of <see cref="BaseScale"/>: factors and the number of ranks then never take a scale or its inverse out of F32's range.</summary>
    public static readonly (float Least, float Most) BaseScaleRange = (MathF.ScaleB(1f, -90), MathF.ScaleB(1f, 90));

    private readonly CpuPool pool;
    private readonly byte[] codes;
    private readonly float maximum;
    private readonly float[] baseScale;
    private readonly float[] scale;
    private readonly uint[] amaxBits;
    private readonly CastCounts[] counts;

    /// <summary>Creates a payload of zeros with scales of 1.</summary>
    /// <param name="layout">Tensors and places.</param>
    /// <param name="format">E4M3 (FP8-LM's) or E5M2.</param>
    /// <param name="pool">Workers for the passes over the bytes.</param>
    /// <exception cref="ArgumentException">The format is not FP8.</exception>
    public GradientPayload(GradientLayout layout, ElementFormat format, CpuPool pool)
    {
        ArgumentNullException.ThrowIfNull(layout);
        ArgumentNullException.ThrowIfNull(pool);
        maximum = Fp8Formats.Maximum(format, nameof(format));
        Layout = layout;
        Format = format;
        this.pool = pool;
        codes = GC.AllocateArray<byte>(layout.Bytes, pinned: true);
        int tensors = layout.Tensors.Count;
        baseScale = new float[tensors];
        scale = new float[tensors];
        amaxBits = new uint[tensors];
        counts = new CastCounts[tensors];
        baseScale.AsSpan().Fill(1f);
        scale.AsSpan().Fill(1f);
    }

    /// <summary>Tensors and places.</summary>
    public GradientLayout Layout { get; }

    /// <summary>Format of the codes.</summary>
    public ElementFormat Format { get; }

    /// <summary>All codes, padding included: what a collective moves.</summary>
    public Memory<byte> Codes => codes;

    internal byte* Address => (byte*)Marshal.UnsafeAddrOfPinnedArrayElement(codes, 0);

    /// <summary>Codes of one tensor.</summary>
    public Span<byte> Tensor(int tensor) => codes.AsSpan(Layout.Offsets[tensor], Layout.Tensors[tensor].Elements);

    /// <summary>What real values of a tensor were multiplied with before the cast; after <see cref="Average"/>, N times that.</summary>
    public float Scale(int tensor) => scale[tensor];

    /// <summary>The power of two in <see cref="Scale"/> that comes from the amax.</summary>
    public float BaseScale(int tensor) => baseScale[tensor];

    /// <summary>Largest magnitude of the gradient at the last cast; NaN or infinite when the gradient is.</summary>
    public float Amax(int tensor) => BitConverter.UInt32BitsToSingle(amaxBits[tensor]);

    /// <summary>What the last cast of a tensor, and a requantisation after it, have counted.</summary>
    public CastCounts Counts(int tensor) => counts[tensor];

    /// <summary>Casts a gradient with a scale from its own amax: <c>FP8(gradient * S(amax) * factor)</c>.</summary>
    /// <param name="tensor">Number of the tensor.</param>
    /// <param name="gradient">F32, as many as the tensor has elements.</param>
    /// <param name="factor">mu, or another factor of the scale; positive.</param>
    /// <exception cref="ArgumentException">Wrong length, or a factor that is no positive number.</exception>
    public void Cast(int tensor, ReadOnlySpan<float> gradient, float factor)
    {
        CheckLength(tensor, gradient.Length);
        Cast(tensor, gradient, factor, BitConverter.UInt32BitsToSingle(PayloadKernels.Amax(pool, gradient)));
    }

    /// <summary>Casts a gradient whose amax its producer has recorded already, so that it is read once.</summary>
    /// <inheritdoc cref="Cast(int, ReadOnlySpan{float}, float)"/>
    /// <param name="tensor">Number of the tensor.</param>
    /// <param name="gradient">F32, as many as the tensor has elements.</param>
    /// <param name="factor">mu, or another factor of the scale; positive.</param>
    /// <param name="amax">Largest magnitude of the gradient; NaN or infinite when an element is.</param>
    public void Cast(int tensor, ReadOnlySpan<float> gradient, float factor, float amax)
    {
        CheckLength(tensor, gradient.Length);
        CheckFactor(tensor, factor);
        amaxBits[tensor] = BitConverter.SingleToUInt32Bits(amax) & 0x7FFFFFFF;
        baseScale[tensor] = Math.Clamp(PowerOfTwoScale.FromAmax(amax, maximum, baseScale[tensor]), BaseScaleRange.Least, BaseScaleRange.Most);
        scale[tensor] = baseScale[tensor] * factor;
        counts[tensor] = PayloadKernels.Cast(pool, Format, gradient, scale[tensor], Address + Layout.Offsets[tensor]);
    }

    /// <summary>
    /// Takes over a gradient that is FP8 already, with a scale of its own: <c>FP8(code * factor)</c>, which is what the cast of its real values with that scale and factor is. Powers of two
    /// round nothing unless a code leaves the normal range; another factor rounds once more.
    /// </summary>
    /// <param name="tensor">Number of the tensor.</param>
    /// <param name="gradient">Codes in <see cref="Format"/>, as many as the tensor has elements.</param>
    /// <param name="codeScale">Scale of the codes (<c>real = code / scale</c>), a power of two; not looked at when <paramref name="amax"/> is zero, infinite or NaN.</param>
    /// <param name="amax">Largest magnitude of the gradient before it was cast; NaN or infinite when an element was.</param>
    /// <param name="factor">mu, or another factor of the scale; positive.</param>
    /// <exception cref="ArgumentException">Wrong length, or a scale or factor that is no positive number.</exception>
    public void Cast(int tensor, ReadOnlySpan<byte> gradient, float codeScale, float amax, float factor)
    {
        CheckLength(tensor, gradient.Length);
        CheckFactor(tensor, factor);
        amaxBits[tensor] = BitConverter.SingleToUInt32Bits(amax) & 0x7FFFFFFF;
        float ratio = factor;
        if (amax > 0f && float.IsFinite(amax))
        {
            CheckFactor(tensor, codeScale);
            baseScale[tensor] = Math.Clamp(codeScale, BaseScaleRange.Least, BaseScaleRange.Most);
            ratio *= baseScale[tensor] / codeScale;
        }

        scale[tensor] = baseScale[tensor] * factor;
        gradient.CopyTo(Tensor(tensor));
        counts[tensor] = PayloadKernels.Requantise(pool, Format, Address + Layout.Offsets[tensor], gradient.Length, ratio);
    }

    /// <summary>
    /// Goes over to another base scale with the factor as it is. Both are powers of two, so codes that stay normal change in their exponent only. Nothing is
    /// read when the scale is that already.
    /// </summary>
    /// <param name="tensor">Number of the tensor.</param>
    /// <param name="shared">The new base scale, the smallest of all ranks.</param>
    /// <param name="factor">The factor of the cast.</param>
    public void Requantise(int tensor, float shared, float factor)
    {
        CheckFactor(tensor, factor);
        CheckFactor(tensor, shared);
        float ratio = shared / baseScale[tensor];
        baseScale[tensor] = shared;
        scale[tensor] = shared * factor;
        if (ratio != 1f)
        {
            CastCounts seen = PayloadKernels.Requantise(pool, Format, Address + Layout.Offsets[tensor], Layout.Tensors[tensor].Elements, ratio);

            // What underflowed in the cast stays zero; what sits at the top is counted anew.
            counts[tensor] = new CastCounts(counts[tensor].Underflow + seen.Underflow, seen.Saturated);
        }
    }

    /// <summary>Turns sums over the ranks into means without touching a code: the scale is multiplied by the number of ranks.</summary>
    public void Average(int tensor) => scale[tensor] *= Layout.Ranks;

    /// <summary>Real values of a tensor.</summary>
    /// <param name="tensor">Number of the tensor.</param>
    /// <param name="values">F32, as many as the tensor has elements.</param>
    /// <exception cref="ArgumentException">Wrong length.</exception>
    public void Read(int tensor, Span<float> values)
    {
        CheckLength(tensor, values.Length);
        PayloadKernels.Decode(pool, Format, Address + Layout.Offsets[tensor], 1f / scale[tensor], values);
    }

    /// <summary>The codes of a tensor have been made anew with this scale.</summary>
    internal void Rescale(int tensor, float ratio) => scale[tensor] *= ratio;

    /// <summary>What a checkpoint says.</summary>
    internal void RestoreBaseScale(int tensor, float value) => baseScale[tensor] = value;

    private void CheckLength(int tensor, int length)
    {
        GradientTensor expected = Layout.Tensors[tensor];
        if (length != expected.Elements)
        {
            throw new ArgumentException($"Gradient {expected.Name} has {expected.Elements} elements; got {length}.");
        }
    }

    private void CheckFactor(int tensor, float factor)
    {
        if (!(factor > 0f) || !float.IsFinite(factor))
        {
            throw new ArgumentException($"A scale of gradient {Layout.Tensors[tensor].Name} would be {factor}; scales and factors are positive numbers.");
        }
    }
}
