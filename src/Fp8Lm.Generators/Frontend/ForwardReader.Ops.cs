using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Generators.Diagnostics;
using Fp8Lm.Generators.Model;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.Operations;

namespace Fp8Lm.Generators.Frontend;

/// <content>Calls of the language's ops, driven by the parameters of the called method.</content>
internal sealed partial class ForwardReader
{
    private int losses;

    private Value CallOp(string key, IInvocationOperation operation, List<Value> arguments) => CallOp(key, operation.TargetMethod, operation, arguments);

    private Value CallOp(string key, IMethodSymbol method, IOperation operation, List<Value> arguments)
    {
        if (arguments.Any(a => a is ErrorValue || a is TupleValue tuple && tuple.Items.Any(i => i is ErrorValue)))
        {
            return key is "split" or "split_equal" && method.ReturnType is INamedTypeSymbol { IsTupleType: true } parts
                ? new TupleValue([.. parts.TupleElements.Select(_ => (Value)ErrorValue.Instance)])
                : ErrorValue.Instance;
        }

        if (construction is not null)
        {
            return Report(DiagnosticDescriptors.Expression, Places.Of(operation), "An operation in a constructor or initializer", "Move it into Forward");
        }

        OpCall call = new(key, method, Places.Of(operation));
        for (int i = 0; i < method.Parameters.Length && i < arguments.Count; i++)
        {
            if (!Bind(call, method.Parameters[i], arguments[i], operation))
            {
                return ErrorValue.Instance;
            }
        }

        return Lower(call);
    }

    /// <summary>An element-wise operator: both sides are operands.</summary>
    private Value Elementwise(string key, IOperation operation, IReadOnlyList<Value> operands)
    {
        OpCall call = new(key, null, Places.Of(operation));
        foreach (Value operand in operands)
        {
            if (operand is ErrorValue || !AddOperand(call, operand, operation, key))
            {
                return ErrorValue.Instance;
            }
        }

        return Lower(call);
    }

    private bool Bind(OpCall call, IParameterSymbol parameter, Value value, IOperation place)
    {
        switch (value)
        {
            case NullValue when parameter.IsOptional:
                call.Missing.Add(parameter.Name);
                return true;
            case NullValue:
                Report(DiagnosticDescriptors.ModuleIsNull, ArgumentPlace(place, parameter), parameter.Name);
                return false;
            case TupleValue { Items: var items } when items.All(i => i is DimValue) && items.Count > 0 && !IsData(parameter.Type):
                call.Attributes.Add(AttributeSpec.Of(KnownOps.AttributeName(parameter.Name), [.. items.Select(i => ((DimValue)i).Expression)]));
                return true;
            case TupleValue { Items: var items } when parameter.Type is IArrayTypeSymbol:
                return items.All(i => AddOperand(call, i, place, parameter.Name));
            case DimValue dim when !IsData(parameter.Type):
                call.Attributes.Add(AttributeSpec.Of(KnownOps.AttributeName(parameter.Name), dim.Expression));
                return true;
            case ConstantValue constant when !KnownOps.TakesNumbers(call.Key):
                return Number(constant, out double number) ? CheckRange(call, parameter, number, place) : NotConstant(value, parameter, place);
            default:
                return IsData(parameter.Type) || KnownOps.TakesNumbers(call.Key)
                    ? AddOperand(call, value, place, parameter.Name)
                    : NotConstant(value, parameter, place);
        }
    }

    private bool IsData(ITypeSymbol type) =>
        KnownTypes.Same(type, Types.Tensor) || KnownTypes.Same(type, Types.Mask) || KnownTypes.Same(type, Types.Weight)
        || KnownTypes.Same(type, Types.Tokens) || KnownTypes.Same(type, Types.Labels);

    private bool NotConstant(Value value, IParameterSymbol parameter, IOperation place)
    {
        Report(DiagnosticDescriptors.NotConstant, ArgumentPlace(place, parameter), parameter.Name, "a value", value.Description);
        return false;
    }

    private bool CheckRange(OpCall call, IParameterSymbol parameter, double number, IOperation place)
    {
        if (KnownOps.OutOfRange(call.Key, parameter.Name, number) is { } range)
        {
            Report(DiagnosticDescriptors.ArgumentRange, ArgumentPlace(place, parameter), parameter.Name, call.Name, Text(number), range);
            return false;
        }

        call.Attributes.Add(AttributeSpec.Of(KnownOps.AttributeName(parameter.Name), number));
        return true;
    }

    private bool AddOperand(OpCall call, Value value, IOperation place, string name)
    {
        switch (value)
        {
            case ShapedValue shaped:
                if (shaped is WeightValue weight && name == "gain" && KnownOps.IsNorm(call.Key) && weight.Init.Kind == "Zeros")
                {
                    Report(DiagnosticDescriptors.GainStartsAtZero, Places.Of(place), weight.Path, call.Name);
                }

                call.Operands.Add(shaped.Operand);
                call.Shapes.Add(shaped.Shape);
                return true;
            case TokensValue or LabelsValue:
                call.Operands.Add(value is TokensValue ? OperandSpec.Tokens : OperandSpec.Labels);
                call.Shapes.Add(Shapes.Scalar);
                return true;
            case ConstantValue constant when Number(constant, out double number):
                call.Operands.Add(OperandSpec.Constant(number));
                call.Shapes.Add(Shapes.Scalar);
                return true;
            case NullValue:
                Report(DiagnosticDescriptors.ModuleIsNull, Places.Of(place), name);
                return false;
            default:
                Report(DiagnosticDescriptors.NotConstant, Places.Of(place), name, "a tensor or a number", value.Description);
                return false;
        }
    }

    /// <summary>The argument of a call that went to a parameter; the call itself when it was left out.</summary>
    private static Location ArgumentPlace(IOperation call, IParameterSymbol parameter)
    {
        if (call is IInvocationOperation invocation)
        {
            foreach (IArgumentOperation argument in invocation.Arguments)
            {
                if (argument.Parameter?.Ordinal == parameter.Ordinal && argument.ArgumentKind != ArgumentKind.DefaultValue)
                {
                    return Places.Of(argument.Value);
                }
            }
        }

        return Places.Of(call);
    }

    /// <summary>What the call means in terms of the compiler's ops; the convenience forms end here.</summary>
    private Value Lower(OpCall call)
    {
        IReadOnlyList<DimExpr> input = call.Shapes.Count > 0 ? call.Shapes[0] : Shapes.Scalar;
        switch (call.Key)
        {
            case "split_heads":
                DimExpr heads = call.Dim("heads");
                return DimExpr.TryDivide(Shapes.Last(input), heads) is { } size
                    ? Reshape(call, [.. input.Take(input.Count - 1), heads, size])
                    : Report(DiagnosticDescriptors.DimQuotient, call.Place, Shapes.Last(input).ToString(), heads.ToString());
            case "merge_heads":
                return Reshape(call, [DimExpr.Product(input)]);
            case "split":
                return Split(call, input, [.. call.Attributes.SelectMany(a => a.Dims)]);
            case "split_equal":
                int parts = call.Method!.Name[call.Method.Name.Length - 1] - '0';
                DimExpr part = DimExpr.TryDivide(Shapes.Last(input), DimExpr.Constant(parts))!;
                return Split(call, input, [.. Enumerable.Repeat(part, parts)]);
            case "layer_norm" when call.Missing.Contains("gain") && call.Operands.Count == 2:
                // The op takes a bias only behind a gain.
                OperandSpec bias = call.Operands[1];
                call.Operands.RemoveAt(1);
                ShapedValue normed = (ShapedValue)Emit(call);
                return Emit(new OpCall("add", null, call.Place) { Operands = { normed.Operand, bias }, Shapes = { normed.Shape, call.Shapes[1] } });
            case "position_embed":
                // Positions need no ids; the parameter is there so that the call reads like Embed.
                call.Operands.RemoveAt(1);
                return Emit(call);
            case "dropout" when call.Number("rate") == 0:
                return new TensorValue(Id(call.Operands[0], input, call), input);
            case "cross_entropy":
                return Loss(call);
            case "reshape" when call.Attributes.Count == 0:
                return Report(DiagnosticDescriptors.ReshapeCount, call.Place, Shapes.Print(input), "[]");
            default:
                return Emit(call);
        }
    }

    private int Id(OperandSpec operand, IReadOnlyList<DimExpr> shape, OpCall call) => operand.Kind == OperandKind.Value
        ? operand.Index
        : ((TensorValue)Emit(new OpCall("mul", null, call.Place) { Operands = { operand, OperandSpec.Constant(1) }, Shapes = { shape, Shapes.Scalar } })).Id;

    private Value Reshape(OpCall call, DimExpr[] shape) =>
        Emit(new OpCall("reshape", null, call.Place) { Operands = { call.Operands[0] }, Shapes = { call.Shapes[0] }, Attributes = { AttributeSpec.Of("shape", shape) } });

    private TupleValue Split(OpCall call, IReadOnlyList<DimExpr> input, IReadOnlyList<DimExpr> lengths)
    {
        DimExpr total = lengths.Aggregate(DimExpr.Zero, (sum, d) => sum + d);
        if (!total.Equals(Shapes.Last(input)))
        {
            Report(DiagnosticDescriptors.SplitCover, call.Place, total.ToString(), Shapes.Last(input).ToString());
            return new TupleValue([.. lengths.Select(_ => (Value)ErrorValue.Instance)]);
        }

        List<Value> parts = [];
        DimExpr start = DimExpr.Zero;
        foreach (DimExpr length in lengths)
        {
            parts.Add(Emit(new OpCall("slice", null, call.Place)
            {
                Operands = { call.Operands[0] }, Shapes = { input },
                Attributes = { AttributeSpec.Of("start", start), AttributeSpec.Of("length", length) },
            }));
            start += length;
        }

        return new TupleValue(parts);
    }

    private Value Loss(OpCall call)
    {
        if (builder.InLoop || losses > 0)
        {
            return Report(DiagnosticDescriptors.CrossEntropyPlace, call.Place, builder.InLoop ? "is called in a loop over layers" : "is called a second time");
        }

        losses++;
        Emit(call);
        return new LossValue();
    }

    private Value Emit(OpCall call)
    {
        if (builder.Ops >= MaxOps)
        {
            tooLarge = true;
            return Report(DiagnosticDescriptors.TooLarge, call.Place, Text(MaxOps));
        }

        IReadOnlyList<DimExpr> shape = Shapes.Infer(call.Key, call.Shapes, call.Attributes);
        int id = builder.Emit(call.Key, call.Operands, call.Attributes, context.Site(call.Place));
        return KnownOps.MakesMask(call.Key) ? new MaskValue(id, shape) : new TensorValue(id, shape);
    }

    /// <summary>A call on its way from C# to the compiler's op.</summary>
    private sealed class OpCall(string key, IMethodSymbol? method, Location place)
    {
        public string Key { get; } = key;

        public IMethodSymbol? Method { get; } = method;

        public Location Place { get; } = place;

        public string Name => Method?.Name ?? Key;

        public List<OperandSpec> Operands { get; } = [];

        public List<IReadOnlyList<DimExpr>> Shapes { get; } = [];

        public List<AttributeSpec> Attributes { get; } = [];

        /// <summary>Optional parameters that were left out or null.</summary>
        public HashSet<string> Missing { get; } = [];

        public DimExpr Dim(string name) => Attributes.First(a => a.Name == name).Dims[0];

        public double Number(string name) => Attributes.First(a => a.Name == name).Number;
    }
}
