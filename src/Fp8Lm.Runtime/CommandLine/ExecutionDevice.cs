using System;
using Fp8Lm.Cpu;
using Fp8Lm.Cuda;
using Fp8Lm.Cuda.Interop;
using Fp8Lm.Execution;

namespace Fp8Lm.CommandLine;

/// <summary>The device that the user named, and what its sessions share.</summary>
internal sealed class ExecutionDevice : IDisposable
{
    private readonly CudaDevice? cuda;
    private readonly CpuPool? pool;

    private ExecutionDevice(CudaDevice? cuda)
    {
        this.cuda = cuda;
        pool = cuda is null ? new CpuPool() : null;
    }

    /// <summary>Finds a device by name: <c>cpu</c>, <c>cuda</c>, or <c>auto</c>, which is CUDA where there is a fitting GPU.</summary>
    /// <exception cref="UsageException">There is no such device; the message says why.</exception>
    public static ExecutionDevice Open(string name)
    {
        switch (AppOptions.Choice("--device", name, ("cpu", "cpu"), ("cuda", "cuda"), ("auto", "auto")))
        {
            case "cpu":
                return new ExecutionDevice(null);
            case "cuda":
                CudaDevice? device = CudaDevice.Find(out string problem);
                return new ExecutionDevice(device ?? throw new UsageException($"--device cuda: {problem}"));
            default:
                CudaDevice? found = CudaDevice.Find(out string missing);

                // Without a driver the CPU is what the user means; with one it is worth a word.
                return new ExecutionDevice(found) { Notice = found is null && NativeLibraries.TryLoad(NativeLibraries.Driver, out _) ? $"Running on the CPU: {missing}" : null };
        }
    }

    /// <summary>Why <c>auto</c> is the CPU on a machine that looks as if it had a GPU; otherwise null.</summary>
    public string? Notice { get; private init; }

    /// <summary>Creates a session of a plan.</summary>
    public Session CreateSession(MemoryPlan plan) => cuda is null ? new CpuSession(plan, pool!) : new CudaSession(plan, cuda);

    /// <inheritdoc/>
    public void Dispose() => pool?.Dispose();
}
