using System;
using Fp8Lm.Cuda.Interop;

namespace Fp8Lm.Cuda;

/// <summary>Launches, clears and copies of one stretch of work, queued again by a single call. Addresses and arguments are those of the capture.</summary>
internal sealed class CudaGraph : IDisposable
{
    private readonly CudaContext context;
    private readonly nint executable;
    private bool disposed;

    private CudaGraph(CudaContext context, nint graph)
    {
        this.context = context;
        int result = CudaDriver.GraphInstantiate(out executable, graph, 0);
        _ = CudaDriver.GraphDestroy(graph);
        CudaException.ThrowIfFailed(result, "cuGraphInstantiate");
        CudaException.ThrowIfFailed(CudaDriver.GraphUpload(executable, context.Stream), "cuGraphUpload");
    }

    /// <summary>Notes what <paramref name="work"/> queues instead of running it. It must not wait for the device, and its kernels must have run before.</summary>
    public static CudaGraph Capture(CudaContext context, Action work)
    {
        context.MakeCurrent();
        CudaException.ThrowIfFailed(CudaDriver.StreamBeginCapture(context.Stream, CaptureMode.ThreadLocal), "cuStreamBeginCapture");
        try
        {
            work();
        }
        catch
        {
            if (CudaDriver.StreamEndCapture(context.Stream, out nint partial) == 0)
            {
                _ = CudaDriver.GraphDestroy(partial);
            }

            throw;
        }

        CudaException.ThrowIfFailed(CudaDriver.StreamEndCapture(context.Stream, out nint graph), "cuStreamEndCapture");
        return new CudaGraph(context, graph);
    }

    /// <summary>Queues everything once.</summary>
    public void Launch()
    {
        context.MakeCurrent();
        CudaException.ThrowIfFailed(CudaDriver.GraphLaunch(executable, context.Stream), "cuGraphLaunch");
    }

    public void Dispose()
    {
        if (!disposed)
        {
            disposed = true;
            context.MakeCurrent();
            _ = CudaDriver.GraphExecDestroy(executable);
        }
    }
}
