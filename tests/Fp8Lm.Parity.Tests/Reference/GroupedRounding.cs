using System;
using System.Linq;
using Fp8Lm.Generators.Ir;
using Fp8Lm.Numerics;

namespace Fp8Lm.Parity.Tests.Reference;

/// <summary>What casts with a scale per row or block do to numbers.</summary>
internal static class GroupedRounding
{
    private const int Group = 128;

    /// <summary>Every group is scaled so that its largest magnitude becomes the format's largest number (or up to half of it), rounded, and scaled back.</summary>
    public static void Apply(double[] values, int columns, NodeData data, bool alongColumns)
    {
        int rows = values.Length / columns;
        (int groupRows, int groupColumns) = data.Granularity switch
        {
            Granularity.Row => alongColumns ? (rows, 1) : (1, columns),
            Granularity.Block => alongColumns ? (Group, 1) : (1, Group),
            _ => (Group, Group),
        };
        for (int row = 0; row < rows; row += groupRows)
        {
            for (int column = 0; column < columns; column += groupColumns)
            {
                int[] members =
                [
                    .. from r in Enumerable.Range(row, Math.Min(groupRows, rows - row))
                       from c in Enumerable.Range(column, Math.Min(groupColumns, columns - column))
                       select (r * columns) + c,
                ];
                Round(values, members, data);
            }
        }
    }

    private static void Round(double[] values, int[] members, NodeData data)
    {
        double amax = members.Max(i => Math.Abs(values[i]));
        if (amax == 0)
        {
            return;
        }

        bool wide = data.Format == Generators.Model.Format.E5M2;
        double scale = (wide ? 57344 : 448) / amax;
        scale = data.PowerOfTwo ? Math.Pow(2, Math.Floor(Math.Log2(scale))) : scale;
        foreach (int i in members)
        {
            float scaled = (float)(values[i] * scale);
            values[i] = (wide ? E5M2.ToSingle(E5M2.FromSingle(scaled)) : E4M3.ToSingle(E4M3.FromSingle(scaled))) / scale;
        }
    }
}
