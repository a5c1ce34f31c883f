using System;
using System.Collections.Generic;
using System.Globalization;
using Fp8Lm.Generators.Diagnostics;
using Fp8Lm.Generators.Model;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.Operations;

namespace Fp8Lm.Generators.Frontend;

/// <content>Operators, conversions and mathematics on what is known at compile time.</content>
internal sealed partial class ForwardReader
{
    private static string Text(double number) => number.ToString("R", CultureInfo.InvariantCulture);

    private static bool Number(ConstantValue constant, out double number)
    {
        bool isNumber = Constants.IsNumber(constant.Value);
        number = isNumber ? Constants.ToDouble(constant.Value) : constant.Value is true ? 1 : 0;
        return isNumber || constant.Value is bool;
    }

    private Value Convert(IConversionOperation conversion, Value value)
    {
        if (!conversion.Conversion.Exists)
        {
            // C# reports it. A tensor goes on, so that a condition on one is explained as well.
            context.Broken = true;
            return value is ShapedValue ? value : ErrorValue.Instance;
        }

        if (value is not ConstantValue constant)
        {
            // Weight to Tensor, object to base class or interface, value to nullable: the same thing under another type.
            return value;
        }

        if (conversion.OperatorMethod is { } method && KnownTypes.Same(method.ContainingType, Types.Dim))
        {
            return Constants.IsNumber(constant.Value) ? new DimValue(DimExpr.Constant((long)Constants.ToDouble(constant.Value))) : Unsupported(conversion);
        }

        ITypeSymbol? target = conversion.Type is INamedTypeSymbol { OriginalDefinition.SpecialType: SpecialType.System_Nullable_T } nullable
            ? nullable.TypeArguments[0] : conversion.Type;
        return Constants.ChangeType(constant.Value, target) is { } changed ? new ConstantValue(changed) : value;
    }

    private Value Binary(IBinaryOperation operation, Frame frame)
    {
        if (operation.OperatorKind is BinaryOperatorKind.ConditionalAnd or BinaryOperatorKind.ConditionalOr && operation.OperatorMethod is null)
        {
            bool decides = operation.OperatorKind == BinaryOperatorKind.ConditionalOr;
            bool? first = Condition(operation.LeftOperand, frame);
            return first is null ? ErrorValue.Instance : first == decides ? ConstantValue.Of(decides)
                : Condition(operation.RightOperand, frame) is { } second ? ConstantValue.Of(second) : ErrorValue.Instance;
        }

        Value left = Evaluate(operation.LeftOperand, frame);
        Value right = Evaluate(operation.RightOperand, frame);
        return operation.OperatorMethod is { } method && Types.OpKey(method) is { } key
            ? construction is null
                ? Elementwise(key, operation, [left, right])
                : Report(DiagnosticDescriptors.Expression, Places.Of(operation), "An operation in a constructor or initializer", "Move it into Forward")
            : Combine(operation.OperatorKind, left, right, operation.Type, operation);
    }

    private Value Combine(BinaryOperatorKind kind, Value left, Value right, ITypeSymbol? type, IOperation place)
    {
        switch (left, right)
        {
            case (ErrorValue, _) or (_, ErrorValue):
                return ErrorValue.Instance;
            case (DimValue a, DimValue b):
                return CombineDims(kind, a.Expression, b.Expression, place);
            case (ConstantValue a, ConstantValue b):
                object? result = Constants.Combine(kind, a.Value, b.Value);
                return result is null
                    ? Report(DiagnosticDescriptors.Arithmetic, Places.Of(place), place.Syntax.ToString(), IsDivision(kind) ? "it divides by zero" : "the operator is not defined on it")
                    : new ConstantValue(Constants.ChangeType(result, type) ?? result);
            default:
                return kind is BinaryOperatorKind.Equals ? AreEqual(left, right, place)
                    : kind is BinaryOperatorKind.NotEquals ? Negate(AreEqual(left, right, place))
                    : Unsupported(place);
        }
    }

    private static bool IsDivision(BinaryOperatorKind kind) => kind is BinaryOperatorKind.Divide or BinaryOperatorKind.Remainder;

    private Value CombineDims(BinaryOperatorKind kind, DimExpr left, DimExpr right, IOperation place)
    {
        switch (kind)
        {
            case BinaryOperatorKind.Add:
                return new DimValue(left + right);
            case BinaryOperatorKind.Subtract:
                return new DimValue(left - right);
            case BinaryOperatorKind.Multiply:
                return new DimValue(left * right);
            case BinaryOperatorKind.Divide:
                return DimExpr.TryDivide(left, right) is { } quotient && !right.Equals(DimExpr.Zero)
                    ? new DimValue(quotient)
                    : Report(DiagnosticDescriptors.DimQuotient, Places.Of(place), left.ToString(), right.ToString());
            default:
                return Report(DiagnosticDescriptors.ConditionOnDim, Places.Of(place), left.Equals(right) ? left.ToString() : left + " or " + right);
        }
    }

    private Value Unary(IUnaryOperation operation, Frame frame)
    {
        Value operand = Evaluate(operation.Operand, frame);
        if (operation.OperatorMethod is { } method && Types.OpKey(method) is { } key)
        {
            return construction is null
                ? Elementwise(key, operation, [operand])
                : Report(DiagnosticDescriptors.Expression, Places.Of(operation), "An operation in a constructor or initializer", "Move it into Forward");
        }

        return (operation.OperatorKind, operand) switch
        {
            (_, ErrorValue) => operand,
            (UnaryOperatorKind.Not, ConstantValue) => Negate(operand),
            (UnaryOperatorKind.Plus, ConstantValue) => operand,
            (UnaryOperatorKind.Minus, ConstantValue { Value: double number }) => new ConstantValue(-number),
            (UnaryOperatorKind.Minus, ConstantValue { Value: float number }) => new ConstantValue(-number),
            (UnaryOperatorKind.Minus, ConstantValue) => Combine(BinaryOperatorKind.Subtract, new ConstantValue(0), operand, operation.Type, operation),
            _ => Unsupported(operation),
        };
    }

    private static Value Negate(Value value) => value is ConstantValue { Value: bool flag } ? ConstantValue.Of(!flag) : ErrorValue.Instance;

    private static bool IsMath(INamedTypeSymbol type) => type is { Name: "Math" or "MathF", ContainingNamespace: { Name: "System", ContainingNamespace.IsGlobalNamespace: true } };

    private static readonly Dictionary<string, Func<double, double>> MathFunctions = new(StringComparer.Ordinal)
    {
        ["Sqrt"] = Math.Sqrt, ["Exp"] = Math.Exp, ["Log"] = Math.Log, ["Log2"] = x => Math.Log(x) / Math.Log(2), ["Log10"] = Math.Log10, ["Abs"] = Math.Abs,
        ["Floor"] = Math.Floor, ["Ceiling"] = Math.Ceiling, ["Round"] = Math.Round, ["Tanh"] = Math.Tanh, ["Sin"] = Math.Sin, ["Cos"] = Math.Cos,
    };

    private Value CallMath(IMethodSymbol method, IOperation place, List<Value> arguments)
    {
        double[] numbers = new double[arguments.Count];
        for (int i = 0; i < numbers.Length; i++)
        {
            if (arguments[i] is ErrorValue)
            {
                return ErrorValue.Instance;
            }

            if (arguments[i] is not ConstantValue constant || !Number(constant, out numbers[i]))
            {
                return Report(DiagnosticDescriptors.NotConstant, Places.Of(place), method.Parameters[i].Name, "a number", arguments[i].Description);
            }
        }

        double? result = (method.Name, numbers) switch
        {
            (_, [var x]) when MathFunctions.TryGetValue(method.Name, out Func<double, double>? function) => function(x),
            ("Pow", [var x, var y]) => Math.Pow(x, y),
            ("Min", [var x, var y]) => Math.Min(x, y),
            ("Max", [var x, var y]) => Math.Max(x, y),
            _ => null,
        };
        return result is null ? Report(DiagnosticDescriptors.Call, Places.Of(place), "Math." + method.Name)
            : new ConstantValue(Constants.ChangeType(result.Value, method.ReturnType) ?? result.Value);
    }

    private Value MakeInit(IMethodSymbol method, IOperation place, List<Value> arguments)
    {
        if (arguments is [ErrorValue])
        {
            return ErrorValue.Instance;
        }

        if (arguments is [ConstantValue constant] && Number(constant, out double value) && !double.IsNaN(value) && !double.IsInfinity(value)
            && (value >= 0 || method.Name == "Constant"))
        {
            return new InitValue(new InitSpec(method.Name, value));
        }

        return Report(DiagnosticDescriptors.InitValue, Places.Of(place), place.Syntax.ToString(),
            method.Name == "Constant" ? "a finite number known at compile time" : "a standard deviation of at least 0, known at compile time");
    }
}
