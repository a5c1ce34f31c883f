using System;
using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Generators.Diagnostics;
using Fp8Lm.Generators.Model;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp.Syntax;
using Microsoft.CodeAnalysis.Operations;

namespace Fp8Lm.Generators.Frontend;

/// <content>Objects: modules with their members, weights, and repeated modules.</content>
internal sealed partial class ForwardReader
{
    private readonly List<INamedTypeSymbol> underConstruction = [];

    /// <summary>What is being created; null in the forward pass, where nothing may be.</summary>
    private Construction? construction;

    /// <summary>Creates the model or a module. The caller has checked that the class may be one.</summary>
    public ModuleValue Instantiate(INamedTypeSymbol type, IMethodSymbol? constructor, List<Value> arguments, string path)
    {
        ModuleValue module = new(type, path);
        Construction? outer = construction;
        construction = new Construction(path, outer?.Repeat);
        underConstruction.Add(type);
        RunConstructor(module, constructor, arguments);
        CheckMembers(module);
        underConstruction.RemoveAt(underConstruction.Count - 1);
        construction = outer;
        return module;
    }

    private Value Create(IObjectCreationOperation operation, Frame frame)
    {
        if (operation.Type is not INamedTypeSymbol type || type.TypeKind == TypeKind.Error || operation.Constructor is null)
        {
            return Broken();
        }

        bool isWeight = KnownTypes.Same(type, Types.Weight), isRepeat = KnownTypes.Same(type, Types.Repeat);
        if (KnownTypes.Same(type, Types.Dim))
        {
            return Report(DiagnosticDescriptors.DimNotReadonly, Places.Of(operation), "new Dim()");
        }

        if (!isWeight && !isRepeat && !Types.IsModule(type))
        {
            return construction is not null && type is { TypeKind: TypeKind.Class, ContainingNamespace.Name: not "Fp8Lm" } && type.DeclaringSyntaxReferences.Length > 0
                ? Report(DiagnosticDescriptors.NotAModule, Places.Of(operation), type.Name)
                : Unsupported(operation);
        }

        if (construction is null)
        {
            return Report(DiagnosticDescriptors.WeightOutsideDeclaration, Places.Of(operation), type.ToDisplayString(SymbolDisplayFormat.MinimallyQualifiedFormat));
        }

        List<Value> arguments = Arguments(operation.Arguments, frame);
        return isWeight ? CreateWeight(operation, arguments, frame) : isRepeat ? CreateRepeat(operation, arguments, frame) : CreateModule(operation, type, arguments, frame);
    }

    private Value CreateModule(IObjectCreationOperation operation, INamedTypeSymbol type, List<Value> arguments, Frame frame)
    {
        Location place = Places.Of(operation);
        if (underConstruction.FindIndex(t => SymbolEqualityComparer.Default.Equals(t, type)) is >= 0 and var start)
        {
            string path = string.Join(" -> ", underConstruction.Skip(start).Concat([type]).Select(t => t.Name));
            return Report(DiagnosticDescriptors.ModuleCycle, place, type.Name, path);
        }

        if (type.IsGenericType)
        {
            return Report(DiagnosticDescriptors.ModuleIsGeneric, Places.Of(type, place), type.Name);
        }

        if (type.DeclaringSyntaxReferences.Length == 0)
        {
            return Report(DiagnosticDescriptors.NoSource, place, type.ToDisplayString());
        }

        if (type.BaseType is { SpecialType: not SpecialType.System_Object } parent)
        {
            return Report(DiagnosticDescriptors.ModelBase, Places.Of(type, place), type.Name, parent.Name);
        }

        foreach (IParameterSymbol parameter in operation.Constructor!.Parameters)
        {
            if (!IsLanguageType(parameter.Type))
            {
                return parameter.Type.TypeKind == TypeKind.Error ? Broken()
                    : Report(DiagnosticDescriptors.ModuleParameter, Places.Of(parameter, place), parameter.Name, parameter.Type.ToDisplayString(SymbolDisplayFormat.MinimallyQualifiedFormat));
            }
        }

        ModuleValue module = Instantiate(type, operation.Constructor, arguments, construction!.Path);
        foreach (ISimpleAssignmentOperation assignment in Assignments(operation))
        {
            if (assignment.Target is IMemberReferenceOperation { Member: var member })
            {
                module.Members[member] = Named(module.Member(member.Name), () => Evaluate(assignment.Value, frame));
            }
        }

        return module;
    }

    private void RunConstructor(ModuleValue module, IMethodSymbol? constructor, List<Value> arguments)
    {
        if (constructor is not null && calls.Any(c => c.Self == module && SymbolEqualityComparer.Default.Equals(c.Method, constructor)))
        {
            // A constructor that calls itself is an error of C#.
            Broken();
            return;
        }

        calls.Add(((ISymbol?)constructor ?? module.Type, module));
        for (int i = 0; constructor is not null && i < constructor.Parameters.Length && i < arguments.Count; i++)
        {
            module.Arguments[constructor.Parameters[i]] = arguments[i];
        }

        ConstructorDeclarationSyntax? syntax = constructor?.DeclaringSyntaxReferences.Select(r => r.GetSyntax()).OfType<ConstructorDeclarationSyntax>().FirstOrDefault();
        IConstructorBodyOperation? body = syntax is null ? null : context.OperationOf(syntax) as IConstructorBodyOperation;
        Frame frame = new(module, null);
        if (body?.Initializer is IExpressionStatementOperation { Operation: IInvocationOperation { TargetMethod: var next } call } && SymbolEqualityComparer.Default.Equals(next.ContainingType, module.Type))
        {
            RunConstructor(module, next, Arguments(call.Arguments, frame));
        }
        else
        {
            InitializeMembers(module);
        }

        if (body?.BlockBody is { } block)
        {
            Execute(block, frame);
        }
        else if (body?.ExpressionBody is { } expression)
        {
            Execute(expression, frame);
        }

        calls.RemoveAt(calls.Count - 1);
    }

    private void InitializeMembers(ModuleValue module)
    {
        foreach (ISymbol member in InstanceMembers(module.Type))
        {
            if (IsPartOfModel(member) && Initializer(member) is { } initializer && context.OperationOf(initializer) is { } operation)
            {
                if (InitializerValue(operation) is var value && KnownTypes.Same(value.Type, Types.Dim) && Unwrap(value) is IObjectCreationOperation)
                {
                    module.Members[member] = Report(DiagnosticDescriptors.DimNotReadonly, Places.Of(member, Location.None), member.Name);
                    continue;
                }

                module.Members[member] = Named(module.Member(member.Name), () => Evaluate(InitializerValue(operation), new Frame(module, null)));
            }
        }
    }

    /// <summary>A model class may have other members, such as a logger; they are looked at only if Forward uses them.</summary>
    private bool IsPartOfModel(ISymbol member)
    {
        ITypeSymbol type = TypeOf(member);
        return IsLanguageType(type) || type is { TypeKind: TypeKind.Class, DeclaringSyntaxReferences.Length: > 0 };
    }

    private static ITypeSymbol TypeOf(ISymbol member) => member is IFieldSymbol field ? field.Type : ((IPropertySymbol)member).Type;

    private static IEnumerable<ISymbol> InstanceMembers(INamedTypeSymbol type) =>
        type.GetMembers().Where(m => !m.IsStatic && !m.IsImplicitlyDeclared && m is IFieldSymbol or IPropertySymbol { IsIndexer: false });

    /// <summary>Members that hold weights have a value and keep it; others have C#'s default.</summary>
    private void CheckMembers(ModuleValue module)
    {
        foreach (ISymbol member in InstanceMembers(module.Type))
        {
            ITypeSymbol type = TypeOf(member);
            bool isAuto = member is IFieldSymbol || module.Members.ContainsKey(member) || member is IPropertySymbol { GetMethod: { } getter } && !HasBody(getter);
            if (IsTrained(type) && isAuto && member is IFieldSymbol { IsReadOnly: false } or IPropertySymbol { SetMethod.IsInitOnly: false })
            {
                Report(DiagnosticDescriptors.WeightNotReadonly, Places.Of(member, Location.None), member.Name, type.ToDisplayString(SymbolDisplayFormat.MinimallyQualifiedFormat));
            }

            if (!isAuto || module.Members.ContainsKey(member))
            {
                continue;
            }

            if (IsTrained(type) && type.NullableAnnotation != NullableAnnotation.Annotated)
            {
                Report(DiagnosticDescriptors.MemberNotAssigned, Places.Of(member, Location.None), member.Name);
                module.Members[member] = ErrorValue.Instance;
            }
            else if (IsPartOfModel(member))
            {
                module.Members[member] = type.SpecialType == SpecialType.System_Boolean ? ConstantValue.False
                    : Constants.ChangeType(0, type) is { } zero ? new ConstantValue(zero)
                    : NullValue.Instance;
            }
        }
    }

    private static IEnumerable<ISimpleAssignmentOperation> Assignments(IObjectCreationOperation creation) =>
        creation.Initializer?.Initializers.OfType<ISimpleAssignmentOperation>() ?? [];

    /// <summary>Evaluates what a field, parameter or local is called after.</summary>
    private Value Named(string? path, Func<Value> evaluate)
    {
        if (construction is null || path is null)
        {
            return evaluate();
        }

        Construction outer = construction;
        construction = new Construction(path, outer.Repeat);
        Value value = evaluate();
        construction = outer;
        return value;
    }

    private sealed record Construction(string Path, RepeatValue? Repeat);
}
