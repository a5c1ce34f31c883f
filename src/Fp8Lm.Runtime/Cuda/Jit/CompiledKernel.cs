using System.Collections.Generic;
using System.Globalization;
using System.Text.RegularExpressions;

namespace Fp8Lm.Cuda.Jit;

/// <summary>What one entry function takes of a multiprocessor, as ptxas reports it.</summary>
/// <param name="Name">The <c>extern "C"</c> name.</param>
/// <param name="Registers">Registers of a thread at launch.</param>
/// <param name="StackBytes">Stack frame: arrays that did not fit in registers.</param>
/// <param name="SpillStoreBytes">Bytes that spilled registers store.</param>
/// <param name="SpillLoadBytes">Bytes that spilled registers load.</param>
/// <param name="StaticSharedBytes">Static shared memory.</param>
public sealed record KernelResources(string Name, int Registers, int StackBytes, int SpillStoreBytes, int SpillLoadBytes, int StaticSharedBytes);

/// <summary>A kernel as machine code for sm_90a.</summary>
/// <param name="Cubin">The ELF image that the driver loads.</param>
/// <param name="Log">The compiler's log, ptxas statistics included.</param>
/// <param name="FromCache">Whether it came from the disk cache.</param>
public sealed partial record CompiledKernel(byte[] Cubin, string Log, bool FromCache)
{
    /// <summary>Resources of every entry function, in the order of the log.</summary>
    public IReadOnlyList<KernelResources> Resources { get; } = Parse(Log);

    /// <summary>Reads the report of <c>ptxas -v</c>.</summary>
    internal static IReadOnlyList<KernelResources> Parse(string log)
    {
        List<KernelResources> resources = [];
        string name = "";
        int stack = 0;
        int stores = 0;
        int loads = 0;
        foreach (string line in log.Split('\n'))
        {
            if (Entry().Match(line) is { Success: true } entry)
            {
                name = entry.Groups[1].Value;
                stack = stores = loads = 0;
            }
            else if (Spills().Match(line) is { Success: true } spills)
            {
                stack = Number(spills.Groups[1]);
                stores = Number(spills.Groups[2]);
                loads = Number(spills.Groups[3]);
            }
            else if (name.Length > 0 && Registers().Match(line) is { Success: true } used)
            {
                Match shared = SharedBytes().Match(line);
                resources.Add(new KernelResources(name, Number(used.Groups[1]), stack, stores, loads, shared.Success ? Number(shared.Groups[1]) : 0));
                name = "";
            }
        }

        return resources;
    }

    private static int Number(Group group) => int.Parse(group.ValueSpan, CultureInfo.InvariantCulture);

    [GeneratedRegex("Compiling entry function '([^']+)'")]
    private static partial Regex Entry();

    [GeneratedRegex("(\\d+) bytes stack frame, (\\d+) bytes spill stores, (\\d+) bytes spill loads")]
    private static partial Regex Spills();

    [GeneratedRegex("Used (\\d+) registers")]
    private static partial Regex Registers();

    [GeneratedRegex("(\\d+) bytes smem")]
    private static partial Regex SharedBytes();
}
