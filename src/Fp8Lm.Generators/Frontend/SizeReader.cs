using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using Fp8Lm.Generators.Diagnostics;
using Fp8Lm.Generators.Model;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.Operations;

namespace Fp8Lm.Generators.Frontend;

/// <summary>The declared sizes of a model.</summary>
internal static class SizeReader
{
    public static List<SizeSpec> Read(INamedTypeSymbol model, ForwardReader reader, ReadContext context)
    {
        List<SizeSpec> sizes = [];
        bool declared = false;
        foreach (IFieldSymbol field in model.GetMembers().OfType<IFieldSymbol>().Where(f => !f.IsImplicitlyDeclared))
        {
            bool marked = KnownTypes.Has(field, context.Types.ModelSize), isSize = KnownTypes.Same(field.Type, context.Types.Size);
            declared |= marked;
            if (marked && ReadSize(field, isSize, reader, context) is { } size)
            {
                sizes.Add(size);
            }
            else if (!marked && isSize)
            {
                context.Report(DiagnosticDescriptors.SizeNotMarked, Places.Of(field, Location.None), field.Name);
            }
        }

        if (!declared)
        {
            string example = string.Join(", ", reader.Dims.Names.Select(n => "[" + n + "] = ..."));
            context.Report(DiagnosticDescriptors.NoSizes, Places.Of(model, Location.None), model.Name, example.Length == 0 ? "[Width] = 256" : example);
        }

        return sizes;
    }

    private static SizeSpec? ReadSize(IFieldSymbol field, bool isSize, ForwardReader reader, ReadContext context)
    {
        Location place = Places.Of(field, Location.None);
        if (field.Type.TypeKind == TypeKind.Error)
        {
            context.Broken = true;
            return null;
        }

        IOperation? operation = ForwardReader.Initializer(field) is { } initializer ? context.OperationOf(initializer) : null;
        IOperation? value = operation is null ? null : ForwardReader.Unwrap(ForwardReader.InitializerValue(operation));
        if (value is IInvalidOperation)
        {
            context.Broken = true;
            return null;
        }

        if (!isSize || field is not { IsStatic: true, IsReadOnly: true } || value is not IObjectCreationOperation { Initializer: { } assignments })
        {
            context.Report(DiagnosticDescriptors.SizeDeclaration, place, field.Name);
            return null;
        }

        Dictionary<int, long> values = [];
        foreach (IOperation entry in assignments.Initializers)
        {
            ReadEntry(field.Name, entry, values, reader, context);
        }

        List<string> names = [.. reader.Dims.Names];
        foreach (string missing in names.Where((_, i) => !values.ContainsKey(i)))
        {
            context.Report(DiagnosticDescriptors.SizeIncomplete, place, field.Name, missing);
        }

        int site = context.Site(place);
        return new SizeSpec(field.Name, names.Select((_, i) => values.TryGetValue(i, out long extent) ? extent : 1).ToEquatable(), site);
    }

    private static void ReadEntry(string size, IOperation entry, Dictionary<int, long> values, ForwardReader reader, ReadContext context)
    {
        if (entry is not ISimpleAssignmentOperation { Target: IPropertyReferenceOperation { Arguments: [var key] } } assignment)
        {
            context.Broken = true;
            return;
        }

        Location place = Places.Of(key.Value);
        Value dim = reader.EvaluateStatic(key.Value);
        Value value = reader.EvaluateStatic(assignment.Value);
        if (dim is ErrorValue || value is ErrorValue)
        {
            return;
        }

        int index = dim is DimValue { Expression: var expression } ? reader.Dims.IndexOf(expression.ToString()) : -1;
        if (index < 0)
        {
            context.Report(DiagnosticDescriptors.SizeUnknownDim, place, size, dim.Description);
        }
        else if (values.ContainsKey(index))
        {
            context.Report(DiagnosticDescriptors.SizeDuplicateDim, place, size, key.Value.Syntax.ToString());
        }
        else if (value is not ConstantValue { Value: int or long or short or byte or uint or sbyte or ushort } constant
            || System.Convert.ToInt64(constant.Value, CultureInfo.InvariantCulture) is <= 0 or > int.MaxValue)
        {
            values[index] = 1;
            context.Report(DiagnosticDescriptors.SizeValue, Places.Of(assignment.Value), size, key.Value.Syntax.ToString(), value.Description);
        }
        else
        {
            values[index] = System.Convert.ToInt64(constant.Value, CultureInfo.InvariantCulture);
        }
    }
}
