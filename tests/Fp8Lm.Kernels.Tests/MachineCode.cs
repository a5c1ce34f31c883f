using System;
using System.Buffers.Binary;
using System.Collections.Generic;
using System.Linq;
using System.Text;

namespace Fp8Lm.Kernels.Tests;

/// <summary>
/// Reads opcodes out of a cubin, so that the test needs no disassembler: sections named <c>.text.*</c> of a little-endian ELF64 file hold
/// instructions of 16 bytes, whose low 12 bits are the opcode and the next 4 the predicate. The values below are what cuobjdump 12.4 prints for sm_90a.
/// </summary>
internal static class MachineCode
{
    private const int TruePredicate = 7;
    private const int Branch = 0x947;

    /// <summary>wgmma on BF16 or F16, operands in shared memory.</summary>
    public const int Hgmma = 0x9f0;

    /// <summary>wgmma on FP8.</summary>
    public const int Qgmma = 0x9f3;

    /// <summary>mma.sync on BF16 or F16.</summary>
    public const int Hmma = 0x23c;

    /// <summary>The wait for the kernel before (griddepcontrol.wait).</summary>
    public const int Acqbulk = 0x82e;

    /// <summary>Leave for the kernel behind (griddepcontrol.launch_dependents).</summary>
    public const int Preexit = 0x82d;

    /// <summary>The end of a thread.</summary>
    public const int Exit = 0x94d;

    /// <summary>Loads, stores, atomics, reductions, copies and prefetches of global (or generic) memory.</summary>
    public static readonly int[] GlobalMemory =
    [
        0x980, 0x981, 0x985, 0x986, // LD, LDG, ST, STG
        0x98a, 0x38b, 0x9a8, 0x3a9, 0x98e, // ATOM, ATOM.CAS, ATOMG, ATOMG.CAS, REDG
        0xfae, 0x3ba, 0x3bc, 0x5b4, 0x98f, // LDGSTS, UBLKCP, UBLKPF, UTMALDG, CCTL
    ];

    /// <summary>One instruction.</summary>
    /// <param name="Opcode">What it does.</param>
    /// <param name="Always">Whether every thread that comes to it does it.</param>
    /// <param name="Jump">Instructions that a branch leaves out (negative: goes back); 0 for others.</param>
    public readonly record struct Instruction(int Opcode, bool Always, long Jump);

    /// <summary>Opcodes of all functions in the file.</summary>
    public static HashSet<int> Opcodes(byte[] cubin) => [.. Instructions(cubin).Select(i => i.Opcode)];

    /// <summary>Instructions of all functions in the order of the file.</summary>
    public static List<Instruction> Instructions(byte[] cubin)
    {
        ReadOnlySpan<byte> file = cubin;
        int table = (int)BinaryPrimitives.ReadInt64LittleEndian(file[0x28..]);
        int entrySize = BinaryPrimitives.ReadUInt16LittleEndian(file[0x3A..]);
        int count = BinaryPrimitives.ReadUInt16LittleEndian(file[0x3C..]);
        int names = Section(file, table, entrySize, BinaryPrimitives.ReadUInt16LittleEndian(file[0x3E..])).Offset;
        List<Instruction> instructions = [];
        for (int i = 0; i < count; i++)
        {
            (int name, int offset, int size) = Section(file, table, entrySize, i);
            if (!file[(names + name)..].StartsWith(".text."u8))
            {
                continue;
            }

            for (int at = offset; at + 16 <= offset + size; at += 16)
            {
                long word = BinaryPrimitives.ReadInt64LittleEndian(file[at..]);
                int opcode = (int)(word & 0xfff);
                // Words of 4 bytes from the next instruction on: the low 8 bits stand apart from the others.
                long jump = opcode == Branch ? ((word >> 34 << 8) | ((word >> 16) & 0xff)) / 4 : 0;
                instructions.Add(new Instruction(opcode, (word >> 12 & 0xf) == TruePredicate, jump));
            }
        }

        return instructions;
    }

    private static (int Name, int Offset, int Size) Section(ReadOnlySpan<byte> file, int table, int entrySize, int index)
    {
        ReadOnlySpan<byte> entry = file[(table + (index * entrySize))..];
        return ((int)BinaryPrimitives.ReadUInt32LittleEndian(entry), (int)BinaryPrimitives.ReadInt64LittleEndian(entry[0x18..]), (int)BinaryPrimitives.ReadInt64LittleEndian(entry[0x20..]));
    }
}
