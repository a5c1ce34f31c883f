using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Generators.Model;

namespace Fp8Lm.Generators.Frontend;

/// <summary>Collects the statements of the forward pass and numbers its values.</summary>
internal sealed class SpecBuilder
{
    private readonly List<StatementSpec> program = [];
    private List<StatementSpec>? body;
    private int values, loops;

    /// <summary>Number of ops so far.</summary>
    public int Ops { get; private set; }

    /// <summary>Whether statements go into the body of a loop over layers.</summary>
    public bool InLoop => body is not null;

    public IReadOnlyList<StatementSpec> Program => program;

    public int NewValue() => values++;

    public TensorValue Tensor(IReadOnlyList<DimExpr> shape) => new(NewValue(), shape);

    /// <summary>Adds an op with one result and gives the result's id.</summary>
    public int Emit(string op, IEnumerable<OperandSpec> operands, IEnumerable<AttributeSpec> attributes, int site)
    {
        int result = NewValue();
        Ops++;
        (body ?? program).Add(new OpSpec(op, operands.ToEquatable(), attributes.ToEquatable(), new([result]), site));
        return result;
    }

    public int BeginLoop()
    {
        body = [];
        return loops++;
    }

    /// <summary>Ends the loop: what was added since it began.</summary>
    public EquatableArray<StatementSpec> EndLoop()
    {
        EquatableArray<StatementSpec> statements = body!.ToEquatable();
        body = null;
        return statements;
    }

    public void Add(LoopSpec loop) => program.Add(loop);
}
