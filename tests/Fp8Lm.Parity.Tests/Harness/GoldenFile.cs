using System;
using System.Collections.Generic;
using System.IO;
using System.Runtime.InteropServices;
using Fp8Lm.Checkpoints;

namespace Fp8Lm.Parity.Tests.Harness;

/// <summary>Files of tests/golden.</summary>
internal static class GoldenFile
{
    public static string Path(string name) => System.IO.Path.Combine(AppContext.BaseDirectory, "golden", name);

    /// <summary>All tensors of a safetensors file, as numbers in double precision.</summary>
    public static Dictionary<string, double[]> Read(string name)
    {
        using SafetensorsFile file = SafetensorsFile.Open(Path(name));
        Dictionary<string, double[]> tensors = new(StringComparer.Ordinal);
        foreach (TensorEntry entry in file.Header.Tensors.Values)
        {
            byte[] bytes = new byte[entry.Length];
            file.Read(entry, (offset, piece) => piece.CopyTo(bytes.AsSpan((int)offset)));
            tensors[entry.Name] = entry.DataType switch
            {
                "F64" => MemoryMarshal.Cast<byte, double>(bytes).ToArray(),
                "F32" => System.Array.ConvertAll(MemoryMarshal.Cast<byte, float>(bytes).ToArray(), v => (double)v),
                "I32" => System.Array.ConvertAll(MemoryMarshal.Cast<byte, int>(bytes).ToArray(), v => (double)v),
                _ => throw new InvalidDataException($"{name}: {entry.Describe()}"),
            };
        }

        return tensors;
    }
}
