using System;
using System.Buffers.Binary;
using System.Collections.Generic;
using System.Text;

namespace Fp8Lm.Kernels.Tests;

/// <summary>
/// Reads opcodes out of a cubin, so that the test needs no disassembler: sections named <c>.text.*</c> of a little-endian ELF64 file hold
/// instructions of 16 bytes, whose low 12 bits are the opcode. The values below are what cuobjdump 12.4 prints for sm_90a.
/// </summary>
internal static class MachineCode
{
    /// <summary>wgmma on BF16 or F16, operands in shared memory.</summary>
    public const int Hgmma = 0x9f0;

    /// <summary>wgmma on FP8.</summary>
    public const int Qgmma = 0x9f3;

    /// <summary>mma.sync on BF16 or F16.</summary>
    public const int Hmma = 0x23c;

    /// <summary>Opcodes of all functions in the file.</summary>
    public static HashSet<int> Opcodes(byte[] cubin)
    {
        ReadOnlySpan<byte> file = cubin;
        int table = (int)BinaryPrimitives.ReadInt64LittleEndian(file[0x28..]);
        int entrySize = BinaryPrimitives.ReadUInt16LittleEndian(file[0x3A..]);
        int count = BinaryPrimitives.ReadUInt16LittleEndian(file[0x3C..]);
        int names = Section(file, table, entrySize, BinaryPrimitives.ReadUInt16LittleEndian(file[0x3E..])).Offset;
        HashSet<int> opcodes = [];
        for (int i = 0; i < count; i++)
        {
            (int name, int offset, int size) = Section(file, table, entrySize, i);
            if (!file[(names + name)..].StartsWith(".text."u8))
            {
                continue;
            }

            for (int at = offset; at + 16 <= offset + size; at += 16)
            {
                opcodes.Add(BinaryPrimitives.ReadUInt16LittleEndian(file[at..]) & 0xfff);
            }
        }

        return opcodes;
    }

    private static (int Name, int Offset, int Size) Section(ReadOnlySpan<byte> file, int table, int entrySize, int index)
    {
        ReadOnlySpan<byte> entry = file[(table + (index * entrySize))..];
        return ((int)BinaryPrimitives.ReadUInt32LittleEndian(entry), (int)BinaryPrimitives.ReadInt64LittleEndian(entry[0x18..]), (int)BinaryPrimitives.ReadInt64LittleEndian(entry[0x20..]));
    }
}
