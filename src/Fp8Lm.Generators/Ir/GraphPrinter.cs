using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using System.Text;
using Fp8Lm.Generators.Ir.Plan;

namespace Fp8Lm.Generators.Ir;

/// <summary>A graph as stable text: values are numbered in the order they are printed, not by how many nodes passes made on the way.</summary>
internal static class GraphPrinter
{
    public static string Print(Graph graph)
    {
        StringBuilder text = new();
        Dictionary<Node, int> numbers = [];
        foreach (Node node in graph.Nodes)
        {
            numbers[node] = numbers.Count;
        }

        string Name(Value value) => value.Node is null ? "?" : (numbers.TryGetValue(value.Node, out int n) ? "%" + n.ToString(CultureInfo.InvariantCulture) : "%dead") + (value.Node.Types.Count > 1 ? "." + value.Index.ToString(CultureInfo.InvariantCulture) : "");
        foreach (Block block in graph.Blocks)
        {
            text.Append(block.Phase.ToString().ToLowerInvariant()).Append(' ').Append(block.Name);
            if (block.Loop is not null)
            {
                text.Append($" for layer in {(block.Descending ? $"{block.Loop.Count}-1..0" : $"0..{block.Loop.Count}-1")}");
            }

            text.Append('\n');
            foreach (Carry carry in block.Carries)
            {
                text.Append($"  carry {Name(carry.Parameter.Out())} = {Name(carry.Initial)} then {Name(carry.Result)}{(carry.Out is null ? "" : " out " + Name(carry.Out.Out()))}\n");
            }

            foreach (Node node in block.Nodes)
            {
                string types = string.Join(", ", node.Types.Select(t => t.ToString()));
                text.Append($"  %{numbers[node].ToString(CultureInfo.InvariantCulture)}: {types} = {node.Op}({string.Join(", ", node.Inputs.Select(Name))}){node.Data}{(node.Label.Length > 0 ? "  // " + node.Label : "")}\n");
            }
        }

        return text.ToString();
    }

    public static string Print(Graph graph, FusionPlan plan)
    {
        StringBuilder text = new();
        Dictionary<Node, int> numbers = [];
        foreach (Node node in graph.Nodes)
        {
            numbers[node] = numbers.Count;
        }

        string Name(Value value) => "%" + numbers[value.Node].ToString(CultureInfo.InvariantCulture) + (value.Node.Types.Count > 1 ? "." + value.Index.ToString(CultureInfo.InvariantCulture) : "");
        foreach (Block block in graph.Blocks)
        {
            foreach (FusedGroup group in plan.Of(block))
            {
                text.Append($"{block.Phase.ToString().ToLowerInvariant()} {block.Name}: {(group.Anchor is null ? "row" : group.Anchor.Op.ToString())} [{group.Space}]\n");
                text.Append("  nodes  ").Append(string.Join(", ", group.Members.Select(m => $"%{numbers[m].ToString(CultureInfo.InvariantCulture)} {m.Op}"))).Append('\n');
                if (group.Stores.Count > 0)
                {
                    text.Append("  stores ").Append(string.Join(", ", group.Stores.Select(Name))).Append('\n');
                }
            }
        }

        return text.ToString();
    }

    public static string Print(BufferPlan plan)
    {
        StringBuilder text = new();
        foreach (BufferSpec b in plan.Buffers)
        {
            text.Append($"{b.Name}: {b.Format.ToString().ToLowerInvariant()} {b.Rows} * {b.Outer}{Per(b.RowsPerElement)} x {b.Columns}{Per(b.ColumnsPerElement)}, {b.Category}, {b.Scope}{(b.Loop is null ? "" : " of " + b.Loop.Name)}, live {b.First.ToString(CultureInfo.InvariantCulture)}..{b.Last.ToString(CultureInfo.InvariantCulture)}\n");
        }

        return text.ToString();

        static string Per(int elements) => elements == 1 ? "" : " / " + elements.ToString(CultureInfo.InvariantCulture);
    }
}
