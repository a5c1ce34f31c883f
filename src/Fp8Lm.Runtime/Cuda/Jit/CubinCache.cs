using System;
using System.Diagnostics.CodeAnalysis;
using System.IO;
using System.Security.Cryptography;
using System.Text;

namespace Fp8Lm.Cuda.Jit;

/// <summary>
/// Compiled kernels on disk: <c>key.cubin</c>, <c>key.log</c> whose first line is the digest of the cubin, and <c>key.cu</c> for people.
/// Writers use a temporary file and a rename, so processes may share the folder; whatever does not verify is compiled again. The time of an entry's
/// log says when it was last used; <see cref="CacheEviction"/> removes what was not used for longest.
/// </summary>
internal sealed class CubinCache
{
    // A time is written this seldom, so that a start with a warm cache writes nothing as a rule.
    private static readonly TimeSpan TimePrecision = TimeSpan.FromHours(1);

    private readonly string folder;
    private readonly CacheEviction eviction;

    private CubinCache(string folder, long limit)
    {
        this.folder = folder;
        eviction = new CacheEviction(folder, limit);
    }

    /// <summary>The cache that FP8LM_CACHE names, by default in the user's cache folder; null when FP8LM_CACHE is <c>off</c> or the folder cannot be trusted.</summary>
    public static CubinCache? Default { get; } = Open(Environment.GetEnvironmentVariable("FP8LM_CACHE"));

    /// <summary>Opens the cache below <paramref name="setting"/> (null: the user's cache folder).</summary>
    public static CubinCache? Open(string? setting) => Open(setting, CacheEviction.LimitOf(Environment.GetEnvironmentVariable("FP8LM_CACHE_LIMIT")));

    /// <summary>Opens the cache; its entries take about <paramref name="limit"/> bytes at most.</summary>
    public static CubinCache? Open(string? setting, long limit)
    {
        if (string.Equals(setting, "off", StringComparison.OrdinalIgnoreCase))
        {
            return null;
        }

        string root = string.IsNullOrEmpty(setting) ? UserFolder() : Path.GetFullPath(setting);
        string kernels = Path.Combine(root, "kernels");
        return TryMakePrivate(kernels) ? new CubinCache(kernels, limit) : null;
    }

    /// <summary>Reads an entry; false when there is none or it is damaged.</summary>
    public bool TryRead(string key, [NotNullWhen(true)] out CompiledKernel? kernel)
    {
        kernel = null;
        try
        {
            string log = File.ReadAllText(PathOf(key, ".log"));
            byte[] cubin = File.ReadAllBytes(PathOf(key, ".cubin"));
            int firstLine = log.IndexOf('\n', StringComparison.Ordinal);
            if (firstLine < 0 || !log.AsSpan(0, firstLine).SequenceEqual(Digest(cubin)))
            {
                return false;
            }

            MarkUsed(PathOf(key, ".log"));
            kernel = new CompiledKernel(cubin, log[(firstLine + 1)..], FromCache: true);
            return true;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    /// <summary>Writes an entry; a full disk or a read-only folder costs the next start time, not this run.</summary>
    public void Write(string key, CompiledKernel kernel, string source)
    {
        try
        {
            Replace(PathOf(key, ".cu"), Encoding.UTF8.GetBytes(source));
            Replace(PathOf(key, ".cubin"), kernel.Cubin);
            Replace(PathOf(key, ".log"), Encoding.UTF8.GetBytes($"{Digest(kernel.Cubin)}\n{kernel.Log}"));
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
        }

        eviction.Written(source.Length + kernel.Cubin.Length + kernel.Log.Length);
    }

    private static void MarkUsed(string log)
    {
        try
        {
            DateTime now = DateTime.UtcNow;
            if (now - File.GetLastWriteTimeUtc(log) > TimePrecision)
            {
                File.SetLastWriteTimeUtc(log, now);
            }
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // Gone meanwhile, or a folder that may only be read; what was read is good.
        }
    }

    private static string Digest(byte[] bytes) => Convert.ToHexStringLower(SHA256.HashData(bytes));

    private string PathOf(string key, string extension) => Path.Combine(folder, key + extension);

    private void Replace(string path, byte[] content)
    {
        string temporary = Path.Combine(folder, Path.GetRandomFileName());
        try
        {
            using (FileStream stream = new(temporary, FileMode.CreateNew, FileAccess.Write))
            {
                stream.Write(content);
                stream.Flush(flushToDisk: true);
            }

            File.Move(temporary, path, overwrite: true);
        }
        finally
        {
            File.Delete(temporary);
        }
    }

    private static string UserFolder()
    {
        string? cache = Environment.GetEnvironmentVariable("XDG_CACHE_HOME");
        if (string.IsNullOrEmpty(cache))
        {
            cache = OperatingSystem.IsWindows()
                ? Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData)
                : Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".cache");
        }

        return Path.Combine(cache, "fp8lm");
    }

    /// <summary>Whoever can write here can run code on the GPU, so the folder belongs to the user alone; only its owner can set its mode.</summary>
    private static bool TryMakePrivate(string path)
    {
        try
        {
            if (OperatingSystem.IsWindows())
            {
                Directory.CreateDirectory(path);
            }
            else
            {
                const UnixFileMode Private = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute;
                Directory.CreateDirectory(path, Private);
                File.SetUnixFileMode(path, Private);
            }

            return true;
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }
}
