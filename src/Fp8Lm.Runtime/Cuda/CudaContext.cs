using System;
using Fp8Lm.Cuda.Interop;

namespace Fp8Lm.Cuda;

/// <summary>The primary context of a device and one stream on which everything is queued. For use by one thread at a time, on any thread.</summary>
internal sealed unsafe class CudaContext : IDisposable
{
    private readonly int device;
    private readonly nint context;
    private readonly nint stream;
    private bool kernelIsLast;
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

    /// <summary>Makes the context current and gives its stream, for everything but a kernel: the kernel behind it does not overlap with it.</summary>
    public nint Enter()
    {
        MakeCurrent();
        kernelIsLast = false;
        return stream;
    }

    /// <summary>The same for a kernel. <paramref name="followsKernel"/>: so is what was queued last.</summary>
    public nint EnterForKernel(out bool followsKernel)
    {
        MakeCurrent();
        followsKernel = kernelIsLast;
        kernelIsLast = true;
        return stream;
    }

    /// <summary>For calls that have nothing to do with the stream. The driver keeps the current context per thread.</summary>
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
        Check(CudaDriver.MemsetAsync(address, 0, checked((nuint)bytes), Enter()), "cuMemsetD8Async");
    }

    /// <summary>Queues a copy within the device.</summary>
    public void CopyOnDevice(nint source, nint destination, long bytes)
    {
        Check(CudaDriver.MemcpyDeviceToDeviceAsync(destination, source, checked((nuint)bytes), Enter()), "cuMemcpyDtoDAsync");
    }

    /// <summary>Copies to the device after everything queued; the source may be reused on return.</summary>
    public void CopyFromHost(ReadOnlySpan<byte> source, nint destination)
    {
        if (source.IsEmpty)
        {
            return;
        }

        fixed (byte* pointer = source)
        {
            // The driver stages pageable memory before it returns, but says so only for copies below 64 KiB; the wait makes it certain.
            Check(CudaDriver.MemcpyHostToDeviceAsync(destination, pointer, (nuint)source.Length, Enter()), "cuMemcpyHtoDAsync");
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

        fixed (byte* pointer = destination)
        {
            Check(CudaDriver.MemcpyDeviceToHostAsync(pointer, source, (nuint)destination.Length, Enter()), "cuMemcpyDtoHAsync");
            Synchronize();
        }
    }

    public void Synchronize() => Check(TrySynchronize(), "cuStreamSynchronize");

    /// <summary>The driver's result of waiting for everything queued.</summary>
    public int TrySynchronize() => CudaDriver.StreamSynchronize(Enter());

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
