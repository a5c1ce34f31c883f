using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Generators.Diagnostics;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp.Syntax;
using Microsoft.CodeAnalysis.Operations;

namespace Fp8Lm.Generators.Frontend;

/// <content>Calls: ops become statements, everything else with source is inlined.</content>
internal sealed partial class ForwardReader
{
    private readonly List<(ISymbol Method, Value? Self)> calls = [];

    private Value Invoke(IInvocationOperation operation, Frame frame)
    {
        IMethodSymbol method = operation.TargetMethod;
        List<Value> arguments = Arguments(operation.Arguments, frame);
        if (Types.OpKey(method) is { } key)
        {
            return CallOp(key, operation, arguments);
        }

        if (KnownTypes.Same(method.ContainingType, Types.Init))
        {
            return MakeInit(method, operation, arguments);
        }

        if (IsMath(method.ContainingType))
        {
            return CallMath(method, operation, arguments);
        }

        Value? instance = operation.Instance is null ? null : Evaluate(operation.Instance, frame);
        switch (instance)
        {
            case ErrorValue:
                return instance;
            case NullValue:
                return Report(DiagnosticDescriptors.ModuleIsNull, Places.Of(operation.Instance!), operation.Instance!.Syntax.ToString());
            case FunctionValue function when method.MethodKind == MethodKind.DelegateInvoke:
                return CallFunction(function, arguments, operation);
            case ModuleValue module:
                return Inline((IMethodSymbol)Implementation(method, module.Type), module, arguments, null, operation);
            case null when method.MethodKind == MethodKind.LocalFunction:
                return Inline(method, frame.Self, arguments, frame, operation);
            case null when method.IsStatic && HasBody(method):
                return Inline(method, null, arguments, null, operation);
            default:
                return Report(DiagnosticDescriptors.Call, Places.Of(operation), method.Name);
        }
    }

    /// <summary>Values by the parameters' positions, whatever the order and form of the arguments.</summary>
    private List<Value> Arguments(IEnumerable<IArgumentOperation> arguments, Frame frame)
    {
        SortedDictionary<int, Value> values = [];
        foreach (IArgumentOperation argument in arguments)
        {
            // A weight or module created as an argument is called after the parameter.
            string? path = construction is null || argument.Parameter is null ? null : construction.Path + "." + argument.Parameter.Name;
            values[argument.Parameter?.Ordinal ?? values.Count] = Named(path, () => Argument(argument.Value, frame));
        }

        return [.. values.Values];
    }

    private Value Argument(IOperation argument, Frame frame) => Unwrap(argument) switch
    {
        IArrayCreationOperation { Initializer: { } items } => new TupleValue([.. items.ElementValues.Select(i => Evaluate(i, frame))]),
        ICollectionExpressionOperation collection => new TupleValue([.. collection.Elements.Select(i => Evaluate(i, frame))]),
        _ => Evaluate(argument, frame),
    };

    private Value CallFunction(FunctionValue function, List<Value> arguments, IOperation place)
    {
        if (function.Lambda is not null)
        {
            return Inline(function.Method, function.Frame.Self, arguments, function.Frame, place, function.Lambda.Body);
        }

        if (Types.OpKey(function.Method) is { } key)
        {
            return CallOp(key, function.Method, place, arguments);
        }

        IMethodSymbol method = function.Self is ModuleValue module ? (IMethodSymbol)Implementation(function.Method, module.Type) : function.Method;
        return Inline(method, function.Self as ModuleValue, arguments, method.MethodKind == MethodKind.LocalFunction ? function.Frame : null, place);
    }

    private Value Function(IOperation target, Frame frame) => target switch
    {
        IAnonymousFunctionOperation lambda => new FunctionValue(lambda.Symbol, lambda, frame.Self, frame),
        IMethodReferenceOperation reference => new FunctionValue(
            reference.Method, null, reference.Instance is null ? frame.Self : Evaluate(reference.Instance, frame), frame),
        IInvalidOperation => Broken(),
        _ => Unsupported(target),
    };

    /// <summary>Runs a method's body on the arguments.</summary>
    private Value Inline(IMethodSymbol method, ModuleValue? self, List<Value> arguments, Frame? lexical, IOperation? place, IOperation? body = null)
    {
        IMethodSymbol definition = method.OriginalDefinition.PartialImplementationPart ?? method.OriginalDefinition;
        Location location = place is null ? Places.Of(method, Location.None) : Places.Of(place);
        if (calls.Any(c => SymbolEqualityComparer.Default.Equals(c.Method, definition) && c.Self == self))
        {
            return Report(DiagnosticDescriptors.Recursion, location, Name(definition));
        }

        body ??= Body(definition);
        if (body is null)
        {
            return HasBody(definition) ? Broken() : Report(DiagnosticDescriptors.NoSource, location, definition.ToDisplayString(SymbolDisplayFormat.CSharpShortErrorMessageFormat));
        }

        if (definition.IsAsync)
        {
            return Report(DiagnosticDescriptors.Statement, Places.Of(definition, location), "An async method", "Write an ordinary method");
        }

        calls.Add((definition, self));
        Frame inner = new(self, lexical);
        for (int i = 0; i < definition.Parameters.Length; i++)
        {
            IParameterSymbol parameter = definition.Parameters[i];
            if (parameter.RefKind is not (RefKind.None or RefKind.In))
            {
                Report(DiagnosticDescriptors.RefParameter, Places.Of(parameter, location), parameter.Name, parameter.RefKind.ToString().ToLowerInvariant());
            }

            inner.Declare(parameter, i < arguments.Count ? arguments[i] : ErrorValue.Instance, builder.InLoop);
        }

        Execute(body, inner);
        calls.RemoveAt(calls.Count - 1);
        return inner.Result ?? (definition.ReturnsVoid ? VoidValue.Instance : ErrorValue.Instance);
    }

    private static string Name(IMethodSymbol method) => method.AssociatedSymbol?.Name ?? (method.Name.Length == 0 ? "lambda" : method.Name);

    private static bool HasBody(IMethodSymbol method) => BodySyntax(method.OriginalDefinition.PartialImplementationPart ?? method.OriginalDefinition) is not null;

    private IOperation? Body(IMethodSymbol method) => BodySyntax(method) is not { } syntax ? null : context.OperationOf(syntax) switch
    {
        ILocalFunctionOperation function => function.Body,
        IMethodBodyOperation body => (IOperation?)body.BlockBody ?? body.ExpressionBody,
        IBlockOperation block => block,
        _ => null,
    };

    private static SyntaxNode? BodySyntax(IMethodSymbol method)
    {
        foreach (SyntaxReference reference in method.DeclaringSyntaxReferences)
        {
            SyntaxNode? body = reference.GetSyntax() switch
            {
                BaseMethodDeclarationSyntax m when m.Body is not null || m.ExpressionBody is not null => m,
                LocalFunctionStatementSyntax f when f.Body is not null || f.ExpressionBody is not null => f,
                AccessorDeclarationSyntax a when a.Body is not null || a.ExpressionBody is not null => a,
                ArrowExpressionClauseSyntax arrow => arrow,
                LambdaExpressionSyntax lambda => lambda.Body,
                _ => null,
            };
            if (body is not null)
            {
                return body;
            }
        }

        return null;
    }

    /// <summary>The member that a virtual or interface member means for an object of the given type.</summary>
    private static ISymbol Implementation(ISymbol member, INamedTypeSymbol type)
    {
        if (member.ContainingType?.TypeKind == TypeKind.Interface)
        {
            return type.FindImplementationForInterfaceMember(member) ?? member;
        }

        if (!member.IsAbstract && !member.IsVirtual && !member.IsOverride)
        {
            return member;
        }

        for (INamedTypeSymbol? current = type; current is not null; current = current.BaseType)
        {
            foreach (ISymbol candidate in current.GetMembers(member.Name))
            {
                for (ISymbol? overridden = candidate; overridden is not null; overridden = Overridden(overridden))
                {
                    if (SymbolEqualityComparer.Default.Equals(overridden, member))
                    {
                        return candidate;
                    }
                }
            }
        }

        return member;
    }

    private static ISymbol? Overridden(ISymbol symbol) => symbol switch
    {
        IMethodSymbol method => method.OverriddenMethod,
        IPropertySymbol property => property.OverriddenProperty,
        _ => null,
    };
}
