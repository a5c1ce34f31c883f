namespace Fp8Lm.Execution;

/// <summary>How one element of a buffer is stored.</summary>
public enum ElementFormat
{
    /// <summary>IEEE binary32, 4 bytes.</summary>
    F32,
    /// <summary>bfloat16: the upper half of an F32, 2 bytes.</summary>
    BF16,
    /// <summary>FP8 E4M3 (OCP "FN"): largest value 448, NaN 0x7F/0xFF, no infinity, 1 byte.</summary>
    E4M3,
    /// <summary>FP8 E5M2: largest value 57344, infinities and NaNs, 1 byte.</summary>
    E5M2,
    /// <summary>IEEE binary16, 2 bytes.</summary>
    F16,
    /// <summary>32-bit signed integer (token ids, labels), 4 bytes.</summary>
    I32,
    /// <summary>Fixed point, 1 byte; the kernels that write and read it know of which range (<see cref="Numerics.FixedByte"/>).</summary>
    U8,
}

/// <summary>Sizes of the element formats.</summary>
public static class ElementFormats
{
    /// <summary>Bytes of one element.</summary>
    public static int Bytes(this ElementFormat format) => format switch
    {
        ElementFormat.F32 or ElementFormat.I32 => 4,
        ElementFormat.BF16 or ElementFormat.F16 => 2,
        _ => 1,
    };

    /// <summary>The largest number of a format that the optimizer stores with a scale; 0 for those with the range of F32, which need none.</summary>
    public static float ScaledMaximum(this ElementFormat format) => format switch
    {
        ElementFormat.F16 => 65504f,
        ElementFormat.E4M3 => 448f,
        ElementFormat.E5M2 => 57344f,
        _ => 0f,
    };
}
