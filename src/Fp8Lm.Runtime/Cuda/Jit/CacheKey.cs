using System;
using System.Buffers.Binary;
using System.Collections.Generic;
using System.Security.Cryptography;
using System.Text;

namespace Fp8Lm.Cuda.Jit;

/// <summary>Names a compiled kernel by everything that goes into it.</summary>
internal static class CacheKey
{
    /// <summary>SHA-256 over compiler version, options (the architecture is one of them), device library and source, in hexadecimal.</summary>
    public static string Compute(Version nvrtc, IReadOnlyList<string> options, string libraryDigest, string source)
    {
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        Append(hash, nvrtc.ToString());
        foreach (string option in options)
        {
            Append(hash, option);
        }

        Append(hash, libraryDigest);
        Append(hash, source);
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    /// <summary>Adds one text with its length in front, so that two lists of texts never hash alike by concatenation.</summary>
    public static void Append(IncrementalHash hash, string text)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        Span<byte> length = stackalloc byte[sizeof(int)];
        BinaryPrimitives.WriteInt32LittleEndian(length, bytes.Length);
        hash.AppendData(length);
        hash.AppendData(bytes);
    }
}
