using System;
using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Generators.Ir;

namespace Fp8Lm.Generators.Passes;

/// <summary>
/// The range of an element-wise function of one value of any size, by interval arithmetic on pieces of the axis that are halved until the bounds are tight. No
/// function is known by name: what a user composes is bounded like what the language has.
/// </summary>
internal sealed class SlopeRange
{
    /// <summary>Bounds are off by this much at most, in parts of the range.</summary>
    private const double Tolerance = 1.0 / 2048;

    /// <summary>The axis ends at plus and minus two to this power. Where FP32 would overflow on the way, the gradient is not a number anyway.</summary>
    private const int Octaves = 40;

    /// <summary>Functions that take more pieces are not worth the time of whoever is typing.</summary>
    private const int MostPieces = 20000;

    private readonly Node[] nodes;
    private readonly int[][] operands;
    private readonly Interval[] values;

    private SlopeRange(Node variable, List<Node> expression)
    {
        // The variable stands in front of what is computed from it and from constants.
        nodes = [variable, .. expression.Where(n => n != variable)];
        operands = [.. nodes.Select((n, i) => i == 0 ? [] : n.Inputs.Select(input => Array.IndexOf(nodes, input.Node)).ToArray())];
        values = new Interval[nodes.Length];
    }

    /// <summary>Where the value lies; null where it is no function of one value, or not bounded.</summary>
    public static Interval? Of(Value value)
    {
        List<Node> all = Below(value.Node, null);
        foreach (Node variable in all.Where(n => n != value.Node && n.Op != OpCode.Constant))
        {
            List<Node> expression = Below(value.Node, variable);
            if (expression.All(n => n == variable || (n.Op == OpCode.Constant ? n.Data.Extent is null && n.Data.Divisor is null : IsFunction(n))))
            {
                return new SlopeRange(variable, expression).Search();
            }
        }

        return null;
    }

    /// <summary>A function of its operands alone, element by element.</summary>
    public static bool IsFunction(Node node) => node.Class == OpClass.Elementwise && (OpTable.Of(node.Op).Fold is not null || node.Op is OpCode.Erf or OpCode.Pow);

    /// <summary>What a node is computed from, operands first, down to a variable.</summary>
    private static List<Node> Below(Node root, Node? variable)
    {
        List<Node> order = [];
        HashSet<Node> seen = [];
        void Visit(Node node)
        {
            if (!seen.Add(node))
            {
                return;
            }

            if (node != variable && IsFunction(node))
            {
                foreach (Value input in node.Inputs)
                {
                    Visit(input.Node);
                }
            }

            order.Add(node);
        }

        Visit(root);
        return order;
    }

    private Interval? Search()
    {
        Stack<Interval> pieces = new();
        for (int octave = -1; octave < Octaves; octave++)
        {
            (double near, double far) = (octave < 0 ? 0 : Math.Pow(2, octave), Math.Pow(2, octave + 1));
            pieces.Push(new Interval(near, far));
            pieces.Push(new Interval(-far, -near));
        }

        // What the function is known to reach; pieces that cannot leave that by much are done.
        Interval reached = Evaluate(new Interval(0, 0));
        Interval result = reached;
        for (int count = 0; pieces.Count > 0; count++)
        {
            Interval piece = pieces.Pop();
            double middle = piece.Low + ((piece.High - piece.Low) / 2);
            reached = reached.Join(Evaluate(new Interval(middle, middle))).Join(Evaluate(new Interval(piece.High, piece.High)));
            Interval bounds = Evaluate(piece);
            double slack = Tolerance * (reached.High - reached.Low);
            if (bounds.Low >= reached.Low - slack && bounds.High <= reached.High + slack)
            {
                result = result.Join(bounds);
            }
            else if (count > MostPieces || middle <= piece.Low || middle >= piece.High || double.IsInfinity(slack))
            {
                return null;
            }
            else
            {
                pieces.Push(new Interval(piece.Low, middle));
                pieces.Push(new Interval(middle, piece.High));
            }
        }

        return result.Join(reached);
    }

    private Interval Evaluate(Interval variable)
    {
        values[0] = variable;
        for (int i = 1; i < nodes.Length; i++)
        {
            Node node = nodes[i];
            int[] from = operands[i];
            values[i] = node.Op == OpCode.Constant
                ? new Interval(node.Data.Number, node.Data.Number)
                : Interval.Of(node, [.. from.Select(o => values[o])], from.Length == 2 && from[0] == from[1]);
        }

        return values[nodes.Length - 1];
    }
}
