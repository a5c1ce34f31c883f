using System.Collections.Generic;
using Fp8Lm.Generators.Diagnostics;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.Operations;

namespace Fp8Lm.Generators.Frontend;

/// <content>Statements.</content>
internal sealed partial class ForwardReader
{
    /// <summary>Where control goes after a statement.</summary>
    private enum Flow
    {
        Next,
        Return,
        Break,
        Continue,
    }

    private Flow Execute(IEnumerable<IOperation> statements, Frame frame)
    {
        foreach (IOperation statement in statements)
        {
            if (Execute(statement, frame) is not Flow.Next and var flow)
            {
                return flow;
            }
        }

        return Flow.Next;
    }

    private Flow Execute(IOperation statement, Frame frame)
    {
        context.Cancellation.ThrowIfCancellationRequested();
        switch (statement)
        {
            case IBlockOperation block:
                return Execute(block.Operations, frame);
            case IVariableDeclarationGroupOperation group:
                foreach (IVariableDeclarationOperation declaration in group.Declarations)
                {
                    foreach (IVariableDeclaratorOperation variable in declaration.Declarators)
                    {
                        Declare(variable, frame);
                    }
                }

                return Flow.Next;
            case IExpressionStatementOperation expression:
                Evaluate(expression.Operation, frame);
                return Flow.Next;
            case IReturnOperation { Kind: OperationKind.Return } returned:
                return Return(returned, frame);
            case IConditionalOperation conditional:
                return ExecuteIf(conditional, frame);
            case ISwitchOperation choice:
                return ExecuteSwitch(choice, frame);
            case IForEachLoopOperation loop:
                ExecuteForEach(loop, frame);
                return Flow.Next;
            case IForLoopOperation loop:
                return ExecuteFor(loop, frame);
            case IBranchOperation { BranchKind: BranchKind.Break or BranchKind.Continue } branch:
                if (layers is not null && (SymbolEqualityComparer.Default.Equals(branch.Target, layers.ExitLabel) || SymbolEqualityComparer.Default.Equals(branch.Target, layers.ContinueLabel)))
                {
                    Report(DiagnosticDescriptors.LeavesLoop, Places.Of(branch), branch.BranchKind == BranchKind.Break ? "break" : "continue");
                }

                return branch.BranchKind == BranchKind.Break ? Flow.Break : Flow.Continue;
            case ILabeledOperation labeled:
                // A label does nothing by itself; the jump to it is what cannot be.
                return labeled.Operation is null ? Flow.Next : Execute(labeled.Operation, frame);
            case ILocalFunctionOperation or IEmptyOperation:
                return Flow.Next;
            case IInvalidOperation:
                Broken();
                return Flow.Next;
            default:
                UnsupportedStatement(statement);
                return Flow.Next;
        }
    }

    private void Declare(IVariableDeclaratorOperation variable, Frame frame)
    {
        ILocalSymbol local = variable.Symbol;
        IVariableInitializerOperation? initializer = variable.GetVariableInitializer();
        if (local.IsRef)
        {
            Report(DiagnosticDescriptors.Statement, Places.Of(variable), "A ref local", "Assign the value to an ordinary local");
        }
        else if (!IsLanguageType(local.Type))
        {
            if (local.Type.TypeKind == TypeKind.Error)
            {
                Broken();
            }
            else
            {
                Report(DiagnosticDescriptors.UnsupportedType, Places.Of(variable), local.Name, local.Type.ToDisplayString(SymbolDisplayFormat.MinimallyQualifiedFormat));
            }

            frame.Declare(local, ErrorValue.Instance, builder.InLoop);
            return;
        }

        Value? value = initializer is null ? null : Named(construction is null ? null : frame.Self?.Member(local.Name), () => Evaluate(initializer.Value, frame));
        frame.Declare(local, value, builder.InLoop);
    }

    private Flow Return(IReturnOperation returned, Frame frame)
    {
        if (builder.InLoop && layersFrame == frame)
        {
            Report(DiagnosticDescriptors.LeavesLoop, Places.Of(returned), "return");
            return Flow.Return;
        }

        frame.Result = returned.ReturnedValue is null ? VoidValue.Instance : Evaluate(returned.ReturnedValue, frame);
        return Flow.Return;
    }

    private Flow ExecuteIf(IConditionalOperation conditional, Frame frame) => Condition(conditional.Condition, frame) switch
    {
        true => Execute(conditional.WhenTrue, frame),
        false => conditional.WhenFalse is null ? Flow.Next : Execute(conditional.WhenFalse, frame),
        // Both branches are looked at, so that every mistake in them shows.
        null => ExecuteBoth(conditional, frame),
    };

    private Flow ExecuteBoth(IConditionalOperation conditional, Frame frame)
    {
        Flow flow = Execute(conditional.WhenTrue, frame);
        Flow other = conditional.WhenFalse is null ? Flow.Next : Execute(conditional.WhenFalse, frame);
        return flow == other ? flow : Flow.Next;
    }

    private Flow ExecuteSwitch(ISwitchOperation choice, Frame frame)
    {
        Value value = Evaluate(choice.Value, frame);
        ISwitchCaseOperation? chosen = null, otherwise = null;
        foreach (ISwitchCaseOperation section in choice.Cases)
        {
            foreach (ICaseClauseOperation clause in section.Clauses)
            {
                if (clause is IDefaultCaseClauseOperation)
                {
                    otherwise = section;
                    continue;
                }

                bool? matches = clause switch
                {
                    ISingleValueCaseClauseOperation single => Truth(AreEqual(value, Evaluate(single.Value, frame), single), single),
                    IPatternCaseClauseOperation { Guard: null } pattern => Truth(Matches(pattern.Pattern, value, choice.Value, frame), pattern),
                    IPatternCaseClauseOperation pattern => Truth(Matches(pattern.Pattern, value, choice.Value, frame), pattern) is true ? Condition(pattern.Guard!, frame) : false,
                    _ => Truth(Unsupported(clause), clause),
                };
                if (matches is null)
                {
                    return Flow.Next;
                }

                chosen ??= matches is true ? section : null;
            }
        }

        Flow flow = (chosen ?? otherwise) is { } body ? Execute(body.Body, frame) : Flow.Next;
        return flow == Flow.Break ? Flow.Next : flow;
    }

    private Flow ExecuteFor(IForLoopOperation loop, Frame frame)
    {
        Execute(loop.Before, frame);
        for (int iteration = 0; ; iteration++)
        {
            bool? condition = loop.Condition is null || iteration > MaxIterations ? null : Condition(loop.Condition, frame);
            if (condition is null)
            {
                if (loop.Condition is null || iteration > MaxIterations)
                {
                    Report(DiagnosticDescriptors.ForBounds, Places.Of(loop), Text(MaxIterations));
                }

                return Flow.Next;
            }

            if (condition is false)
            {
                return Flow.Next;
            }

            Flow flow = Execute(loop.Body, frame);
            if (flow is Flow.Return)
            {
                return flow;
            }

            if (flow is Flow.Break || tooLarge)
            {
                return Flow.Next;
            }

            Execute(loop.AtLoopBottom, frame);
        }
    }

    /// <summary>What a local may hold: tensors and masks, what is known at compile time, and objects of the model.</summary>
    private bool IsLanguageType(ITypeSymbol type) => type switch
    {
        INamedTypeSymbol { IsTupleType: true } tuple => AllLanguageTypes(tuple),
        { TypeKind: TypeKind.Enum or TypeKind.Delegate or TypeKind.Interface } => true,
        { SpecialType: SpecialType.System_Boolean or SpecialType.System_Int32 or SpecialType.System_Int64 or SpecialType.System_Single or SpecialType.System_Double
            or SpecialType.System_UInt32 or SpecialType.System_UInt64 or SpecialType.System_Int16 or SpecialType.System_Byte } => true,
        _ => KnownTypes.Same(type, Types.Tensor) || KnownTypes.Same(type, Types.Mask) || KnownTypes.Same(type, Types.Dim) || KnownTypes.Same(type, Types.Init)
            || KnownTypes.Same(type, Types.Tokens) || KnownTypes.Same(type, Types.Labels) || KnownTypes.Same(type, Types.Loss) || Types.IsModel(type) || IsTrained(type),
    };

    private bool AllLanguageTypes(INamedTypeSymbol tuple)
    {
        foreach (IFieldSymbol element in tuple.TupleElements)
        {
            if (!IsLanguageType(element.Type))
            {
                return false;
            }
        }

        return true;
    }
}
