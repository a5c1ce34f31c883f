using System;
using System.Collections.Concurrent;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Reflection;
using System.Security.Cryptography;
using System.Text;
using System.Text.RegularExpressions;

namespace Fp8Lm.Cuda.Jit;

/// <summary>The device headers that kernels include as <c>&lt;fp8lm/...&gt;</c>; they are embedded in this assembly and reach NVRTC in memory.</summary>
public static partial class DeviceLibrary
{
    private const string Prefix = "fp8lm/";
    private static readonly Lazy<SortedDictionary<string, string>> Loaded = new(Load);
    private static readonly ConcurrentDictionary<string, string[]> Inclusions = new(StringComparer.Ordinal);

    /// <summary>Include name to text, in ordinal order of the names.</summary>
    public static IReadOnlyDictionary<string, string> Headers => Loaded.Value;

    /// <summary>Names of the headers that a text includes, directly and through others, in ordinal order. Unknown names are left to the compiler.</summary>
    public static IReadOnlyCollection<string> IncludedBy(string text)
    {
        SortedSet<string> found = new(StringComparer.Ordinal);
        Stack<string> open = new(DirectlyIncludedBy(text));
        while (open.TryPop(out string? name))
        {
            if (Headers.TryGetValue(name, out string? header) && found.Add(name))
            {
                foreach (string next in Inclusions.GetOrAdd(name, _ => DirectlyIncludedBy(header)))
                {
                    open.Push(next);
                }
            }
        }

        return found;
    }

    /// <summary>SHA-256 over names and texts of some headers, in hexadecimal.</summary>
    public static string Digest(IEnumerable<string> names)
    {
        ArgumentNullException.ThrowIfNull(names);
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (string name in names)
        {
            CacheKey.Append(hash, name);
            CacheKey.Append(hash, Headers[name]);
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    private static string[] DirectlyIncludedBy(string text) => [.. Include().Matches(text).Select(m => m.Groups[1].Value)];

    [GeneratedRegex(@"^\s*#\s*include\s*<([^>]+)>", RegexOptions.Multiline)]
    private static partial Regex Include();

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
}
