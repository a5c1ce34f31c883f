using System.Collections.Generic;
using Fp8Lm.Generators.Diagnostics;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.Operations;

namespace Fp8Lm.Generators.Frontend;

/// <content>Assignments of all kinds.</content>
internal sealed partial class ForwardReader
{
    private Value Assign(ISimpleAssignmentOperation operation, Frame frame)
    {
        if (operation.IsRef)
        {
            return Unsupported(operation);
        }

        // A field assigned in a constructor names the weight that is created on the right.
        string? path = frame.Self is { } self && construction is not null && MemberName(operation.Target) is { } name ? self.Member(name) : construction?.Path;
        Value value = Named(path, () => Evaluate(operation.Value, frame));
        return Store(operation.Target, value, frame);
    }

    private Value AssignCompound(ICompoundAssignmentOperation operation, Frame frame)
    {
        Value left = Evaluate(operation.Target, frame);
        Value right = Evaluate(operation.Value, frame);
        Value result = operation.OperatorMethod is { } method && Types.OpKey(method) is { } key
            ? Elementwise(key, operation, [left, right])
            : Combine(operation.OperatorKind, left, right, operation.Type, operation);
        return Store(operation.Target, result, frame);
    }

    private Value AssignCoalesce(ICoalesceAssignmentOperation operation, Frame frame)
    {
        Value current = Evaluate(operation.Target, frame);
        return current is NullValue ? Store(operation.Target, Evaluate(operation.Value, frame), frame) : current;
    }

    private Value Increment(IIncrementOrDecrementOperation operation, Frame frame)
    {
        Value before = Evaluate(operation.Target, frame);
        BinaryOperatorKind kind = operation.Kind == OperationKind.Increment ? BinaryOperatorKind.Add : BinaryOperatorKind.Subtract;
        Value after = Combine(kind, before, new ConstantValue(1), operation.Type, operation);
        Store(operation.Target, after, frame);
        return operation.IsPostfix ? before : after;
    }

    private Value Deconstruct(IOperation target, Value value, Frame frame)
    {
        switch (target)
        {
            case IDeclarationExpressionOperation declaration:
                return Deconstruct(declaration.Expression, value, frame);
            case ITupleOperation tuple when value is TupleValue items && items.Items.Count == tuple.Elements.Length:
                for (int i = 0; i < tuple.Elements.Length; i++)
                {
                    Deconstruct(tuple.Elements[i], items.Items[i], frame);
                }

                return value;
            case ITupleOperation tuple:
                foreach (IOperation element in tuple.Elements)
                {
                    Deconstruct(element, ErrorValue.Instance, frame);
                }

                return value is ErrorValue ? value : Unsupported(target);
            default:
                return Store(target, value, frame);
        }
    }

    /// <summary>Assigns to a local, a parameter, or in a constructor a member of the object.</summary>
    private Value Store(IOperation target, Value value, Frame frame)
    {
        switch (target)
        {
            case IDiscardOperation:
                return value;
            case IParenthesizedOperation o:
                return Store(o.Operand, value, frame);
            case IDeclarationExpressionOperation o:
                return Store(o.Expression, value, frame);
            case ILocalReferenceOperation o:
                return StoreVariable(o.Local, value, o, frame);
            case IParameterReferenceOperation o:
                return StoreVariable(o.Parameter, value, o, frame);
            case IFieldReferenceOperation { Instance: not null } o:
                return StoreMember(o.Field, Evaluate(o.Instance, frame), value, o);
            case IPropertyReferenceOperation { Instance: not null } o:
                return StoreMember(o.Property, Evaluate(o.Instance, frame), value, o);
            case IInvalidOperation:
                return Broken();
            case IFieldReferenceOperation or IPropertyReferenceOperation:
                return Report(DiagnosticDescriptors.MemberReassigned, Places.Of(target), target.Syntax.ToString());
            default:
                return Unsupported(target);
        }
    }

    private Value StoreVariable(ISymbol symbol, Value value, IOperation place, Frame frame)
    {
        Frame.Binding? binding = frame.Find(symbol);
        if (binding is null)
        {
            if (symbol is IParameterSymbol)
            {
                return Report(DiagnosticDescriptors.MemberReassigned, Places.Of(place), symbol.Name);
            }

            frame.Declare(symbol, value, builder.InLoop);
            return value;
        }

        if (builder.InLoop && !binding.InLoop && !carried.Contains(binding))
        {
            return Report(DiagnosticDescriptors.CapturedAssignment, Places.Of(place), symbol.Name);
        }

        binding.Value = value;
        return value;
    }

    private Value StoreMember(ISymbol member, Value instance, Value value, IOperation place)
    {
        if (instance is ErrorValue)
        {
            return instance;
        }

        if (construction is null || instance is not ModuleValue module)
        {
            return Report(DiagnosticDescriptors.MemberReassigned, Places.Of(place), member.Name);
        }

        ITypeSymbol? type = (member as IFieldSymbol)?.Type ?? (member as IPropertySymbol)?.Type;
        if (module.Members.TryGetValue(member, out Value? existing) && existing is not NullValue && type is not null && IsTrained(type))
        {
            return Report(DiagnosticDescriptors.WeightAssignedTwice, Places.Of(place), member.Name);
        }

        module.Members[member] = value;
        return value;
    }

    private static string? MemberName(IOperation target) => target switch
    {
        IFieldReferenceOperation { Instance: IInstanceReferenceOperation } o => o.Field.Name,
        IPropertyReferenceOperation { Instance: IInstanceReferenceOperation } o => o.Property.Name,
        ILocalReferenceOperation o => o.Local.Name,
        _ => null,
    };
}
