using System;
using System.Diagnostics;
using System.IO;
using System.Linq;
using System.Threading.Tasks;
using Fp8Lm.Cuda.Jit;
using Xunit;

namespace Fp8Lm.Runtime.Tests.Jit;

/// <summary>The cache of compiled kernels stays below its limit, whoever writes to it.</summary>
public sealed class CacheEvictionTests : IDisposable
{
    private const int EntryBytes = 10_000;

    // What many write: several times what the limit admits.
    private const int Entries = 300;
    private const long Limit = 20 * EntryBytes;
    private const string ChildFolder = "FP8LM_TEST_CHILD_FOLDER";

    private readonly string folder = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName());

    private string Kernels => Path.Combine(folder, "kernels");

    public void Dispose()
    {
        if (Directory.Exists(folder))
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public void TheEntriesThatWereNotUsedForLongestGo()
    {
        CubinCache open = CubinCache.Open(folder, long.MaxValue)!;
        for (int i = 0; i < 40; i++)
        {
            Write(open, i);
            File.SetLastWriteTimeUtc(LogOf(i), DateTime.UtcNow.AddDays(-50 + i));
            foreach (string other in new[] { ".cubin", ".cu" })
            {
                File.SetLastWriteTimeUtc(Path.ChangeExtension(LogOf(i), other), DateTime.UtcNow.AddDays(-90));
            }
        }

        // The oldest is read, so it is the newest now.
        Assert.True(open.TryRead(Key(0), out _));
        File.Delete(Path.Combine(Kernels, "eviction.lock"));
        Write(CubinCache.Open(folder, Limit)!, 40);

        int[] left = [.. Enumerable.Range(0, 41).Where(i => File.Exists(LogOf(i)))];
        Assert.Equal([0, .. Enumerable.Range(41 - left.Length + 1, left.Length - 1)], left);
        Assert.InRange(left.Length, 12, 15);
        Assert.InRange(Bytes(), 1, 15 * EntryBytes);
        Assert.All(left, i => Assert.True(open.TryRead(Key(i), out _)));
    }

    [Fact]
    public void WhatAKilledWriterLeftGoesAfterADay()
    {
        Write(CubinCache.Open(folder, long.MaxValue)!, 0);
        string old = Path.Combine(Kernels, "abcdefgh.xyz"), young = Path.Combine(Kernels, "hgfedcba.zyx");
        File.WriteAllText(old, "x");
        File.WriteAllText(young, "x");
        File.SetLastWriteTimeUtc(old, DateTime.UtcNow.AddDays(-2));
        File.Delete(Path.Combine(Kernels, "eviction.lock"));

        Write(CubinCache.Open(folder, long.MaxValue)!, 1);

        Assert.False(File.Exists(old));
        Assert.True(File.Exists(young));
    }

    [Theory]
    [InlineData(null, 512)]
    [InlineData("", 512)]
    [InlineData("64", 64)]
    [InlineData("0", 512)]
    [InlineData("-5", 512)]
    [InlineData("lots", 512)]
    [InlineData("99999999999999999999", 512)]
    public void TheLimitIsInMebibytes(string? setting, long expected) => Assert.Equal(expected << 20, CacheEviction.LimitOf(setting));

    [Fact]
    public void AFolderThatVanishesOrIsLockedCostsNothingButTheCache()
    {
        CubinCache cache = CubinCache.Open(folder, EntryBytes)!;
        Write(cache, 0);
        using (new FileStream(Path.Combine(Kernels, "eviction.lock"), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None))
        {
            Write(cache, 1);
        }

        Directory.Delete(folder, recursive: true);
        Write(cache, 2);
        Assert.False(cache.TryRead(Key(2), out _));
    }

    [Fact]
    public void ThreadsReadWholeEntriesOrNone()
    {
        Hammer(folder, threads: 8, rounds: 150);

        AssertTheNextLookRestoresTheLimit();
    }

    [Fact]
    public void ManyProcessesShareAFolder()
    {
        Process[] children = [.. Enumerable.Range(0, 4).Select(_ => ChildTest.Start(typeof(CacheEvictionTests), nameof(Child), (ChildFolder, folder)))];
        Array.ForEach(children, ChildTest.Wait);

        AssertTheNextLookRestoresTheLimit();
    }

    /// <summary>
    /// While many write, the folder is above its limit by what they write during one look of another, which has no bound that a test could rely on. What holds is
    /// that entries went meanwhile, and that the first look without company brings the folder below the limit.
    /// </summary>
    private void AssertTheNextLookRestoresTheLimit()
    {
        Assert.InRange(Bytes(), 1, (Entries - 100) * EntryBytes);

        CubinCache alone = CubinCache.Open(folder, Limit)!;
        Write(alone, Entries);
        Write(alone, Entries + 1);

        Assert.InRange(Bytes(), 1, Limit);
        Assert.True(alone.TryRead(Key(Entries + 1), out _));
    }

    /// <summary>What one of many processes does.</summary>
    [Fact(Explicit = true)]
    public void Child() => Hammer(Environment.GetEnvironmentVariable(ChildFolder)!, threads: 3, rounds: 100);

    private static void Hammer(string folder, int threads, int rounds) => Parallel.For(0, threads, new ParallelOptions { MaxDegreeOfParallelism = threads }, thread =>
    {
        // A cache of its own per thread, as if it were another process.
        CubinCache cache = CubinCache.Open(folder, Limit)!;
        Random random = new(thread + Environment.ProcessId);
        for (int round = 0; round < rounds; round++)
        {
            int entry = random.Next(Entries);
            if (!cache.TryRead(Key(entry), out CompiledKernel? kernel))
            {
                Write(cache, entry);
            }
            else
            {
                Assert.Equal(Content(entry), kernel.Cubin);
                Assert.Equal("log of " + Key(entry), kernel.Log);
            }
        }
    });

    private static string Key(int entry) => entry.ToString("x64", System.Globalization.CultureInfo.InvariantCulture);

    private static byte[] Content(int entry) => [.. Enumerable.Repeat((byte)entry, EntryBytes - 300)];

    private static void Write(CubinCache cache, int entry) => cache.Write(Key(entry), new CompiledKernel(Content(entry), "log of " + Key(entry), FromCache: false), "source");

    private string LogOf(int entry) => Path.Combine(Kernels, Key(entry) + ".log");

    private long Bytes() => new DirectoryInfo(Kernels).EnumerateFiles().Sum(f => f.Length);
}
