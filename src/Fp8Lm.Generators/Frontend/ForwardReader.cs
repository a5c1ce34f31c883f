using System;
using System.Collections.Generic;
using System.Runtime.CompilerServices;
using Fp8Lm.Generators.Diagnostics;
using Fp8Lm.Generators.Model;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.Operations;

namespace Fp8Lm.Generators.Frontend;

/// <summary>
/// Reads code by running it on symbolic values: constructors of modules make weights and constants, methods over tensors add ops to the
/// model's statements. Calls are inlined, conditions must be constants, and <c>foreach</c> over a repeated module becomes one loop.
/// </summary>
/// <remarks>
/// It never throws on user code: what cannot be read is reported once and yields <see cref="ErrorValue"/>, which silences what
/// depends on it; where C# itself has an error, nothing is added to it.
/// </remarks>
internal sealed partial class ForwardReader
{
    // Far above any real model; a loop that unrolls without end should stop while the user types.
    private const int MaxOps = 20000;
    private const int MaxIterations = 1024;

    private readonly ReadContext context;
    private readonly SpecBuilder builder = new();
    private readonly List<WeightValue> weights = [];
    private readonly List<RepeatValue> repeats = [];
    private readonly DimTable dims;
    private bool tooLarge;

    public ForwardReader(ReadContext context)
    {
        this.context = context;
        dims = new DimTable(context);
    }

    public IReadOnlyList<WeightValue> Weights => weights;

    public IReadOnlyList<RepeatValue> Repeats => repeats;

    public IReadOnlyList<StatementSpec> Program => builder.Program;

    public DimTable Dims => dims;

    private KnownTypes Types => context.Types;

    /// <summary>Reads an expression outside of any method, such as a field's initializer.</summary>
    public Value EvaluateStatic(IOperation operation) => Evaluate(operation, new Frame(null, null));

    private ErrorValue Report(DiagnosticDescriptor descriptor, Location location, params string[] arguments)
    {
        context.Report(descriptor, location, arguments);
        return ErrorValue.Instance;
    }

    /// <summary>C# has an error here and says so itself.</summary>
    private ErrorValue Broken()
    {
        context.Broken = true;
        return ErrorValue.Instance;
    }

    private Value Evaluate(IOperation operation, Frame frame)
    {
        context.Cancellation.ThrowIfCancellationRequested();
        RuntimeHelpers.EnsureSufficientExecutionStack();
        if (operation.ConstantValue is { HasValue: true } constant)
        {
            return constant.Value is null ? NullValue.Instance : new ConstantValue(constant.Value);
        }

        return operation switch
        {
            IParenthesizedOperation o => Evaluate(o.Operand, frame),
            IConversionOperation o => Convert(o, Evaluate(o.Operand, frame)),
            ILocalReferenceOperation o => ReadVariable(o.Local, o, frame),
            IParameterReferenceOperation o => ReadVariable(o.Parameter, o, frame),
            IInstanceReferenceOperation => (Value?)frame.Self ?? Broken(),
            IFieldReferenceOperation o => ReadField(o, frame),
            IPropertyReferenceOperation o => ReadProperty(o, frame),
            IInvocationOperation o => Invoke(o, frame),
            IBinaryOperation o => Binary(o, frame),
            IUnaryOperation o => Unary(o, frame),
            ISimpleAssignmentOperation o => Assign(o, frame),
            ICompoundAssignmentOperation o => AssignCompound(o, frame),
            ICoalesceAssignmentOperation o => AssignCoalesce(o, frame),
            IIncrementOrDecrementOperation o => Increment(o, frame),
            IDeconstructionAssignmentOperation o => Deconstruct(o.Target, Evaluate(o.Value, frame), frame),
            IDeclarationExpressionOperation o => Evaluate(o.Expression, frame),
            ITupleOperation o => Tuple(o, frame),
            IConditionalOperation o => Choose(o, frame),
            ISwitchExpressionOperation o => Switch(o, frame),
            ICoalesceOperation o => Evaluate(o.Value, frame) is var value && value is NullValue ? Evaluate(o.WhenNull, frame) : value,
            IIsPatternOperation o => Matches(o.Pattern, Evaluate(o.Value, frame), o.Value, frame),
            IIsTypeOperation o => Evaluate(o.ValueOperand, frame) is var value and not ErrorValue ? IsOfType(value, o.TypeOperand) : ErrorValue.Instance,
            IObjectCreationOperation o => Create(o, frame),
            IDelegateCreationOperation o => Function(o.Target, frame),
            IAnonymousFunctionOperation o => Function(o, frame),
            IMethodReferenceOperation o => Function(o, frame),
            IDefaultValueOperation => NullValue.Instance,
            IDiscardOperation => VoidValue.Instance,
            IInvalidOperation o => Invalid(o),
            _ => Unsupported(operation),
        };
    }

    /// <summary>Something C# does not understand either. Indexing gets a word of advice, because it is what other frameworks write.</summary>
    private ErrorValue Invalid(IInvalidOperation operation)
    {
        context.Broken = true;
        if (operation.Syntax is Microsoft.CodeAnalysis.CSharp.Syntax.ElementAccessExpressionSyntax access
            && context.OperationOf(access.Expression)?.Type is { } type && KnownTypes.Same(type, Types.Tensor))
        {
            return Report(DiagnosticDescriptors.Indexing, access.ArgumentList.GetLocation());
        }

        return ErrorValue.Instance;
    }

    private Value ReadVariable(ISymbol symbol, IOperation place, Frame frame)
    {
        if (frame.Find(symbol) is { } binding)
        {
            // C# reports locals that are read before they are assigned.
            return binding.Value ?? Broken();
        }

        if (frame.Self is not null && frame.Self.Arguments.TryGetValue(symbol, out Value? argument))
        {
            return argument;
        }

        if (symbol is ILocalSymbol { Type: var type } && type.TypeKind == TypeKind.Error)
        {
            return Broken();
        }

        return symbol is ILocalSymbol or IParameterSymbol ? Broken() : Unsupported(place);
    }

    private Value ReadField(IFieldReferenceOperation operation, Frame frame)
    {
        IFieldSymbol field = operation.Field;
        if (field.IsStatic)
        {
            return ReadStatic(field, operation);
        }

        Value instance = operation.Instance is null ? ErrorValue.Instance : Evaluate(operation.Instance, frame);
        switch (instance)
        {
            case ModuleValue module:
                return module.Members.TryGetValue(field, out Value? value) ? value : Missing(field, operation);
            case TupleValue tuple when TupleIndex(field) is { } index && index < tuple.Items.Count:
                return tuple.Items[index];
            case ErrorValue:
                return instance;
            case NullValue:
                return Report(DiagnosticDescriptors.ModuleIsNull, Places.Of(operation.Instance!), operation.Instance!.Syntax.ToString());
            default:
                return Unsupported(operation);
        }
    }

    private static int? TupleIndex(IFieldSymbol field)
    {
        IFieldSymbol element = field.CorrespondingTupleField ?? field;
        return element.Name.StartsWith("Item", StringComparison.Ordinal) && int.TryParse(element.Name.Substring(4), out int number) ? number - 1 : null;
    }

    private Value ReadProperty(IPropertyReferenceOperation operation, Frame frame)
    {
        IPropertySymbol property = operation.Property;
        if (KnownTypes.Same(property.ContainingType, Types.Init))
        {
            return new InitValue(new InitSpec(property.Name, property.Name == "Ones" ? 1 : 0));
        }

        if (property.IsStatic)
        {
            return ReadStatic(property, operation);
        }

        Value instance = operation.Instance is null ? ErrorValue.Instance : Evaluate(operation.Instance, frame);
        switch (instance)
        {
            case ModuleValue module:
                ISymbol actual = Implementation(property, module.Type);
                return module.Members.TryGetValue(actual, out Value? value) ? value
                    : actual is IPropertySymbol { GetMethod: { } getter } && HasBody(getter) ? Inline(getter, module, [], null, operation)
                    : Missing(property, operation);
            case ErrorValue:
                return instance;
            case NullValue:
                return Report(DiagnosticDescriptors.ModuleIsNull, Places.Of(operation.Instance!), operation.Instance!.Syntax.ToString());
            default:
                return Unsupported(operation);
        }
    }

    /// <summary>A member without a value: of a type that models do not know, or never assigned.</summary>
    private ErrorValue Missing(ISymbol member, IOperation operation) => TypeOf(member) is var type && type.TypeKind == TypeKind.Error ? Broken()
        : IsPartOfModel(member) ? Report(DiagnosticDescriptors.MemberNotAssigned, Places.Of(member, Places.Of(operation)), member.Name)
        : Report(DiagnosticDescriptors.UnsupportedType, Places.Of(operation), member.Name, type.ToDisplayString(SymbolDisplayFormat.MinimallyQualifiedFormat));

    private TupleValue Tuple(ITupleOperation operation, Frame frame)
    {
        List<Value> items = [];
        foreach (IOperation element in operation.Elements)
        {
            items.Add(Evaluate(element, frame));
        }

        return new TupleValue(items);
    }
}
