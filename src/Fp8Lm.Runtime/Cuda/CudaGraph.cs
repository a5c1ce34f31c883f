using System;
using Fp8Lm.Cuda.Interop;

namespace Fp8Lm.Cuda;

/// <summary>
/// Launches, clears and copies of one stretch of work, queued again by a single call. Addresses and arguments are those of the capture. A launch that overlaps
/// with the kernel before it (<see cref="LoadedKernel.Launch"/>) is captured as it is: since CUDA 12.3 its node hangs on the other's programmatic port by an edge of
/// the programmatic type, which replays do the same by. Only kernels have such ports, which is one reason why a launch behind a copy or clear, or at the beginning,
/// never has the attribute. Queries without edge data (cuGraphGetEdges, cuStreamGetCaptureInfo_v2) would refuse such a graph; nothing here makes any.
/// </summary>
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
        CudaException.ThrowIfFailed(CudaDriver.GraphUpload(executable, context.Enter()), "cuGraphUpload");
    }

    /// <summary>Notes what <paramref name="work"/> queues instead of running it. It must not wait for the device, and its kernels must have run before.</summary>
    public static CudaGraph Capture(CudaContext context, Action work)
    {
        CudaException.ThrowIfFailed(CudaDriver.StreamBeginCapture(context.Enter(), CaptureMode.ThreadLocal), "cuStreamBeginCapture");
        try
        {
            work();
        }
        catch
        {
            if (CudaDriver.StreamEndCapture(context.Enter(), out nint partial) == 0)
            {
                _ = CudaDriver.GraphDestroy(partial);
            }

            throw;
        }

        CudaException.ThrowIfFailed(CudaDriver.StreamEndCapture(context.Enter(), out nint graph), "cuStreamEndCapture");
        return new CudaGraph(context, graph);
    }

    /// <summary>Queues everything once.</summary>
    public void Launch() => CudaException.ThrowIfFailed(CudaDriver.GraphLaunch(executable, context.Enter()), "cuGraphLaunch");

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
