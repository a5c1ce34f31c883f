using System.Linq;
using Fp8Lm.Generators.Ir;

namespace Fp8Lm.Parity.Tests.Reference;

/// <summary>A value in double precision: rows (tokens, positions, or one) times features.</summary>
internal sealed class RealArray
{
    public RealArray(RowKind kind, long rows, long[] dims)
    {
        Kind = kind;
        Rows = checked((int)rows);
        Dims = [.. dims.Select(d => checked((int)d))];
        Features = Dims.Aggregate(1, (a, b) => a * b);
        Data = new double[Rows * Features];
    }

    public RowKind Kind { get; }

    public int Rows { get; }

    public int[] Dims { get; }

    /// <summary>Elements of one row.</summary>
    public int Features { get; }

    public double[] Data { get; }

    /// <summary>Extent of the last axis.</summary>
    public int Columns => Dims.Length == 0 ? 1 : Dims[^1];

    /// <summary>The same numbers under another shape.</summary>
    public RealArray As(RealArray shape)
    {
        Data.CopyTo(shape.Data, 0);
        return shape;
    }

    /// <summary>
    /// Offsets into this array of the elements that stand at each element of a result with the given rows and feature axes: axes align at
    /// the last one, an axis of 1 stretches, positions repeat with every sequence.
    /// </summary>
    public int[] OffsetsIn(RealArray result, int sequence)
    {
        int[] features = FeatureOffsets(result.Dims);
        int[] offsets = new int[result.Data.Length];
        for (int r = 0, at = 0; r < result.Rows; r++)
        {
            int row = Kind switch { RowKind.Token => r, RowKind.Position => r % sequence, _ => 0 };
            foreach (int feature in features)
            {
                offsets[at++] = (row * Features) + feature;
            }
        }

        return offsets;
    }

    private int[] FeatureOffsets(int[] dims)
    {
        int[] offsets = new int[dims.Aggregate(1, (a, b) => a * b)];
        for (int i = 0; i < offsets.Length; i++)
        {
            int rest = i, stride = 1, offset = 0;
            for (int axis = 1; axis <= dims.Length; axis++)
            {
                int coordinate = rest % dims[^axis];
                rest /= dims[^axis];
                if (axis <= Dims.Length)
                {
                    offset += Dims[^axis] == 1 ? 0 : coordinate * stride;
                    stride *= Dims[^axis];
                }
            }

            offsets[i] = offset;
        }

        return offsets;
    }
}
