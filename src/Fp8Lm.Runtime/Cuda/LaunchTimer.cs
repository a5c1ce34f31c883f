using System;
using System.Collections.Generic;
using Fp8Lm.Execution;

namespace Fp8Lm.Cuda;

/// <summary>
/// Times launches on the device: an event stands behind each, and a launch counts from the event before it. With the stream kept full that is the
/// kernel's time and the gap in front of it; copies and clears between launches are a mark of their own, counted nowhere.
/// </summary>
internal sealed class LaunchTimer(CudaContext context, KernelProfile profile) : IDisposable
{
    // Events of a few steps of a deep model; more launches than that are collected in between.
    private const int MostEvents = 1 << 14;
    private const int NoKernel = -1;

    private readonly List<CudaEvent> events = [];
    private readonly List<int> kernels = [];

    /// <summary>Notes that a kernel has been queued.</summary>
    public void Launched(int kernel) => Mark(kernel);

    /// <summary>Notes that something that is no kernel has been queued, or that the stream has been empty.</summary>
    public void Interrupted() => Mark(NoKernel);

    /// <summary>Waits and adds the times to the profile.</summary>
    public void Collect()
    {
        if (kernels.Count == 0)
        {
            return;
        }

        events[kernels.Count - 1].Synchronize();
        for (int i = 1; i < kernels.Count; i++)
        {
            if (kernels[i] != NoKernel)
            {
                profile.Add(kernels[i], events[i].MillisecondsSince(events[i - 1]) * 1e-3);
            }
        }

        kernels.Clear();
    }

    public void Dispose()
    {
        foreach (CudaEvent mark in events)
        {
            mark.Dispose();
        }
    }

    private void Mark(int kernel)
    {
        if (kernels.Count == MostEvents)
        {
            Collect();
        }

        if (kernels.Count == events.Count)
        {
            events.Add(new CudaEvent(context));
        }

        events[kernels.Count].Record();
        kernels.Add(kernel);
    }
}
