using System;
using Fp8Lm.Cuda.Interop;

namespace Fp8Lm.Cuda;

/// <summary>A mark in a context's stream that the host can wait for and take the time of.</summary>
internal sealed class CudaEvent : IDisposable
{
    private readonly CudaContext context;
    private readonly nint handle;
    private bool disposed;

    public CudaEvent(CudaContext context)
    {
        this.context = context;
        context.MakeCurrent();
        CudaException.ThrowIfFailed(CudaDriver.EventCreate(out handle, 0), "cuEventCreate");
    }

    /// <summary>Marks everything queued so far.</summary>
    public void Record() => CudaException.ThrowIfFailed(CudaDriver.EventRecord(handle, context.Enter()), "cuEventRecord");

    /// <summary>Waits until everything before the mark has run; errors of kernels surface here.</summary>
    public void Synchronize()
    {
        context.MakeCurrent();
        CudaException.ThrowIfFailed(CudaDriver.EventSynchronize(handle), "cuEventSynchronize");
    }

    /// <summary>Milliseconds from another mark to this one; both have been reached.</summary>
    public float MillisecondsSince(CudaEvent start)
    {
        CudaException.ThrowIfFailed(CudaDriver.EventElapsedTime(out float milliseconds, start.handle, handle), "cuEventElapsedTime");
        return milliseconds;
    }

    public void Dispose()
    {
        if (!disposed)
        {
            disposed = true;
            context.MakeCurrent();
            _ = CudaDriver.EventDestroy(handle);
        }
    }
}
