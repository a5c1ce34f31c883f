using System;
using System.Threading;
using System.Threading.Tasks;
using Fp8Lm.Cpu;
using Xunit;

namespace Fp8Lm.Runtime.Tests.Cpu;

public unsafe class CpuPoolTests
{
    private struct Count(int* hits, int* workers) : ITileKernel
    {
        public void Run(int tile, int worker)
        {
            Interlocked.Increment(ref hits[tile]);
            Interlocked.Increment(ref workers[worker]);
        }
    }

    private struct Fail : ITileKernel
    {
        public readonly void Run(int tile, int worker)
        {
            if (tile == 5)
            {
                throw new InvalidTimeZoneException("tile 5");
            }
        }
    }

    private readonly struct Nested(CpuPool pool) : ITileKernel
    {
        public readonly void Run(int tile, int worker)
        {
            var inner = default(Fail);
            pool.Run(ref inner, 1);
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(8)]
    public void Every_tile_runs_once(int workers)
    {
        using var pool = new CpuPool(workers);
        int* hits = stackalloc int[64];
        int* used = stackalloc int[8];
        Assert.Equal(workers, pool.Workers);
        for (int round = 0; round < 3000; round++)
        {
            // Rounds of every size, some after a pause long enough for the workers to have gone to sleep.
            int tiles = round % 65;
            if (round % 500 == 499)
            {
                Thread.Sleep(3);
            }

            new Span<int>(hits, 64).Clear();
            var kernel = new Count(hits, used);
            pool.Run(ref kernel, tiles);
            for (int i = 0; i < 64; i++)
            {
                Assert.Equal(i < tiles ? 1 : 0, hits[i]);
            }
        }
    }

    [Fact]
    public void Several_threads_take_turns()
    {
        using var pool = new CpuPool(2);
        long total = 0;
        Parallel.For(0, 4, _ =>
        {
            int* hits = stackalloc int[16];
            int* used = stackalloc int[2];
            for (int round = 0; round < 500; round++)
            {
                var kernel = new Count(hits, used);
                pool.Run(ref kernel, 16);
            }

            for (int i = 0; i < 16; i++)
            {
                Interlocked.Add(ref total, hits[i]);
            }
        });
        Assert.Equal(4 * 500 * 16, total);
    }

    [Fact]
    public void A_failing_tile_surfaces_and_the_pool_goes_on()
    {
        using var pool = new CpuPool(2);
        for (int round = 0; round < 20; round++)
        {
            var fail = default(Fail);
            Assert.Throws<InvalidTimeZoneException>(() => pool.Run(ref fail, 9));
        }

        int* hits = stackalloc int[4];
        int* used = stackalloc int[2];
        var kernel = new Count(hits, used);
        pool.Run(ref kernel, 4);
        Assert.Equal(4, hits[0] + hits[1] + hits[2] + hits[3]);
    }

    [Fact]
    public void Scratch_is_aligned_and_per_worker()
    {
        using var pool = new CpuPool(2);
        pool.EnsureScratch(100);
        float* first = pool.Scratch(0, 100), second = pool.Scratch(1, 100);
        Assert.NotEqual((nint)first, (nint)second);
        Assert.Equal(0, (nint)first % 64);
        Assert.Equal((nint)first, (nint)pool.Scratch(0, 50));
        first[99] = 1f;
        Assert.Equal(0, (nint)pool.Scratch(0, 100_000) % 64);
    }

    [Fact]
    public void A_kernel_inside_a_tile_is_refused()
    {
        using var pool = new CpuPool(2);
        var kernel = new Nested(pool);
        Assert.Throws<InvalidOperationException>(() => pool.Run(ref kernel, 1));
        Assert.Throws<InvalidOperationException>(() => pool.Run(ref kernel, 4));
    }

    [Fact]
    public void Idle_workers_go_to_sleep_and_wake_for_the_next_kernel()
    {
        using var pool = new CpuPool(3);
        int* hits = stackalloc int[4];
        int* used = stackalloc int[3];
        var kernel = new Count(hits, used);
        for (int round = 1; round <= 3; round++)
        {
            pool.Run(ref kernel, 4);
            Assert.True(SpinWait.SpinUntil(() => pool.Sleeping == 2, TimeSpan.FromSeconds(20)));
            Assert.Equal(round, hits[3]);
        }
    }
}
