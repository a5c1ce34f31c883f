using System;
using Fp8Lm.Execution;
using Fp8Lm.Generators.Emit;
using Fp8Lm.Generators.Ir;
using Fp8Lm.Generators.Ir.Plan;
using Fp8Lm.Generators.Kernels;
using Fp8Lm.Numerics;
using Fp8Lm.Parity.Tests.Reference;
using Fp8Lm.Training;
using Fp8Lm.Generators.Model;

namespace Fp8Lm.Parity.Tests.Harness;

/// <summary>Reads a value that a kernel has just stored, as numbers in the order of the reference.</summary>
internal static class StoredValue
{
    /// <summary>Null for what has no such order: sums by slabs, and outputs that are operands of a library kernel.</summary>
    public static double[]? Read(Session session, CompiledProgram compiled, KernelProgram kernel, nint[] args, Value value, RealArray shape, Problem problem, int rows)
    {
        Storage place = compiled.Buffers.Places[value];
        if (place.Rows is BufferRows.Slabs or BufferRows.ChunkSlabs || shape.Kind != RowKind.Token)
        {
            return null;
        }

        int known = kernel.Params.Count, index = kernel.Params.IndexOf(compiled.Context.Buffer(kernel, value, place, write: true));
        if (kernel.Params.Count > known)
        {
            kernel.Params.RemoveAt(known);
            return null;
        }

        // The CPU keeps the row-major order in transposed copies.
        BufferSpec buffer = compiled.Buffers.Buffers[place.Buffer];
        long tokenRows = place.Rows == BufferRows.Chunk ? rows : problem.TokenCount;
        long features = shape.Features, columns = shape.Columns;
        long outer = features / columns, whole = problem.Extent(buffer.Columns) * problem.Extent(buffer.Outer);
        long start = place.Offset.Equals(DimExpr.Zero) ? 0 : problem.Extent(place.Offset);
        start = place.Transposed ? start / tokenRows : start;
        long pitch = place.Transposed ? whole : problem.Extent(place.Pitch), outerPitch = problem.Extent(place.OuterPitch);
        double[] values = new double[rows * features];
        int size = LoweringContext.Bytes(place.Format);
        for (long row = 0; row < rows; row++)
        {
            for (long o = 0; o < outer; o++)
            {
                nint address = args[index] + (nint)(((row * pitch) + start + (o * outerPitch)) * size);
                byte[] bytes = session.Read<byte>(address, columns * size);
                for (long c = 0; c < columns; c++)
                {
                    values[(row * features) + (o * columns) + c] = Decode(bytes.AsSpan((int)c * size, size), place.Format);
                }
            }
        }

        return values;
    }

    private static double Decode(ReadOnlySpan<byte> bytes, Generators.Model.Format format) => format switch
    {
        Generators.Model.Format.F32 => BitConverter.ToSingle(bytes),
        Generators.Model.Format.BF16 => BFloat16.ToSingle(BitConverter.ToUInt16(bytes)),
        Generators.Model.Format.F16 => Float16.ToSingle(BitConverter.ToUInt16(bytes)),
        Generators.Model.Format.E4M3 => E4M3.ToSingle(bytes[0]),
        Generators.Model.Format.E5M2 => E5M2.ToSingle(bytes[0]),
        _ => throw new NotSupportedException($"{format}"),
    };
}
