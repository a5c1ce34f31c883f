using System;
using System.Collections.Generic;
using System.Runtime.InteropServices;
using Fp8Lm.Cuda.Interop;
using Fp8Lm.Execution;

namespace Fp8Lm.Cuda;

/// <summary>A GEMM operand as the copy engine sees it.</summary>
/// <param name="Format">E4M3, E5M2, BF16 or F16.</param>
/// <param name="KMajor">Stored [rows, K]; otherwise [K, rows].</param>
/// <param name="Rows">M or N.</param>
/// <param name="K">Length of the sum.</param>
/// <param name="Pitch">Elements between stored rows.</param>
/// <param name="TileRows">Rows of M or N in a block's tile.</param>
/// <param name="BecomesColumns">Operand B, whose rows are columns of the result.</param>
internal readonly record struct OperandLayout(ElementFormat Format, bool KMajor, long Rows, long K, long Pitch, int TileRows, bool BecomesColumns)
{
    /// <summary>
    /// Whether rows change their order inside groups of 32, so that a lane gets adjacent columns of the result; <c>Config::kAdjacent</c> of gemm/config.cuh
    /// is the same condition.
    /// </summary>
    public bool Regroups => BecomesColumns && KMajor && Rows % TensorMapTable.GroupRows == 0;
}

/// <summary>Tensor maps by kernel, operand and address: a captured or repeated step asks for the same ones again and again.</summary>
internal sealed unsafe class TensorMapTable : IDisposable
{
    /// <summary>Rows in whose order a lane of a fragment finds eight adjacent ones.</summary>
    public const int GroupRows = 32;

    private const int SwizzleBytes = 128;
    private const int MostDimensions = 5;

    // Rows of the box of an operand that is not K-major: one 128-byte row of 64 elements, 64 of them deep.
    private const int PanelElements = 64;

    private readonly Dictionary<(int Kernel, int Operand, nint Address), nint> maps = [];

    /// <summary>The map, encoded at its first use.</summary>
    public TensorMap* Get(int kernel, int operand, nint address, in OperandLayout layout, string kernelName)
    {
        if (!maps.TryGetValue((kernel, operand, address), out nint map))
        {
            map = (nint)NativeMemory.AlignedAlloc(TensorMap.Bytes, TensorMap.Alignment);
            maps.Add((kernel, operand, address), map);
            Encode((TensorMap*)map, address, layout, $"{kernelName}, operand {(operand == 0 ? 'A' : 'B')}");
        }

        return (TensorMap*)map;
    }

    /// <summary>Writes the map of an operand.</summary>
    public static void Encode(TensorMap* map, nint address, in OperandLayout layout, string what)
    {
        int bytes = layout.Format.Bytes();
        long pitchBytes = checked(layout.Pitch * bytes);
        if (address % 16 != 0 || pitchBytes % 16 != 0)
        {
            throw new CudaException(
                $"{what}: address 0x{address:x} and row pitch {pitchBytes} bytes must be multiples of 16. Pad the dimension to a multiple of {16 / bytes}.");
        }

        ulong* dims = stackalloc ulong[MostDimensions];
        ulong* strides = stackalloc ulong[MostDimensions - 1];
        uint* box = stackalloc uint[MostDimensions];
        uint* elementStrides = stackalloc uint[MostDimensions] { 1, 1, 1, 1, 1 };
        uint rank = layout.Regroups ? 5u : 2u;
        strides[0] = (ulong)pitchBytes;
        if (layout.Regroups)
        {
            // Row 8t + 2j + i of a group becomes row 8j + 2t + i of the tile, which is where lane t finds i of its fragment j.
            (dims[0], dims[1], dims[2], dims[3], dims[4]) = ((ulong)layout.K, 2, 4, 4, (ulong)(layout.Rows / GroupRows));
            (strides[1], strides[2], strides[3]) = (8 * strides[0], 2 * strides[0], GroupRows * strides[0]);
            (box[0], box[1], box[2], box[3], box[4]) = ((uint)(SwizzleBytes / bytes), 2, 4, 4, (uint)(layout.TileRows / GroupRows));
        }
        else if (layout.KMajor)
        {
            (dims[0], dims[1]) = ((ulong)layout.K, (ulong)layout.Rows);
            (box[0], box[1]) = ((uint)(SwizzleBytes / bytes), (uint)layout.TileRows);
        }
        else
        {
            (dims[0], dims[1]) = ((ulong)layout.Rows, (ulong)layout.K);
            (box[0], box[1]) = (PanelElements, PanelElements);
        }

        TensorMapDataType type = layout.Format switch
        {
            ElementFormat.BF16 => TensorMapDataType.BFloat16,
            ElementFormat.F16 => TensorMapDataType.Float16,
            _ => TensorMapDataType.UInt8,
        };
        int result = CudaDriver.TensorMapEncodeTiled(
            map, type, rank, address, dims, strides, box, elementStrides, 0, TensorMapSwizzle.Bytes128, TensorMapL2Promotion.Bytes256, 0);
        CudaException.ThrowIfFailed(
            result, $"Tensor map of {what}: {layout.Rows} rows, {layout.K} of K, {layout.Format}, pitch {pitchBytes} bytes, tile of {layout.TileRows} rows");
    }

    public void Dispose()
    {
        foreach (nint map in maps.Values)
        {
            NativeMemory.AlignedFree((void*)map);
        }

        maps.Clear();
    }
}
