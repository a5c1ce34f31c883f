using System;
using System.Runtime.InteropServices;

namespace Fp8Lm.Cpu;

/// <summary>Asks Linux to back large blocks with huge pages; packing walks columns of large matrices, and with 4 KiB pages each step is another page.</summary>
public static unsafe partial class HugePages
{
    /// <summary>Size, and alignment that makes the request useful.</summary>
    public const int Bytes = 1 << 21;

    private const int AdviseHugePages = 14;

    /// <summary>Asks for huge pages; a wish that may go unheard, so nothing is reported. Call it before the memory is first touched.</summary>
    public static void Advise(void* block, long bytes)
    {
        nint start = ((nint)block + Bytes - 1) & -Bytes;
        nint end = ((nint)block + (nint)bytes) & -Bytes;
        if (end <= start || !OperatingSystem.IsLinux())
        {
            return;
        }

        _ = MemoryAdvise(start, (nuint)(end - start), AdviseHugePages);
    }

    [LibraryImport("libc", EntryPoint = "madvise")]
    private static partial int MemoryAdvise(nint address, nuint length, int advice);
}
