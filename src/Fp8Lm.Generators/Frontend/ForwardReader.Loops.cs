using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Generators.Diagnostics;
using Fp8Lm.Generators.Model;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.Operations;

namespace Fp8Lm.Generators.Frontend;

/// <content>
/// <c>foreach</c> over a repeated module. The body is read once, for a layer that stands for all; locals of the scopes around it that the body
/// assigns are the values handed from layer to layer.
/// </content>
internal sealed partial class ForwardReader
{
    private readonly HashSet<Frame.Binding> carried = [];

    /// <summary>Locals that leave the body in another shape. That is wrong only if they are handed on, which is known at the end.</summary>
    private readonly List<(CarriedSpec Spec, CarriedLocal Local)> reshaped = [];

    private IForEachLoopOperation? layers;
    private Frame? layersFrame;

    private void ExecuteForEach(IForEachLoopOperation loop, Frame frame)
    {
        Value collection = Evaluate(loop.Collection, frame);
        if (collection is ErrorValue)
        {
            return;
        }

        if (collection is not RepeatValue repeat)
        {
            Report(DiagnosticDescriptors.ForeachCollection, Places.Of(loop), collection.Description);
            return;
        }

        if (builder.InLoop)
        {
            Report(DiagnosticDescriptors.RepeatNested, Places.Of(loop), repeat.Path);
            return;
        }

        if (repeat.Loop >= 0)
        {
            Report(DiagnosticDescriptors.RepeatIteratedTwice, Places.Of(loop.Collection), repeat.Path);
            return;
        }

        if (loop.LoopControlVariable is not IVariableDeclaratorOperation variable)
        {
            Unsupported(loop.LoopControlVariable);
            return;
        }

        List<CarriedLocal> locals = Carried(loop, frame);
        int site = context.Site(Places.Of(loop));
        foreach (CarriedLocal local in locals)
        {
            local.Initial = Id(local.Before!, site);
        }

        (layers, layersFrame) = (loop, frame);
        repeat.Loop = builder.BeginLoop();
        foreach (CarriedLocal local in locals)
        {
            local.Parameter = builder.Tensor(local.Before!.Shape);
            local.Binding.Value = local.Parameter;
            carried.Add(local.Binding);
        }

        frame.Declare(variable.Symbol, repeat.Layer, inLoop: true);
        Execute(loop.Body, frame);

        foreach (CarriedLocal local in locals)
        {
            local.BodyResult = local.Binding.Value is ShapedValue value and not MaskValue ? Id(value, site) : local.Parameter!.Id;
            local.After = local.Binding.Value is ShapedValue shaped ? shaped.Shape : local.Before!.Shape;
        }

        EquatableArray<StatementSpec> body = builder.EndLoop();
        carried.Clear();
        (layers, layersFrame) = (null, null);

        List<CarriedSpec> specs = [];
        foreach (CarriedLocal local in locals)
        {
            TensorValue result = builder.Tensor(local.Before!.Shape);
            CarriedSpec spec = new(local.Initial, local.Parameter!.Id, local.BodyResult, result.Id);
            specs.Add(spec);
            if (!local.After.SequenceEqual(local.Before.Shape))
            {
                reshaped.Add((spec, local));
            }

            local.Binding.Value = result;
        }

        builder.Add(new LoopSpec(repeat.Loop, repeat.Path.Replace('.', '_'), repeat.Count, repeat.Checkpoint, specs.ToEquatable(), body, site));
    }

    private void ReportReshaped(Liveness liveness)
    {
        foreach ((_, CarriedLocal local) in reshaped.Where(r => liveness.IsLive(r.Spec)))
        {
            Report(DiagnosticDescriptors.CarriedShape, local.Place, local.Symbol.Name, Shapes.Print(local.Before!.Shape), Shapes.Print(local.After));
        }
    }

    /// <summary>The locals that the body assigns although they live outside of it, in the order of their first assignment.</summary>
    private List<CarriedLocal> Carried(IForEachLoopOperation loop, Frame frame)
    {
        List<CarriedLocal> locals = [];
        foreach ((ISymbol symbol, IOperation target) in AssignedSymbols(loop.Body, []))
        {
            if (frame.Find(symbol) is not { } binding || IsDeclaredIn(symbol, loop) || locals.Any(l => l.Binding == binding))
            {
                continue;
            }

            if (binding.Value is ErrorValue)
            {
                carried.Add(binding);
                continue;
            }

            if (binding.Value is null)
            {
                // Assigned in the body only: C# lets nobody read it afterwards, since a foreach may run zero times.
                carried.Add(binding);
                continue;
            }

            if (binding.Value is not ShapedValue value || value is MaskValue)
            {
                Report(DiagnosticDescriptors.CarriedValue, Places.Of(target), symbol.Name, binding.Value.Description);
                carried.Add(binding);
                continue;
            }

            locals.Add(new CarriedLocal(symbol, binding, value, Places.Of(target)));
        }

        return locals;
    }

    /// <summary>What is assigned in a piece of code, calls of local functions included.</summary>
    private IEnumerable<(ISymbol Symbol, IOperation Target)> AssignedSymbols(IOperation code, HashSet<ISymbol> visited)
    {
        foreach (IOperation operation in code.DescendantsAndSelf())
        {
            IOperation? target = operation switch
            {
                IAssignmentOperation assignment => assignment.Target,
                IIncrementOrDecrementOperation increment => increment.Target,
                _ => null,
            };
            foreach ((ISymbol, IOperation) symbol in target is null ? [] : Targets(target))
            {
                yield return symbol;
            }

            if (operation is IInvocationOperation { TargetMethod: { MethodKind: MethodKind.LocalFunction } function }
                && visited.Add(function.OriginalDefinition) && Body(function) is { } body)
            {
                foreach ((ISymbol, IOperation) symbol in AssignedSymbols(body, visited))
                {
                    yield return symbol;
                }
            }
        }
    }

    private static IEnumerable<(ISymbol Symbol, IOperation Target)> Targets(IOperation target) => target switch
    {
        ILocalReferenceOperation o => [(o.Local, o)],
        IParameterReferenceOperation o => [(o.Parameter, o)],
        ITupleOperation o => o.Elements.SelectMany(Targets),
        IDeclarationExpressionOperation o => Targets(o.Expression),
        IParenthesizedOperation o => Targets(o.Operand),
        _ => [],
    };

    private static bool IsDeclaredIn(ISymbol symbol, IOperation code) =>
        symbol.DeclaringSyntaxReferences.Any(r => r.SyntaxTree == code.Syntax.SyntaxTree && code.Syntax.Span.Contains(r.Span));

    /// <summary>A value id for a tensor; a weight that stands for a tensor gets one by an op that changes nothing.</summary>
    private int Id(ShapedValue value, int site) =>
        value is TensorValue tensor ? tensor.Id : builder.Emit("mul", [value.Operand, OperandSpec.Constant(1)], [], site);

    private sealed class CarriedLocal(ISymbol symbol, Frame.Binding binding, ShapedValue before, Location place)
    {
        public ISymbol Symbol { get; } = symbol;

        public Frame.Binding Binding { get; } = binding;

        public ShapedValue? Before { get; } = before;

        public Location Place { get; } = place;

        public int Initial { get; set; }

        public TensorValue? Parameter { get; set; }

        public int BodyResult { get; set; }

        public IReadOnlyList<DimExpr> After { get; set; } = before.Shape;
    }
}
