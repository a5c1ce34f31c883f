using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Generators.Diagnostics;
using Fp8Lm.Generators.Model;
using Microsoft.CodeAnalysis;

namespace Fp8Lm.Generators.Frontend;

/// <content>The model's Forward, and what is checked once all of it is known.</content>
internal sealed partial class ForwardReader
{
    /// <summary>Reads Forward and everything it calls; the loss comes last.</summary>
    public IReadOnlyList<StatementSpec> ReadForward(IMethodSymbol forward, ModuleValue model)
    {
        Location place = Places.Of(forward, Location.None);
        Value result = Inline(forward, model, [TokensValue.Instance, LabelsValue.Instance], null, null);
        switch (result)
        {
            case LossValue:
                break;
            case ShapedValue when losses > 0:
                Report(DiagnosticDescriptors.CrossEntropyPlace, place, "is called, but Forward returns logits");
                break;
            case ShapedValue logits:
                Lower(new OpCall("cross_entropy", null, place)
                {
                    Operands = { logits.Operand, OperandSpec.Labels }, Shapes = { logits.Shape, Shapes.Scalar }, Attributes = { AttributeSpec.Of("z_loss", 0) },
                });
                break;
            case NullValue:
                Report(DiagnosticDescriptors.NoValue, place, "the result of Forward");
                break;
        }

        IReadOnlyList<StatementSpec> program = [.. builder.Program.OrderBy(IsLoss)];
        if (context.Failed || context.Broken)
        {
            return program;
        }

        Liveness liveness = new(program);
        ReportReshaped(liveness);
        foreach (RepeatValue repeat in repeats.Where(r => r.Loop < 0))
        {
            Report(DiagnosticDescriptors.RepeatUnused, repeat.Location, repeat.Path);
        }

        foreach (WeightValue weight in weights.Where(w => w.Repeat is not { Loop: < 0 } && !liveness.Parameters.Contains(w.Index)))
        {
            Report(DiagnosticDescriptors.WeightUnused, weight.Location, weight.Path);
        }

        HashSet<int> repeated = [.. program.OfType<LoopSpec>().SelectMany(l => l.Body).OfType<OpSpec>().Where(o => o.Op == "linear").Select(o => o.Operands[1].Index)];
        foreach (WeightValue weight in weights.Where(w => !w.Fp8 && !repeated.Contains(w.Index)))
        {
            Report(DiagnosticDescriptors.WeightFp8, weight.Location, weight.Path);
        }

        return [.. program.Select(liveness.WithoutDeadCarries)];
    }

    private static bool IsLoss(StatementSpec statement) => statement is OpSpec { Op: "cross_entropy" };
}
