using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Generators.Model;

namespace Fp8Lm.Generators.Frontend;

/// <summary>Which values and parameters the loss depends on.</summary>
internal sealed class Liveness
{
    private readonly HashSet<int> values = [];
    private readonly HashSet<int> parameters = [];

    public Liveness(IReadOnlyList<StatementSpec> program)
    {
        // What one layer hands to the next needs another look at the body, so this repeats until nothing is added.
        int before;
        do
        {
            before = values.Count + parameters.Count;
            Visit(program);
        }
        while (values.Count + parameters.Count > before);
    }

    /// <summary>Positions of the parameters that are used.</summary>
    public ISet<int> Parameters => parameters;

    /// <summary>Without the values that are handed on but never read: a local outside of the loop that serves as a temporary inside.</summary>
    public StatementSpec WithoutDeadCarries(StatementSpec statement) => statement is LoopSpec loop
        ? loop with { Carried = loop.Carried.Where(IsLive).ToEquatable() }
        : statement;

    public bool IsLive(CarriedSpec carried) => values.Contains(carried.Parameter) || values.Contains(carried.Result);

    private void Visit(IReadOnlyList<StatementSpec> statements)
    {
        for (int i = statements.Count - 1; i >= 0; i--)
        {
            switch (statements[i])
            {
                case OpSpec op when op.Op == "cross_entropy" || op.Results.Any(values.Contains):
                    foreach (OperandSpec operand in op.Operands)
                    {
                        (operand.Kind switch { OperandKind.Value => values, OperandKind.Parameter => parameters, _ => null })?.Add(operand.Index);
                    }

                    break;
                case LoopSpec loop:
                    foreach (CarriedSpec carried in loop.Carried.Where(IsLive))
                    {
                        values.Add(carried.BodyResult);
                        values.Add(carried.Initial);
                    }

                    Visit(loop.Body);
                    break;
            }
        }
    }
}
