using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Generators.Diagnostics;
using Fp8Lm.Generators.Model;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.Operations;

namespace Fp8Lm.Generators.Frontend;

/// <content>Weights and repeated modules.</content>
internal sealed partial class ForwardReader
{
    private static readonly InitSpec DefaultMatrix = new("Normal", 0.02), DefaultVector = new("Zeros", 0);

    private Value CreateWeight(IObjectCreationOperation operation, List<Value> arguments, Frame frame)
    {
        List<DimExpr> shape = [];
        foreach (Value extent in arguments is [TupleValue extents] ? extents.Items : arguments)
        {
            switch (extent)
            {
                case DimValue dim:
                    shape.Add(dim.Expression);
                    break;
                case ErrorValue:
                    return extent;
                default:
                    return Report(DiagnosticDescriptors.NotConstant, Places.Of(operation), construction!.Path, "extents", extent.Description);
            }
        }

        if (shape.Count == 0)
        {
            return Report(DiagnosticDescriptors.WeightShape, Places.Of(operation), construction!.Path);
        }

        InitSpec init = shape.Count > 1 ? DefaultMatrix : DefaultVector;
        bool decay = shape.Count > 1, fp8 = true;
        foreach (ISimpleAssignmentOperation assignment in Assignments(operation))
        {
            Value value = Evaluate(assignment.Value, frame);
            switch (value)
            {
                case InitValue given:
                    init = given.Spec;
                    break;
                case ConstantValue { Value: bool flag } when assignment.Target is IPropertyReferenceOperation { Property.Name: "Fp8" }:
                    fp8 = flag;
                    break;
                case ConstantValue { Value: bool flag }:
                    decay = flag;
                    break;
                case NullValue:
                    break;
                case ErrorValue:
                    return value;
                default:
                    return Report(DiagnosticDescriptors.InitValue, Places.Of(assignment.Value), assignment.Value.Syntax.ToString(), "an Init such as Init.Ones, or a bool known at compile time");
            }
        }

        string path = Unique(construction!.Path);
        WeightValue weight = new(weights.Count, path, shape, init, decay, fp8, construction.Repeat, DeclarationPlace(operation));
        weights.Add(weight);
        return weight;
    }

    /// <summary>The field's name rather than the <c>new</c> behind it, which is where a reader looks for a weight.</summary>
    private static Location DeclarationPlace(IOperation operation)
    {
        for (IOperation? current = operation.Parent; current is not null; current = current.Parent)
        {
            switch (current)
            {
                case IFieldInitializerOperation { InitializedFields: [var field, ..] }:
                    return Places.Of(field, Places.Of(operation));
                case IPropertyInitializerOperation { InitializedProperties: [var property, ..] }:
                    return Places.Of(property, Places.Of(operation));
                case ISimpleAssignmentOperation { Target: IMemberReferenceOperation { Member: var member } }:
                    return Places.Of(member, Places.Of(operation));
                case IObjectCreationOperation or IInvocationOperation or IBlockOperation:
                    return Places.Of(operation);
            }
        }

        return Places.Of(operation);
    }

    /// <summary>Names are keys in checkpoints, so two weights never share one.</summary>
    private string Unique(string path)
    {
        string candidate = path;
        for (int number = 2; weights.Any(w => w.Path == candidate); number++)
        {
            candidate = path + number.ToString(System.Globalization.CultureInfo.InvariantCulture);
        }

        return candidate;
    }

    private Value CreateRepeat(IObjectCreationOperation operation, List<Value> arguments, Frame frame)
    {
        string path = construction!.Path;
        if (construction.Repeat is not null)
        {
            return Report(DiagnosticDescriptors.RepeatNested, Places.Of(operation), path);
        }

        if (arguments is not [var count, var factory] || count is ErrorValue || factory is ErrorValue)
        {
            return ErrorValue.Instance;
        }

        if (count is not DimValue layers || factory is not FunctionValue function)
        {
            return Report(DiagnosticDescriptors.RepeatFactory, Places.Of(operation), path);
        }

        bool checkpoint = false;
        foreach (ISimpleAssignmentOperation assignment in Assignments(operation))
        {
            Value value = Evaluate(assignment.Value, frame);
            if (value is not ConstantValue { Value: bool flag })
            {
                return value is ErrorValue ? value : Report(DiagnosticDescriptors.NotConstant, Places.Of(assignment.Value), "Checkpoint", "a bool", value.Description);
            }

            checkpoint = flag;
        }

        RepeatValue repeat = new(path, layers.Expression, checkpoint, DeclarationPlace(operation));
        Construction outer = construction;
        construction = new Construction(path + ".*", repeat);
        repeat.Layer = CallFunction(function, [], operation);
        construction = outer;
        repeats.Add(repeat);
        return repeat.Layer is ModuleValue ? repeat
            : repeat.Layer is ErrorValue ? repeat.Layer
            : Report(DiagnosticDescriptors.RepeatFactory, Places.Of(operation.Arguments[1].Value), path);
    }
}
