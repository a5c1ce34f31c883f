using System;
using System.Runtime.InteropServices;
using Fp8Lm.Cpu;
using Fp8Lm.Execution;
using Fp8Lm.Numerics;

namespace Fp8Lm.Runtime.Tests.Cpu;

/// <summary>A random operand in any format and layout, in native memory, with access to the values a product must see.</summary>
internal sealed unsafe class Matrix : IDisposable
{
    private readonly byte* block;
    private readonly float[] values;
    private readonly int depth;

    public Matrix(ElementFormat format, bool kMajor, int rows, int k, int seed, bool poison = false)
    {
        depth = k;
        values = new float[rows * k];
        int outer = kMajor ? rows : k, inner = kMajor ? k : rows, bytes = format.Bytes();

        // A pitch wider than the rows, except where the end of the block is under test.
        int pitch = poison ? inner : inner + 5;
        long used = ((long)(outer - 1) * pitch) + inner;
        block = (byte*)NativeMemory.AlignedAlloc((nuint)((used * bytes) + 256), 64);
        NativeMemory.Fill(block, (nuint)((used * bytes) + 256), 0xFF);
        var random = new Random(seed);
        for (int r = 0; r < rows; r++)
        {
            for (int x = 0; x < k; x++)
            {
                byte* p = block + ((kMajor ? ((long)r * pitch) + x : ((long)x * pitch) + r) * bytes);
                values[(r * k) + x] = Write(p, format, (float)((random.NextDouble() - 0.5) * 4));
            }
        }

        Operand = new GemmOperand((nint)block, format, kMajor, pitch);
    }

    public GemmOperand Operand { get; }

    public float this[int row, int k] => values[(row * depth) + k];

    /// <summary>Stores a value and returns what the format made of it.</summary>
    public static float Write(byte* p, ElementFormat format, float value)
    {
        switch (format)
        {
            case ElementFormat.F32:
                *(float*)p = value;
                return value;
            case ElementFormat.BF16:
                return BFloat16.ToSingle(*(ushort*)p = BFloat16.FromSingle(value));
            case ElementFormat.F16:
                return (float)(*(Half*)p = (Half)value);
            case ElementFormat.E4M3:
                return E4M3.ToSingle(*p = E4M3.FromSingle(value));
            default:
                return E5M2.ToSingle(*p = E5M2.FromSingle(value));
        }
    }

    public void Dispose() => NativeMemory.AlignedFree(block);
}
