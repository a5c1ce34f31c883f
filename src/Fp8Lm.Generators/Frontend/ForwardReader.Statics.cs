using System.Collections.Generic;
using Fp8Lm.Generators.Diagnostics;
using Fp8Lm.Generators.Model;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp.Syntax;
using Microsoft.CodeAnalysis.Operations;

namespace Fp8Lm.Generators.Frontend;

/// <content>Static members: dimensions and constants.</content>
internal sealed partial class ForwardReader
{
    private readonly Dictionary<ISymbol, Value> statics = new(SymbolEqualityComparer.Default);
    private readonly HashSet<ISymbol> staticsInProgress = new(SymbolEqualityComparer.Default);

    /// <summary>A static readonly field or get-only property: a dimension, or something computed from constants.</summary>
    public Value ReadStatic(ISymbol member, IOperation? use)
    {
        if (statics.TryGetValue(member, out Value? known))
        {
            return known;
        }

        Location place = use is null ? Places.Of(member, Location.None) : Places.Of(use);
        if (!staticsInProgress.Add(member))
        {
            return Report(DiagnosticDescriptors.Recursion, place, member.Name);
        }

        Value value = EvaluateStaticMember(member, place, use);
        staticsInProgress.Remove(member);
        return statics[member] = value;
    }

    private Value EvaluateStaticMember(ISymbol member, Location place, IOperation? use)
    {
        ITypeSymbol type = TypeOf(member);
        bool isDim = KnownTypes.Same(type, Types.Dim);
        if (IsTrained(type))
        {
            return Report(DiagnosticDescriptors.WeightStatic, Places.Of(member, place), member.Name);
        }

        if (member is IPropertySymbol { GetMethod: { } getter } && HasBody(getter))
        {
            return Inline(getter, null, [], null, use);
        }

        if (Initializer(member) is not { } initializer || context.OperationOf(initializer) is not { } operation)
        {
            return member.DeclaringSyntaxReferences.Length == 0
                ? Report(DiagnosticDescriptors.NoSource, place, member.ToDisplayString())
                : isDim ? Report(DiagnosticDescriptors.DimNotReadonly, Places.Of(member, place), member.Name)
                : Report(DiagnosticDescriptors.NoValue, place, member.Name);
        }

        if (member is IFieldSymbol { IsReadOnly: false, IsConst: false } or IPropertySymbol { SetMethod: not null })
        {
            return isDim
                ? Report(DiagnosticDescriptors.DimNotReadonly, Places.Of(member, place), member.Name)
                : Report(DiagnosticDescriptors.NotConstant, place, member.Name, "a value", "a static field that can change; declare it 'const' or 'static readonly'");
        }

        IOperation expression = InitializerValue(operation);
        return isDim && Unwrap(expression) is IObjectCreationOperation
            ? dims.Declare(member, place)
            : Evaluate(expression, new Frame(null, null));
    }

    /// <summary>The <c>= value</c> of a field or auto-property.</summary>
    internal static EqualsValueClauseSyntax? Initializer(ISymbol member)
    {
        foreach (SyntaxReference reference in member.DeclaringSyntaxReferences)
        {
            EqualsValueClauseSyntax? found = reference.GetSyntax() switch
            {
                VariableDeclaratorSyntax variable => variable.Initializer,
                PropertyDeclarationSyntax property => property.Initializer,
                _ => null,
            };
            if (found is not null)
            {
                return found;
            }
        }

        return null;
    }

    internal static IOperation InitializerValue(IOperation operation) => operation is ISymbolInitializerOperation initializer ? initializer.Value : operation;

    internal static IOperation Unwrap(IOperation operation) => operation switch
    {
        IConversionOperation { OperatorMethod: null } conversion => Unwrap(conversion.Operand),
        IParenthesizedOperation parenthesized => Unwrap(parenthesized.Operand),
        _ => operation,
    };

    /// <summary>Whether a type holds weights: a weight, a module, or a repeated module.</summary>
    private bool IsTrained(ITypeSymbol type) =>
        KnownTypes.Same(type, Types.Weight) || KnownTypes.Same(type, Types.Repeat) || Types.IsModule(type);
}
