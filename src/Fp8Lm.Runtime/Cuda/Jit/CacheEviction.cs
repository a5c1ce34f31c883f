using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Threading;

namespace Fp8Lm.Cuda.Jit;

/// <summary>
/// Keeps a folder of compiled kernels below a limit by removing the entries that were not used for longest. One process at a time looks through the folder, others
/// go on without waiting. An entry loses its log first, without which nobody reads it, so a process that reads or writes the entry
/// meanwhile has it whole or compiles it again. Nothing here fails: what cannot be removed stays.
/// </summary>
internal sealed class CacheEviction
{
    /// <summary>MiB when nothing else is asked for: some 40,000 kernels.</summary>
    public const int DefaultLimit = 512;

    private const string LockName = "eviction.lock";
    private const int LooksPerLimit = 16;

    // What a writer that was killed has left.
    private static readonly TimeSpan AbandonedAfter = TimeSpan.FromDays(1);

    // How long processes that write little rely on the last look of any process.
    private static readonly TimeSpan LookAgainAfter = TimeSpan.FromMinutes(10);

    private static readonly string[] extensions = [".log", ".cubin", ".cu"];

    private readonly string folder;
    private readonly long limit;
    private long written;
    private int looked;

    public CacheEviction(string folder, long limit)
    {
        this.folder = folder;
        this.limit = limit;
    }

    /// <summary>Bytes for a number of MiB as the user wrote it; the default where it is no positive whole number.</summary>
    public static long LimitOf(string? setting) =>
        (long.TryParse(setting, NumberStyles.None, CultureInfo.InvariantCulture, out long limit) && limit is > 0 and < 1L << 40 ? limit : DefaultLimit) << 20;

    /// <summary>Notes that an entry was written, and looks through the folder from time to time: at most a sixteenth of the limit is written between two looks.</summary>
    public void Written(long bytes)
    {
        bool much = Interlocked.Add(ref written, bytes) >= limit / LooksPerLimit;
        bool first = Interlocked.Exchange(ref looked, 1) == 0;
        if (!much && !first)
        {
            return;
        }

        try
        {
            string path = Path.Combine(folder, LockName);
            if (!much && DateTime.UtcNow - File.GetLastWriteTimeUtc(path) < LookAgainAfter)
            {
                return;
            }

            using FileStream held = new(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
            Interlocked.Exchange(ref written, 0);
            File.SetLastWriteTimeUtc(path, DateTime.UtcNow);
            Evict();
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // Another process is at it, or the folder may not be written.
        }
    }

    private void Evict()
    {
        Dictionary<string, Entry> entries = new(StringComparer.Ordinal);
        foreach (FileInfo file in new DirectoryInfo(folder).EnumerateFiles())
        {
            if (Array.IndexOf(extensions, file.Extension) >= 0)
            {
                string key = Path.GetFileNameWithoutExtension(file.Name);
                Entry entry = entries.GetValueOrDefault(key);
                // Reading an entry marks its log, and the log is written last.
                entries[key] = new Entry(entry.Bytes + file.Length, entry.Used > file.LastWriteTimeUtc ? entry.Used : file.LastWriteTimeUtc);
            }
            else if (file.Name != LockName && DateTime.UtcNow - file.LastWriteTimeUtc > AbandonedAfter)
            {
                Delete(file.FullName);
            }
        }

        long bytes = entries.Values.Sum(e => e.Bytes);
        if (bytes <= limit)
        {
            return;
        }

        // Some room, so that not every look has to remove something.
        long goal = limit - (limit / 4);
        foreach ((string key, Entry entry) in entries.OrderBy(e => e.Value.Used).ThenBy(e => e.Key, StringComparer.Ordinal))
        {
            if (bytes <= goal)
            {
                return;
            }

            foreach (string extension in extensions)
            {
                Delete(Path.Combine(folder, key + extension));
            }

            bytes -= entry.Bytes;
        }
    }

    private static void Delete(string path)
    {
        try
        {
            File.Delete(path);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
        }
    }

    private readonly record struct Entry(long Bytes, DateTime Used);
}
