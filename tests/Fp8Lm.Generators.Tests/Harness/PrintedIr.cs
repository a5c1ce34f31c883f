using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using System.Text.RegularExpressions;

namespace Fp8Lm.Generators.Tests.Harness;

/// <summary>One line of a printed graph.</summary>
internal sealed record PrintedNode(int Id, string Op, string Types, int[] Inputs, string Data, string Label, string Block);

/// <summary>One carried value of a printed graph.</summary>
internal sealed record PrintedCarry(string Block, int Parameter, int Initial, int Result);

/// <summary>A printed graph, read back: what tests say about a pass they say about the text that people see.</summary>
internal sealed partial record PrintedIr(string Text, IReadOnlyList<PrintedNode> Nodes, IReadOnlyList<PrintedCarry> Carries)
{
    public IEnumerable<PrintedNode> Of(string op) => Nodes.Where(n => n.Op == op);

    /// <summary>The lines of some ops, without numbers, in order: enough to see what happened.</summary>
    public string[] Ops(string block) => [.. Nodes.Where(n => n.Block == block).Select(n => n.Op)];

    /// <summary>What an operand stands for, through reshapes.</summary>
    public PrintedNode Root(int id)
    {
        PrintedNode node = Nodes[id];
        return node.Op == "Reshape" ? Root(node.Inputs[0]) : node;
    }

    public IEnumerable<PrintedNode> UsersOf(int id) => Nodes.Where(n => n.Inputs.Contains(id));

    public static PrintedIr Parse(string text)
    {
        List<PrintedNode> nodes = [];
        List<PrintedCarry> carries = [];
        string block = "";
        foreach (string line in text.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            if (NodeLine().Match(line) is { Success: true } node)
            {
                nodes.Add(new PrintedNode(
                    Number(node, "id"), node.Groups["op"].Value, node.Groups["types"].Value,
                    [.. Id().Matches(node.Groups["inputs"].Value).Select(m => Number(m, "id"))], node.Groups["data"].Value, node.Groups["label"].Value, block));
            }
            else if (CarryLine().Match(line) is { Success: true } carry)
            {
                carries.Add(new PrintedCarry(block, Number(carry, "parameter"), Number(carry, "initial"), Number(carry, "result")));
            }
            else
            {
                block = line.Split(" for ")[0];
            }
        }

        return new PrintedIr(text, nodes, carries);
    }

    private static int Number(Match match, string group) => int.Parse(match.Groups[group].ValueSpan, CultureInfo.InvariantCulture);

    [GeneratedRegex(@"^  %(?<id>\d+): (?<types>.*) = (?<op>\w+)\((?<inputs>[^)]*)\)(?<data>\{.*?\})?(  // (?<label>.*))?$")]
    private static partial Regex NodeLine();

    [GeneratedRegex(@"^  carry %(?<parameter>\d+)\S* = %(?<initial>\d+)\S* then %(?<result>\d+)\S*( out .*)?$")]
    private static partial Regex CarryLine();

    [GeneratedRegex(@"%(?<id>\d+)")]
    private static partial Regex Id();
}
