using System;
using Fp8Lm.Cuda.Interop;

namespace Fp8Lm.Cuda;

/// <summary>Host memory that the copy engines reach, so that copies from and to it need nobody to wait.</summary>
internal sealed unsafe class PinnedMemory : IDisposable
{
    private readonly CudaContext context;
    private readonly void* address;
    private readonly int length;
    private bool disposed;

    public PinnedMemory(CudaContext context, int bytes)
    {
        this.context = context;
        length = bytes;
        context.MakeCurrent();
        CudaException.ThrowIfFailed(CudaDriver.MemHostAlloc(out address, (nuint)bytes, 0), $"Pinning {bytes} bytes of host memory");
    }

    public nint Address => (nint)address;

    public Span<byte> Bytes => new(address, length);

    /// <summary>Queues a copy to the device; the memory must stay as it is until that has run.</summary>
    public void CopyTo(nint destination, int bytes)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(bytes, length);
        CudaException.ThrowIfFailed(CudaDriver.MemcpyHostToDeviceAsync(destination, address, (nuint)bytes, context.Enter()), "cuMemcpyHtoDAsync");
    }

    /// <summary>Queues a copy from the device.</summary>
    public void CopyFrom(nint source, int bytes)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(bytes, length);
        CudaException.ThrowIfFailed(CudaDriver.MemcpyDeviceToHostAsync(address, source, (nuint)bytes, context.Enter()), "cuMemcpyDtoHAsync");
    }

    public void Dispose()
    {
        if (!disposed)
        {
            disposed = true;
            context.MakeCurrent();
            _ = CudaDriver.MemFreeHost(address);
        }
    }
}
