using System;
using System.Collections.Generic;
using Fp8Lm.Execution;

namespace Fp8Lm.Checkpoints;

/// <summary>One tensor of a safetensors file.</summary>
/// <param name="Name">Its name.</param>
/// <param name="DataType">Element type as safetensors spells it, for example <c>F32</c>.</param>
/// <param name="Shape">Extents.</param>
/// <param name="Start">Offset of the first byte in the data part of the file.</param>
/// <param name="Length">Number of bytes.</param>
public sealed record TensorEntry(string Name, string DataType, IReadOnlyList<long> Shape, long Start, long Length)
{
    /// <summary>Type and shape for messages, for example <c>F32[768, 64]</c>.</summary>
    public string Describe() => $"{DataType}[{string.Join(", ", Shape)}]";

    /// <summary>Bytes of one element of a safetensors type, or 0 for an unknown one.</summary>
    internal static int ElementBytes(string dataType) => dataType switch
    {
        "F64" or "I64" or "U64" => 8,
        "F32" or "I32" or "U32" => 4,
        "F16" or "BF16" or "I16" or "U16" => 2,
        "F8_E4M3" or "F8_E5M2" or "I8" or "U8" or "BOOL" => 1,
        _ => 0,
    };

    /// <summary>Bytes of a tensor of that type and shape; null when the type is unknown or the size does not fit 64 bits.</summary>
    internal static long? ByteLength(string dataType, IEnumerable<long> shape)
    {
        long bytes = ElementBytes(dataType);
        try
        {
            foreach (long extent in shape)
            {
                bytes = checked(bytes * extent);
            }
        }
        catch (OverflowException)
        {
            return null;
        }

        return ElementBytes(dataType) == 0 ? null : bytes;
    }

    /// <summary>The safetensors name of a format.</summary>
    internal static string DataTypeOf(ElementFormat format) => format switch
    {
        ElementFormat.F32 => "F32",
        ElementFormat.BF16 => "BF16",
        ElementFormat.F16 => "F16",
        ElementFormat.I32 => "I32",
        ElementFormat.E4M3 => "F8_E4M3",
        ElementFormat.E5M2 => "F8_E5M2",
        _ => throw new ArgumentOutOfRangeException(nameof(format)),
    };
}
