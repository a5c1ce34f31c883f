using System;
using System.Diagnostics;
using System.Globalization;
using System.Runtime.CompilerServices;
using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;
using System.Threading;

namespace Fp8Lm.Cpu;

/// <summary>
/// Threads that run the tiles of one kernel after the other. The calling thread is worker 0; the others spin for a moment after each kernel,
/// because the next one usually follows within microseconds, and then sleep.
/// </summary>
/// <remarks>
/// A worker claims a tile by decrementing <see cref="Counters.Unclaimed"/>. A claim that yields a number below zero is void, so a worker that
/// wakes late touches nothing of a kernel that is over; a valid one keeps the kernel alive, because <see cref="Run"/> returns only when
/// <see cref="Counters.Unfinished"/> has reached zero. Workers that never wake cost nothing: the others take their tiles.
/// </remarks>
public sealed unsafe class CpuPool : IDisposable
{
    /// <summary>Environment variable with the number of workers; the default is one per processor.</summary>
    public const string ThreadsVariable = "FP8LM_THREADS";

    private const int MaxWorkers = 256;
    private static readonly long SpinTicks = Stopwatch.Frequency / 10_000;

    [ThreadStatic]
    private static bool insideTile;

    private readonly Lock gate = new();
    private readonly SemaphoreSlim wake = new(0);
    private readonly Thread[] threads;
    private readonly ScratchMemory[] scratch;
    private readonly ScratchMemory[] libraryScratch;
    private Counters counters;
    private delegate*<void*, int, int, void> body;
    private void* kernel;
    private int tiles;
    private int sleeping;
    private ExceptionDispatchInfo? failure;
    private volatile bool stopping;

    /// <summary>Starts the workers.</summary>
    /// <param name="workers">Number of workers, the caller included; zero takes <see cref="ThreadsVariable"/> or, without it, one per processor.</param>
    public CpuPool(int workers = 0)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(workers);
        Workers = Math.Min(workers == 0 ? DefaultWorkers() : workers, MaxWorkers);
        scratch = new ScratchMemory[Workers];
        libraryScratch = new ScratchMemory[Workers + 1];
        threads = new Thread[Workers - 1];
        for (int i = 0; i < threads.Length; i++)
        {
            int worker = i + 1;
            threads[i] = new Thread(() => Work(worker)) { IsBackground = true, Name = $"Fp8Lm worker {worker}" };
            threads[i].Start();
        }
    }

    /// <summary>Number of workers; tiles get worker numbers below it.</summary>
    public int Workers { get; }

    /// <summary>Workers that have given up waiting for work and will be woken by the next kernel.</summary>
    internal int Sleeping => Volatile.Read(ref sleeping);

    /// <summary>Runs all tiles of a kernel and returns when they are done. Calls from several threads take turns.</summary>
    /// <param name="kernel">The kernel; all workers use one copy of it, which is copied back at the end.</param>
    /// <param name="tiles">Number of tiles; they are numbered from zero and claimed in that order.</param>
    /// <exception cref="InvalidOperationException">Called from inside a tile.</exception>
    public void Run<T>(ref T kernel, int tiles) where T : struct, ITileKernel
    {
        if (insideTile)
        {
            throw new InvalidOperationException("A tile cannot run a kernel: its worker is one of those that would have to run it.");
        }

        if (tiles <= 0)
        {
            return;
        }

        lock (gate)
        {
            // A copy on this stack stays where it is while workers use it; the caller's may live in an object that moves.
            T local = kernel;
            if (tiles == 1 || Workers == 1)
            {
                RunHere(ref local, tiles);
            }
            else
            {
                Publish(Unsafe.AsPointer(ref local), &Invoke<T>, tiles);
                insideTile = true;
                Claim(0);
                insideTile = false;
                AwaitOthers();
            }

            kernel = local;
        }
    }

    /// <summary>Scratch of one worker for the tile it is in: 64-byte aligned, contents arbitrary, valid until the worker asks for more.</summary>
    public float* Scratch(int worker, long floats) => scratch[worker].Reserve(floats);

    /// <summary>Makes sure that later calls of <see cref="Scratch"/> up to this size do not allocate.</summary>
    public void EnsureScratch(long floats)
    {
        for (int worker = 0; worker < Workers; worker++)
        {
            scratch[worker].Reserve(floats);
        }
    }

    /// <summary>Ends the workers and frees scratch. The pool must not be running a kernel.</summary>
    public void Dispose()
    {
        if (stopping)
        {
            return;
        }

        stopping = true;
        wake.Release(Math.Max(1, threads.Length));
        foreach (Thread thread in threads)
        {
            thread.Join();
        }

        wake.Dispose();
        FreeScratch();
    }

    /// <summary>Scratch of the library's own kernels, apart from <see cref="Scratch"/>, which the epilogues they call may use.</summary>
    internal float* LibraryScratch(int worker, long floats) => libraryScratch[worker].Reserve(floats);

    /// <summary>One block for all workers of a library kernel; the kernel holds <see cref="Enter"/> as long as it uses it.</summary>
    internal float* SharedScratch(long floats) => libraryScratch[Workers].Reserve(floats);

    /// <summary>Keeps other threads from running kernels between several runs that belong together.</summary>
    internal Lock.Scope Enter() => gate.EnterScope();

    private static int DefaultWorkers() =>
        int.TryParse(Environment.GetEnvironmentVariable(ThreadsVariable), NumberStyles.None, CultureInfo.InvariantCulture, out int threads) && threads > 0
            ? threads
            : Environment.ProcessorCount;

    private static void RunHere<T>(ref T kernel, int tiles) where T : struct, ITileKernel
    {
        insideTile = true;
        try
        {
            for (int tile = 0; tile < tiles; tile++)
            {
                kernel.Run(tile, 0);
            }
        }
        finally
        {
            insideTile = false;
        }
    }

    private static void Invoke<T>(void* kernel, int tile, int worker) where T : struct, ITileKernel => Unsafe.AsRef<T>(kernel).Run(tile, worker);

    private void Publish(void* context, delegate*<void*, int, int, void> invoke, int count)
    {
        body = invoke;
        kernel = context;
        tiles = count;
        counters.Unfinished = count;

        // The exchange publishes the fields above; it is also the full fence between the new work and the look at the sleepers.
        Interlocked.Exchange(ref counters.Unclaimed, count);
        if (Volatile.Read(ref sleeping) > 0)
        {
            int sleepers = Interlocked.Exchange(ref sleeping, 0);
            if (sleepers > 0)
            {
                wake.Release(sleepers);
            }
        }
    }

    private void Claim(int worker)
    {
        int left;
        while ((left = Interlocked.Decrement(ref counters.Unclaimed)) >= 0)
        {
            try
            {
                body(kernel, tiles - 1 - left, worker);
            }
            catch (Exception exception)
            {
                Interlocked.CompareExchange(ref failure, ExceptionDispatchInfo.Capture(exception), null);
            }

            Interlocked.Decrement(ref counters.Unfinished);
        }
    }

    private void AwaitOthers()
    {
        var spin = new SpinPhase(SpinTicks);
        while (Volatile.Read(ref counters.Unfinished) > 0)
        {
            // The others are inside their last tile; if a processor is missing for that, give them this one.
            if (!spin.Once())
            {
                Thread.Yield();
            }
        }

        ExceptionDispatchInfo? thrown = Interlocked.Exchange(ref failure, null);
        thrown?.Throw();
    }

    private void Work(int worker)
    {
        insideTile = true;
        while (!stopping)
        {
            var spin = new SpinPhase(SpinTicks);
            while (Volatile.Read(ref counters.Unclaimed) <= 0 && spin.Once())
            {
            }

            if (Volatile.Read(ref counters.Unclaimed) <= 0)
            {
                Sleep();
            }

            if (Volatile.Read(ref counters.Unclaimed) > 0)
            {
                Claim(worker);
            }
        }
    }

    private void Sleep()
    {
        Interlocked.Increment(ref sleeping);
        if (Volatile.Read(ref counters.Unclaimed) > 0 || stopping)
        {
            // Work arrived in between. Take the announcement back, unless the publisher has already answered it with a release.
            int announced = Volatile.Read(ref sleeping);
            while (announced > 0)
            {
                int seen = Interlocked.CompareExchange(ref sleeping, announced - 1, announced);
                if (seen == announced)
                {
                    return;
                }

                announced = seen;
            }
        }

        wake.Wait();
    }

    private void FreeScratch()
    {
        foreach (ref ScratchMemory memory in scratch.AsSpan())
        {
            memory.Free();
        }

        foreach (ref ScratchMemory memory in libraryScratch.AsSpan())
        {
            memory.Free();
        }
    }

    /// <summary>The two words that all workers write, each on its own pair of cache lines.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 384)]
    private struct Counters
    {
        /// <summary>Tiles nobody has claimed; zero or less when there are none.</summary>
        [FieldOffset(128)]
        public int Unclaimed;

        /// <summary>Tiles that are not done.</summary>
        [FieldOffset(256)]
        public int Unfinished;
    }
}
