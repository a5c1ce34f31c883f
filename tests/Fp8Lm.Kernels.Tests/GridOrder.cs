using System.Collections.Generic;
using System.Linq;

namespace Fp8Lm.Kernels.Tests;

/// <summary>
/// What lets kernels overlap (<c>fp8lm/common/begin_grid.cuh</c>), read from machine code: every thread waits for the kernel before, once, and until then
/// touches no memory of others and does not end.
/// </summary>
internal static class GridOrder
{
    /// <summary>What is wrong with a kernel in this respect.</summary>
    public static IEnumerable<string> Problems(byte[] cubin)
    {
        List<MachineCode.Instruction> instructions = MachineCode.Instructions(cubin);
        int wait = instructions.FindIndex(i => i.Opcode == MachineCode.Acqbulk);
        if (wait < 0)
        {
            return ["does not wait for the kernel before it"];
        }

        List<string> problems = [];
        if (!instructions[wait].Always || instructions.Take(wait).Where((i, at) => at + i.Jump >= wait).Any())
        {
            problems.Add("waits for the kernel before it on a condition");
        }

        if (instructions.Take(wait).Any(i => MachineCode.GlobalMemory.Contains(i.Opcode)))
        {
            problems.Add("touches global memory before it waits");
        }

        if (instructions.Take(wait).Any(i => i.Opcode == MachineCode.Exit))
        {
            problems.Add("has threads that end before they wait");
        }

        // Blocks that come early crowd on the multiprocessors that are free first.
        if (instructions.Any(i => i.Opcode == MachineCode.Preexit))
        {
            problems.Add("lets the kernel behind it come before its own blocks end");
        }

        return problems;
    }
}
