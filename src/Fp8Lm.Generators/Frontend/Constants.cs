using System;
using System.Globalization;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.Operations;

namespace Fp8Lm.Generators.Frontend;

/// <summary>C#'s arithmetic on constants, for expressions that C# itself does not fold because a constructor parameter is in them.</summary>
internal static class Constants
{
    public static bool IsNumber(object value) => value is int or long or float or double or uint or ulong or short or ushort or byte or sbyte;

    public static double ToDouble(object value) => System.Convert.ToDouble(value, CultureInfo.InvariantCulture);

    /// <summary>The value in another type; null when the type is none of numbers and flags.</summary>
    public static object? ChangeType(object value, ITypeSymbol? type)
    {
        SpecialType target = type is INamedTypeSymbol { EnumUnderlyingType: { } underlying } ? underlying.SpecialType : type?.SpecialType ?? SpecialType.None;
        if (target == SpecialType.System_Boolean)
        {
            return value is bool ? value : null;
        }

        if (!IsNumber(value))
        {
            return null;
        }

        unchecked
        {
            return target switch
            {
                SpecialType.System_Double => ToDouble(value),
                SpecialType.System_Single => (float)ToDouble(value),
                SpecialType.System_Int32 => (int)ToLong(value),
                SpecialType.System_Int64 => ToLong(value),
                SpecialType.System_UInt32 => (uint)ToLong(value),
                SpecialType.System_UInt64 => (ulong)ToLong(value),
                SpecialType.System_Int16 => (short)ToLong(value),
                SpecialType.System_Byte => (byte)ToLong(value),
                _ => null,
            };
        }
    }

    public static bool AreEqual(object left, object right) =>
        IsNumber(left) && IsNumber(right) ? ToDouble(left).Equals(ToDouble(right)) : left.Equals(right);

    /// <summary>The outcome of a binary operator; null when there is none (a division by zero, or operands it is not defined on).</summary>
    public static object? Combine(BinaryOperatorKind kind, object left, object right)
    {
        if (left is bool a && right is bool b)
        {
            return kind switch
            {
                BinaryOperatorKind.And or BinaryOperatorKind.ConditionalAnd => a && b,
                BinaryOperatorKind.Or or BinaryOperatorKind.ConditionalOr => a || b,
                BinaryOperatorKind.ExclusiveOr or BinaryOperatorKind.NotEquals => a != b,
                BinaryOperatorKind.Equals => a == b,
                _ => null,
            };
        }

        if (!IsNumber(left) || !IsNumber(right))
        {
            return kind switch { BinaryOperatorKind.Equals => AreEqual(left, right), BinaryOperatorKind.NotEquals => !AreEqual(left, right), _ => null };
        }

        if (left is float or double || right is float or double)
        {
            object? result = CombineReal(kind, ToDouble(left), ToDouble(right));
            return result is double number && left is not double && right is not double ? (float)number : result;
        }

        object? whole = CombineWhole(kind, ToLong(left), ToLong(right));
        return whole is long value && left is not (long or ulong or uint) && right is not (long or ulong or uint) ? unchecked((int)value) : whole;
    }

    private static object? CombineReal(BinaryOperatorKind kind, double a, double b) => kind switch
    {
        BinaryOperatorKind.Add => a + b,
        BinaryOperatorKind.Subtract => a - b,
        BinaryOperatorKind.Multiply => a * b,
        BinaryOperatorKind.Divide => b == 0 ? null : a / b,
        BinaryOperatorKind.Remainder => b == 0 ? null : a % b,
        _ => Compare(kind, a.CompareTo(b)),
    };

    private static object? CombineWhole(BinaryOperatorKind kind, long a, long b) => kind switch
    {
        BinaryOperatorKind.Add => unchecked(a + b),
        BinaryOperatorKind.Subtract => unchecked(a - b),
        BinaryOperatorKind.Multiply => unchecked(a * b),
        BinaryOperatorKind.Divide => b == 0 ? null : b == -1 ? unchecked(-a) : a / b,
        BinaryOperatorKind.Remainder => b == 0 ? null : b == -1 ? 0L : a % b,
        BinaryOperatorKind.And => a & b,
        BinaryOperatorKind.Or => a | b,
        BinaryOperatorKind.ExclusiveOr => a ^ b,
        BinaryOperatorKind.LeftShift => a << (int)(b & 31),
        BinaryOperatorKind.RightShift => a >> (int)(b & 31),
        _ => Compare(kind, a.CompareTo(b)),
    };

    private static object? Compare(BinaryOperatorKind kind, int order) => kind switch
    {
        BinaryOperatorKind.Equals => order == 0,
        BinaryOperatorKind.NotEquals => order != 0,
        BinaryOperatorKind.LessThan => order < 0,
        BinaryOperatorKind.LessThanOrEqual => order <= 0,
        BinaryOperatorKind.GreaterThan => order > 0,
        BinaryOperatorKind.GreaterThanOrEqual => order >= 0,
        _ => null,
    };

    private static long ToLong(object value) => value switch
    {
        ulong u => unchecked((long)u),
        float or double => ToDouble(value) is var d && d is > -9e18 and < 9e18 ? (long)d : 0,
        _ => System.Convert.ToInt64(value, CultureInfo.InvariantCulture),
    };
}
