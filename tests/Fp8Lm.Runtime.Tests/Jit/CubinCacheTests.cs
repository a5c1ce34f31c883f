using System;
using System.IO;
using System.Linq;
using Fp8Lm.Cuda.Jit;
using Xunit;

namespace Fp8Lm.Runtime.Tests.Jit;

public sealed class CubinCacheTests : IDisposable
{
    private readonly string folder = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName());

    public void Dispose()
    {
        if (Directory.Exists(folder))
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public void WhatIsWrittenIsReadBack()
    {
        CubinCache cache = CubinCache.Open(folder)!;
        cache.Write("key", new CompiledKernel([1, 2, 3], "first\nsecond", FromCache: false), "source");

        Assert.True(cache.TryRead("key", out CompiledKernel? kernel));
        Assert.Equal([1, 2, 3], kernel.Cubin);
        Assert.Equal("first\nsecond", kernel.Log);
        Assert.True(kernel.FromCache);
        Assert.Equal("source", File.ReadAllText(Path.Combine(folder, "kernels", "key.cu")));
    }

    [Fact]
    public void NothingIsReadForAnUnknownKey() => Assert.False(CubinCache.Open(folder)!.TryRead("other", out _));

    [Theory]
    [InlineData(".cubin")]
    [InlineData(".log")]
    public void ADamagedEntryIsNotUsed(string extension)
    {
        CubinCache cache = CubinCache.Open(folder)!;
        cache.Write("key", new CompiledKernel([1, 2, 3], "log", FromCache: false), "source");
        string path = Path.Combine(folder, "kernels", "key" + extension);
        File.WriteAllBytes(path, File.ReadAllBytes(path).Reverse().ToArray());

        Assert.False(cache.TryRead("key", out _));
    }

    [Fact]
    public void WritersLeaveNoTemporaryFiles()
    {
        CubinCache cache = CubinCache.Open(folder)!;
        cache.Write("key", new CompiledKernel([1], "log", FromCache: false), "source");
        cache.Write("key", new CompiledKernel([2], "log", FromCache: false), "source");

        Assert.Equal(3, Directory.GetFiles(Path.Combine(folder, "kernels"), "key.*").Length);
        Assert.Equal(4, Directory.GetFiles(Path.Combine(folder, "kernels")).Length); // the lock of eviction besides
    }

    [Fact]
    public void TheFolderIsTheUsersAlone()
    {
        _ = CubinCache.Open(folder);
        if (OperatingSystem.IsWindows())
        {
            Assert.Skip("Windows has no Unix file modes.");
        }
        else
        {
            UnixFileMode mode = File.GetUnixFileMode(Path.Combine(folder, "kernels"));
            Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute, mode);
        }
    }

    [Fact]
    public void OffMeansNoCache() => Assert.Null(CubinCache.Open("off"));

    [Fact]
    public void EveryIngredientChangesTheKey()
    {
        Version version = new(12, 4);
        string key = CacheKey.Compute(version, ["-a", "-b"], "digest", "source");
        string[] others =
        [
            CacheKey.Compute(new Version(13, 0), ["-a", "-b"], "digest", "source"),
            CacheKey.Compute(version, ["-a-b"], "digest", "source"),
            CacheKey.Compute(version, ["-b", "-a"], "digest", "source"),
            CacheKey.Compute(version, ["-a", "-b"], "digest2", "source"),
            CacheKey.Compute(version, ["-a", "-b"], "digest", "source2"),
        ];

        Assert.Equal(key, CacheKey.Compute(version, ["-a", "-b"], "digest", "source"));
        Assert.DoesNotContain(key, others);
        Assert.Distinct(others);
    }
}
