using System.Collections.Generic;
using Fp8Lm.Generators.Ir;
using Fp8Lm.Generators.Model;

namespace Fp8Lm.Generators.Passes.Precision;

/// <summary>
/// Casts whose scales belong to rows or blocks. The inverse scales are outputs of the cast, for the row-major copy and for the transposed one, and operands of
/// the product. In the graph they have the shape of the value; memory holds one per group.
/// </summary>
internal static class GroupedCasts
{
    /// <summary>The nodes, the cast last; behind each other, where the block ends.</summary>
    /// <param name="graph">The graph.</param>
    /// <param name="block">Where they go.</param>
    /// <param name="value">What is cast.</param>
    /// <param name="factor">A number to multiply with before: the inverse scale of a master that has one. The last operand.</param>
    /// <param name="format">E4M3 or E5M2.</param>
    /// <param name="recipe">Says what shares a scale.</param>
    public static List<Node> Add(Graph graph, Block block, Value value, Value? factor, Format format, RecipeSpec recipe)
    {
        Value[] times = factor is { } f ? [f] : [];
        Granularity granularity = recipe.Scaling == ScalePolicy.Rowwise ? Granularity.Row : value.Type.Rows == RowKind.Parameter ? Granularity.Square : Granularity.Block;
        NodeData data = new() { Format = format, Granularity = granularity, PowerOfTwo = recipe.PowerOfTwoScales };
        List<Node> added = [];
        Value[] inputs = [value, .. times];
        if (granularity == Granularity.Row)
        {
            // A whole row, or column, is more than a kernel sees at once.
            added.Add(graph.Add(block, OpCode.GroupAmax, inputs, [value.Type, value.Type], new NodeData { Granularity = Granularity.Block }, value.Node.Site, value.Node.Label));
            inputs = [value, added[0].Out(0), added[0].Out(1), .. times];
        }

        added.Add(graph.Add(block, OpCode.Quantize, inputs, [value.Type, value.Type, value.Type, value.Type], data, value.Node.Site, value.Node.Label));
        return added;
    }

    /// <summary>The inverse scales of a copy that a product reads; a square of a weight has one for both copies.</summary>
    public static Value ScalesOf(Value copy) => copy.Node.Out(copy.Node.Data.Granularity == Granularity.Square ? 2 : 2 + copy.Index);
}
