using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using System.Text;
using Fp8Lm.Generators.Model;

namespace Fp8Lm.Generators.Tests.Harness;

/// <summary>A spec as text that a test can state: one line per statement, values numbered in reading order.</summary>
internal static class SpecPrinter
{
    public static string Print(ModelSpec spec) => string.Join("\n", spec.Parameters.Select(PrintParameter)) + "\n" + PrintForward(spec);

    public static string PrintForward(ModelSpec spec)
    {
        StringBuilder text = new();
        Print(spec.Forward, spec, "", text, []);
        return text.ToString().TrimEnd('\n');
    }

    public static string PrintParameter(ParameterSpec p) => string.Create(CultureInfo.InvariantCulture,
        $"{p.Path} [{string.Join(", ", p.Shape)}] {p.Init.Kind}({p.Init.Value}){(p.Loop >= 0 ? " loop " + p.Loop : "")}{(p.Decay ? " decay" : "")}{(p.Fp8 ? "" : " not fp8")}");

    private static void Print(IEnumerable<StatementSpec> statements, ModelSpec spec, string indent, StringBuilder text, Dictionary<int, int> names)
    {
        foreach (StatementSpec statement in statements)
        {
            switch (statement)
            {
                case OpSpec op:
                    string operands = string.Join(", ", op.Operands.Select(o => Operand(o, spec, names)).Concat(op.Attributes.Select(Attribute)));
                    text.Append(indent).Append(Value(op.Results[0], names)).Append(" = ").Append(op.Op).Append('(').Append(operands).Append(")\n");
                    break;
                case LoopSpec loop:
                    IEnumerable<string> initial = loop.Carried.Select(c => Value(c.Initial, names)).ToArray();
                    IEnumerable<string> inside = loop.Carried.Select(c => Value(c.Parameter, names)).ToArray();
                    text.Append(indent).Append("loop ").Append(loop.Name).Append(" x ").Append(loop.Count).Append(loop.Checkpoint ? " checkpoint" : "")
                        .Append(": ").Append(string.Join(", ", inside.Zip(initial, (a, b) => a + " <- " + b))).Append('\n');
                    Print(loop.Body, spec, indent + "  ", text, names);
                    text.Append(indent).Append("end: ")
                        .Append(string.Join(", ", loop.Carried.Select(c => Value(c.Result, names) + " <- " + Value(c.BodyResult, names)))).Append('\n');
                    break;
            }
        }
    }

    private static string Value(int id, Dictionary<int, int> names)
    {
        if (!names.TryGetValue(id, out int name))
        {
            names.Add(id, name = names.Count);
        }

        return "%" + name.ToString(CultureInfo.InvariantCulture);
    }

    private static string Operand(OperandSpec operand, ModelSpec spec, Dictionary<int, int> names) => operand.Kind switch
    {
        OperandKind.Value => Value(operand.Index, names),
        OperandKind.Parameter => spec.Parameters[operand.Index].Path,
        OperandKind.Tokens => "tokens",
        OperandKind.Labels => "labels",
        _ => operand.Number.ToString(CultureInfo.InvariantCulture),
    };

    private static string Attribute(AttributeSpec attribute) => attribute.Name + "=" + (attribute.Dims.Count == 0
        ? attribute.Number.ToString(CultureInfo.InvariantCulture)
        : attribute.Dims.Count == 1 ? attribute.Dims[0].ToString() : "[" + string.Join(", ", attribute.Dims) + "]");
}
