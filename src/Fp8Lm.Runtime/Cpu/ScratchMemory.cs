using System;
using System.Runtime.InteropServices;

namespace Fp8Lm.Cpu;

/// <summary>A native block that only grows. The contents do not survive growth.</summary>
internal unsafe struct ScratchMemory
{
    private const nuint Alignment = 64;

    private void* block;
    private long capacity;

    /// <summary>The block, with room for this many floats.</summary>
    public float* Reserve(long floats)
    {
        if (floats > capacity)
        {
            Free();

            // Half as much again, so that a series of slightly larger requests does not allocate each time.
            long wanted = Math.Max(floats, Math.Min(checked(floats + (floats / 2)), 1 << 20));
            long bytes = checked(wanted * sizeof(float));
            block = NativeMemory.AlignedAlloc((nuint)bytes, bytes >= HugePages.Bytes ? HugePages.Bytes : Alignment);
            HugePages.Advise(block, bytes);
            capacity = wanted;
        }

        return (float*)block;
    }

    public void Free()
    {
        NativeMemory.AlignedFree(block);
        block = null;
        capacity = 0;
    }
}
