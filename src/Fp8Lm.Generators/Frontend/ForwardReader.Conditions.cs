using Fp8Lm.Generators.Diagnostics;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.Operations;

namespace Fp8Lm.Generators.Frontend;

/// <content>Conditions and patterns: they choose at compile time, so they must be constants.</content>
internal sealed partial class ForwardReader
{
    /// <summary>Null when it is not known; then that was reported.</summary>
    private bool? Condition(IOperation condition, Frame frame) => Truth(Evaluate(condition, frame), condition);

    private bool? Truth(Value value, IOperation place)
    {
        switch (value)
        {
            case ConstantValue { Value: bool flag }:
                return flag;
            case ErrorValue:
                return null;
            case ShapedValue or TokensValue or LabelsValue:
                Report(DiagnosticDescriptors.ConditionOnTensor, Places.Of(place), value.Description);
                return null;
            case DimValue dim:
                Report(DiagnosticDescriptors.ConditionOnDim, Places.Of(place), dim.Expression.ToString());
                return null;
            default:
                Report(DiagnosticDescriptors.NotConstant, Places.Of(place), "if", "a condition", value.Description);
                return null;
        }
    }

    private Value Choose(IConditionalOperation operation, Frame frame)
    {
        switch (Condition(operation.Condition, frame))
        {
            case true:
                return Evaluate(operation.WhenTrue, frame);
            case false when operation.WhenFalse is not null:
                return Evaluate(operation.WhenFalse, frame);
            default:
                return ErrorValue.Instance;
        }
    }

    private Value Switch(ISwitchExpressionOperation operation, Frame frame)
    {
        Value value = Evaluate(operation.Value, frame);
        foreach (ISwitchExpressionArmOperation arm in operation.Arms)
        {
            bool? matches = Truth(Matches(arm.Pattern, value, operation.Value, frame), operation.Value);
            if (matches is true && arm.Guard is not null)
            {
                matches = Condition(arm.Guard, frame);
            }

            if (matches is null)
            {
                return ErrorValue.Instance;
            }

            if (matches is true)
            {
                return Evaluate(arm.Value, frame);
            }
        }

        return Report(DiagnosticDescriptors.Arithmetic, Places.Of(operation.Value), operation.Value.Syntax.ToString(), "no arm of the switch matches it");
    }

    /// <summary>Whether two things known at compile time are equal; a report and an error when they are not known.</summary>
    private Value AreEqual(Value left, Value right, IOperation place) => (left, right) switch
    {
        (ErrorValue, _) or (_, ErrorValue) => ErrorValue.Instance,
        (NullValue, _) or (_, NullValue) => ConstantValue.Of(left == right),
        (ConstantValue a, ConstantValue b) => ConstantValue.Of(Constants.AreEqual(a.Value, b.Value)),
        (ModuleValue or RepeatValue or WeightValue or FunctionValue, _) when left.GetType() == right.GetType() => ConstantValue.Of(left == right),
        (DimValue a, _) => Report(DiagnosticDescriptors.ConditionOnDim, Places.Of(place), a.Expression.ToString()),
        (_, DimValue b) => Report(DiagnosticDescriptors.ConditionOnDim, Places.Of(place), b.Expression.ToString()),
        _ => Report(DiagnosticDescriptors.ConditionOnTensor, Places.Of(place), (left is ConstantValue ? right : left).Description),
    };

    private Value Matches(IPatternOperation pattern, Value value, IOperation place, Frame frame)
    {
        switch (pattern)
        {
            case var _ when value is ErrorValue:
                return value;
            case IDiscardPatternOperation:
                return ConstantValue.True;
            case IConstantPatternOperation constant:
                return AreEqual(value, Evaluate(constant.Value, frame), place);
            case INegatedPatternOperation negated:
                return Negate(Matches(negated.Pattern, value, place, frame));
            case IBinaryPatternOperation binary:
                Value left = Matches(binary.LeftPattern, value, place, frame);
                bool decides = binary.OperatorKind == BinaryOperatorKind.Or;
                return left is ConstantValue { Value: bool flag } && flag != decides ? Matches(binary.RightPattern, value, place, frame) : left;
            case IRelationalPatternOperation relational:
                return Combine(relational.OperatorKind, value, Evaluate(relational.Value, frame), null, place);
            case ITypePatternOperation type:
                return IsOfType(value, type.MatchedType);
            case IDeclarationPatternOperation declaration:
                return Bind(declaration.DeclaredSymbol, declaration.MatchedType is null ? ConstantValue.True : IsOfType(value, declaration.MatchedType), value, frame);
            case IRecursivePatternOperation { PropertySubpatterns.Length: 0, DeconstructionSubpatterns.Length: 0 } notNull:
                return Bind(notNull.DeclaredSymbol, IsOfType(value, notNull.MatchedType), value, frame);
            default:
                return Unsupported(pattern);
        }
    }

    private Value Bind(ISymbol? symbol, Value matches, Value value, Frame frame)
    {
        if (symbol is not null)
        {
            frame.Declare(symbol, value, builder.InLoop);
        }

        return matches;
    }

    /// <summary>Static types are right already; what is open is null and the class behind an interface.</summary>
    private ConstantValue IsOfType(Value value, ITypeSymbol type) => ConstantValue.Of(
        value is not NullValue
        && (value is not ModuleValue module || context.Compilation.ClassifyCommonConversion(module.Type, type) is { Exists: true, IsImplicit: true }));
}
