using System;

namespace Fp8Lm.Cuda;

/// <summary>A few pieces of pinned memory in turn: while the copy engine takes one to the device, the host fills the next.</summary>
internal sealed class UploadRing : IDisposable
{
    private const int Slots = 3;

    private readonly (PinnedMemory Memory, CudaEvent Free)[] slots = new (PinnedMemory, CudaEvent)[Slots];
    private long next;

    public UploadRing(CudaContext context, int pieceBytes)
    {
        for (int i = 0; i < Slots; i++)
        {
            slots[i] = (new PinnedMemory(context, pieceBytes), new CudaEvent(context));
        }
    }

    /// <summary>Has a piece filled and queues its copy to the device.</summary>
    public void Send(nint destination, int bytes, Action<PinnedMemory> fill)
    {
        (PinnedMemory memory, CudaEvent free) = slots[next % Slots];
        if (next >= Slots)
        {
            free.Synchronize();
        }

        fill(memory);
        memory.CopyTo(destination, bytes);
        free.Record();
        next++;
    }

    /// <summary>Gives the memory back; what is queued must have run.</summary>
    public void Dispose()
    {
        foreach ((PinnedMemory memory, CudaEvent free) in slots)
        {
            memory?.Dispose();
            free?.Dispose();
        }
    }
}
