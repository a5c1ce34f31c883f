using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Reflection;
using System.Security.Cryptography;
using System.Text;

namespace Fp8Lm.Cuda.Jit;

/// <summary>The device headers that kernels include as <c>&lt;fp8lm/...&gt;</c>; they are embedded in this assembly and reach NVRTC in memory.</summary>
public static class DeviceLibrary
{
    private const string Prefix = "fp8lm/";
    private static readonly Lazy<SortedDictionary<string, string>> Loaded = new(Load);
    private static readonly Lazy<string> LoadedDigest = new(ComputeDigest);

    /// <summary>Include name to text, in ordinal order of the names.</summary>
    public static IReadOnlyDictionary<string, string> Headers => Loaded.Value;

    /// <summary>SHA-256 over all names and texts, in hexadecimal.</summary>
    public static string Digest => LoadedDigest.Value;

    private static SortedDictionary<string, string> Load()
    {
        Assembly assembly = typeof(DeviceLibrary).Assembly;
        SortedDictionary<string, string> headers = new(StringComparer.Ordinal);
        foreach (string name in assembly.GetManifestResourceNames().Where(name => name.StartsWith(Prefix, StringComparison.Ordinal)))
        {
            using StreamReader reader = new(assembly.GetManifestResourceStream(name)!, Encoding.UTF8);
            headers.Add(name, reader.ReadToEnd());
        }

        return headers;
    }

    private static string ComputeDigest()
    {
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach ((string name, string text) in Headers)
        {
            CacheKey.Append(hash, name);
            CacheKey.Append(hash, text);
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }
}
