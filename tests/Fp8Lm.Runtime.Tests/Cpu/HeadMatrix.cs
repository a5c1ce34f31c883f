using System;
using System.Runtime.InteropServices;
using Fp8Lm.Cpu;
using Fp8Lm.Execution;

namespace Fp8Lm.Runtime.Tests.Cpu;

/// <summary>A random [tokens, heads * size] matrix in native memory with a pitch beyond its width, and its values in F64.</summary>
internal sealed unsafe class HeadMatrix : IDisposable
{
    private readonly byte* block;

    public HeadMatrix(ElementFormat format, int tokens, int width, int seed, double magnitude)
    {
        int pitch = width + 6, bytes = format.Bytes();
        block = (byte*)NativeMemory.AlignedAlloc((nuint)(tokens * pitch * bytes), 64);
        NativeMemory.Fill(block, (nuint)(tokens * pitch * bytes), 0xFF);
        Values = new double[tokens * width];
        var random = new Random(seed);
        for (int i = 0; i < Values.Length; i++)
        {
            Values[i] = Matrix.Write(block + (((i / width * pitch) + (i % width)) * bytes), format, (float)((random.NextDouble() - 0.5) * 2 * magnitude));
        }

        Operand = new AttentionOperand((nint)block, format, pitch);
    }

    public AttentionOperand Operand { get; }

    public double[] Values { get; }

    public void Dispose() => NativeMemory.AlignedFree(block);
}
