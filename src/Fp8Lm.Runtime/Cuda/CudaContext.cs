using System;
using Fp8Lm.Cuda.Interop;

namespace Fp8Lm.Cuda;

/// <summary>The primary context of a device and one stream on which everything is queued. For use by one thread at a time, on any thread.</summary>
internal sealed unsafe class CudaContext : IDisposable
{
    private readonly int device;
    private readonly nint context;
    private readonly nint stream;
    private bool disposed;

    public CudaContext(CudaDevice device)
    {
        Device = device;
        Check(CudaDriver.DeviceGet(out this.device, device.Ordinal), "cuDeviceGet");
        Check(CudaDriver.DevicePrimaryCtxRetain(out context, this.device), "cuDevicePrimaryCtxRetain");
        MakeCurrent();
        Check(CudaDriver.StreamCreate(out stream, 1 /* non-blocking: no hidden order with the default stream */), "cuStreamCreate");
    }

    public CudaDevice Device { get; }

    public nint Stream => stream;

    /// <summary>The driver keeps the current context per thread.</summary>
    public void MakeCurrent() => Check(CudaDriver.CtxSetCurrent(context), "cuCtxSetCurrent");

    /// <summary>Bytes of the device that nobody has taken, and all of them.</summary>
    public (long Free, long Total) Memory()
    {
        MakeCurrent();
        Check(CudaDriver.MemGetInfo(out nuint free, out nuint total), "cuMemGetInfo");
        return ((long)free, (long)total);
    }

    /// <summary>Zeroed device memory, or 0 when the device does not have that much left.</summary>
    public nint TryAllocate(long bytes)
    {
        MakeCurrent();
        int result = CudaDriver.MemAlloc(out nint address, checked((nuint)bytes));
        const int OutOfMemory = 2;
        if (result == OutOfMemory)
        {
            return 0;
        }

        Check(result, $"cuMemAlloc of {bytes} bytes");
        Clear(address, bytes);
        return address;
    }

    /// <summary>Zeroed device memory.</summary>
    /// <exception cref="InsufficientMemoryException">The device does not have that much left.</exception>
    public nint Allocate(long bytes)
    {
        nint address = TryAllocate(bytes);
        return address != 0
            ? address
            : throw new InsufficientMemoryException(
                $"{Device.Name} has {Memory().Free / 1048576.0:F0} of {Memory().Total / 1048576.0:F0} MiB left; {bytes / 1048576.0:F0} MiB were asked for.");
    }

    public void Free(nint address)
    {
        MakeCurrent();
        _ = CudaDriver.MemFree(address);
    }

    public void Clear(nint address, long bytes)
    {
        MakeCurrent();
        Check(CudaDriver.MemsetAsync(address, 0, checked((nuint)bytes), stream), "cuMemsetD8Async");
    }

    /// <summary>Queues a copy within the device.</summary>
    public void CopyOnDevice(nint source, nint destination, long bytes)
    {
        MakeCurrent();
        Check(CudaDriver.MemcpyDeviceToDeviceAsync(destination, source, checked((nuint)bytes), stream), "cuMemcpyDtoDAsync");
    }

    /// <summary>Copies to the device after everything queued; the source may be reused on return.</summary>
    public void CopyFromHost(ReadOnlySpan<byte> source, nint destination)
    {
        if (source.IsEmpty)
        {
            return;
        }

        MakeCurrent();
        fixed (byte* pointer = source)
        {
            // The driver stages pageable memory before it returns, but says so only for copies below 64 KiB; the wait makes it certain.
            Check(CudaDriver.MemcpyHostToDeviceAsync(destination, pointer, (nuint)source.Length, stream), "cuMemcpyHtoDAsync");
            Synchronize();
        }
    }

    /// <summary>Copies to the host after everything queued; the bytes are there on return.</summary>
    public void CopyToHost(nint source, Span<byte> destination)
    {
        if (destination.IsEmpty)
        {
            return;
        }

        MakeCurrent();
        fixed (byte* pointer = destination)
        {
            Check(CudaDriver.MemcpyDeviceToHostAsync(pointer, source, (nuint)destination.Length, stream), "cuMemcpyDtoHAsync");
            Synchronize();
        }
    }

    public void Synchronize()
    {
        MakeCurrent();
        Check(CudaDriver.StreamSynchronize(stream), "cuStreamSynchronize");
    }

    public void Dispose()
    {
        if (!disposed)
        {
            disposed = true;
            _ = CudaDriver.CtxSetCurrent(context);
            _ = CudaDriver.StreamDestroy(stream);
            _ = CudaDriver.DevicePrimaryCtxRelease(device);
        }
    }

    private static void Check(int result, string call) => CudaException.ThrowIfFailed(result, call);
}
