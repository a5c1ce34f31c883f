using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using Fp8Lm.Generators.Ir;
using Fp8Lm.Generators.Ir.Plan;
using Fp8Lm.Generators.Model;

namespace Fp8Lm.Generators.Kernels;

/// <summary>
/// Turns the nodes of one group into statements: loads of what other kernels stored, ops, and outputs, one sweep over the columns per level
/// of reductions. Values of one number per row are computed once per row.
/// </summary>
internal sealed class BodyBuilder
{
    private readonly LoweringContext context;
    private readonly KernelProgram program;
    private readonly KernelBody body;
    private readonly Dictionary<Value, string> rowNames = [];
    private readonly Dictionary<Value, string> reductionNames = [];
    private Dictionary<Value, string> columnNames = [];
    private Stage stage = new();
    private int next;

    public BodyBuilder(LoweringContext context, KernelProgram program, KernelBody body)
    {
        this.context = context;
        this.program = program;
        this.body = body;
    }

    private FusedGroup Group => program.Group;

    /// <summary>One number per row of the space; a weight of one number, or of one per head, is that too.</summary>
    private bool RowScalar(Value value) => value.Type.Rows == RowKind.Scalar
        || (value.Type.Columns.IsOne && !program.Space.Columns.IsOne && (value.Type.Rows == program.Space.Rows || value.Type.Rows == RowKind.Parameter)
            && (value.Type.Elements.IsOne || value.Type.Outer.Equals(program.Space.Outer)));

    public void Build(IReadOnlyList<Node> outputs, IReadOnlyList<Value> stores)
    {
        List<Node> reductions = Reductions(outputs.SelectMany(o => o.Inputs).Concat(stores));
        Dictionary<Node, int> levels = [];
        foreach (Node reduction in reductions)
        {
            levels[reduction] = 1 + Reductions(reduction.Inputs).Select(r => levels[r]).DefaultIfEmpty(0).Max();
        }

        foreach (IGrouping<int, Node> level in reductions.GroupBy(r => levels[r]).OrderBy(g => g.Key))
        {
            Begin();
            foreach (Node reduction in level)
            {
                string operand = Operand(reduction.Inputs[0]);
                string name = Fresh("r");
                stage.Reductions.Add(new Reduction(name, reduction.Op == OpCode.RowMax, operand));
                reductionNames[reduction.Out()] = name;
            }

            foreach (Node reduction in level)
            {
                rowNames[reduction.Out()] = reductionNames[reduction.Out()];
            }
        }

        Begin();
        foreach (Value store in stores)
        {
            Storage place = context.Buffers.Places[store];
            if (place.Transposed)
            {
                throw new InvalidOperationException($"{store.Node} would copy transposed codes row by row in {Group}");
            }

            KernelParam param = context.Buffer(program, store, place, write: true);
            string operand = store.Type.Mask ? MaskAsNumber(store) : Operand(store);
            Access access = context.AccessOf(store, place, program.Space);
            stage.Outputs.Add(RowScalar(store) ? new RowOutput(operand, param, access) : new StoreOutput(operand, param, access));
        }

        foreach (Node node in outputs)
        {
            AddOutput(node);
        }
    }

    private void Begin()
    {
        stage = new Stage();
        body.Stages.Add(stage);
        columnNames = [];
    }

    private string Fresh(string prefix) => prefix + (next++).ToString(CultureInfo.InvariantCulture);

    // ---- Outputs ----------------------------------------------------------------------------------------------------------------------

    private void AddOutput(Node node)
    {
        switch (node.Op)
        {
            case OpCode.Quantize:
                stage.Outputs.Add(Quantize(node));
                break;
            case OpCode.Amax:
                stage.Outputs.Add(new AmaxOutput(Operand(node.Inputs[0]), node.Data.Scale < 0
                    ? context.StateScale(program, node.Data.Index, "GradientAmax", ElementType.U32, true)
                    : context.Scale(program, node, "Amax", ElementType.U32, true)));
                break;
            case OpCode.ColumnSum:
                Storage sums = context.Buffers.Places[node.Out()];
                stage.Outputs.Add(new SumOutput(Operand(node.Inputs[0]), context.Buffer(program, node.Out(), sums, write: true), sums.Pitch, sums.Offset));
                break;
            case OpCode.AccumulateGradient:
                KernelParam gradient = context.Gradient(program, node.Data.Index);
                stage.Outputs.Add(new StoreOutput(Operand(node.Inputs[0]), gradient, new Access(AccessBase.None, DimExpr.Zero, DimExpr.Zero, program.Space.Columns, true), Accumulate: true) { When = context.GradientHolds(program, node.Data.Index) });
                break;
            case OpCode.StoreGradient:
                stage.Outputs.Add(StoreGradient(node));
                break;
            case OpCode.LossRow:
                stage.Outputs.Add(new RowOutput(Operand(node.Inputs[0]), context.Fixed(program, "row_loss", ElementType.F32, "RowLoss", true), RowIndex));
                stage.Outputs.Add(new RowOutput(Operand(node.Inputs[1]), context.Fixed(program, "row_weight", ElementType.F32, "RowWeight", true), RowIndex));
                break;
            default:
                throw new InvalidOperationException($"{node} is no output");
        }
    }

    private static readonly Access RowIndex = new(AccessBase.Token, DimExpr.One, DimExpr.Zero, DimExpr.Zero, false);

    /// <summary>A weight gradient in FP8: cast with the scale that it already has, or with one that this kernel derives from its amax.</summary>
    private QuantizeOutput StoreGradient(Node node)
    {
        int parameter = node.Data.Index;
        bool current = node.Data.CurrentScale;
        return new QuantizeOutput(
            Operand(node.Inputs[0]), node.Data.Format, context.Gradient(program, parameter), new Access(AccessBase.None, DimExpr.Zero, DimExpr.Zero, program.Space.Columns, true),
            null, null, null, null, context.StateScale(program, parameter, "GradientScale", ElementType.F32, current),
            current ? context.StateScale(program, parameter, "GradientInverse", ElementType.F32, true) : null,
            context.StateScale(program, parameter, "GradientAmax", ElementType.U32, !current), current) { KeepsScale = current, Statistics = context.Statistics(program, node) };
    }

    private QuantizeOutput Quantize(Node node)
    {
        string operand = Operand(node.Inputs[0]);
        KernelParam? row = null, transposed = null;
        Access? access = null;
        DimExpr? pitch = null, offset = null;
        Access? rowMajor = null;
        if (context.Buffers.Places.TryGetValue(node.Out(0), out Storage? at) && Group.Stores.Contains(node.Out(0)))
        {
            row = context.Buffer(program, node.Out(0), at, write: true);
            access = context.AccessOf(node.Inputs[0], at, program.Space);
        }

        if (context.Buffers.Places.TryGetValue(node.Out(1), out Storage? t) && Group.Stores.Contains(node.Out(1)))
        {
            transposed = context.Buffer(program, node.Out(1), t, write: true);
            bool weight = node.Inputs[0].Type.Rows == RowKind.Parameter;
            (pitch, offset) = (weight ? program.Space.Outer : t.Pitch, t.Offset);
            DimExpr columns = context.Buffers.Buffers[t.Buffer].Columns;
            DimExpr start = weight ? DimExpr.Zero : DimExpr.TryDivide(t.Offset, t.Pitch)!;
            rowMajor = weight
                ? new Access(AccessBase.None, DimExpr.Zero, DimExpr.Zero, columns, true)
                : new Access(AccessBase.Token, columns * program.Space.Outer, start, program.Space.Outer.IsOne ? DimExpr.Zero : columns, true);
        }

        return new QuantizeOutput(
            operand, node.Data.Format, row, access, transposed, pitch, offset, rowMajor,
            context.Scale(program, node, "Scale", ElementType.F32, node.Data.CurrentScale),
            node.Data.CurrentScale ? context.Scale(program, node, "ScaleInverse", ElementType.F32, true) : null,
            node.Data.FixedScale ? null : context.Scale(program, node, "Amax", ElementType.U32, true), node.Data.CurrentScale) { Statistics = context.Statistics(program, node) };
    }

    // ---- Values -----------------------------------------------------------------------------------------------------------------------

    private string Operand(Value value)
    {
        value = FusionPlan.Peel(value);
        Dictionary<Value, string> names = RowScalar(value) ? rowNames : columnNames;
        if (names.TryGetValue(value, out string? name))
        {
            return name;
        }

        List<Statement> statements = RowScalar(value) ? stage.Row : stage.Columns;
        if (value.Node == Group.Anchor)
        {
            return names[value] = program.Gemm?.Scales is { PerBlock: false } scales ? Scaled(value, scales) : "acc";
        }

        if (value.Op == OpCode.Constant)
        {
            names[value] = name = Fresh("k");
            statements.Add(new ConstantStatement(name, value.Node.Data));
            return name;
        }

        if (IsLoaded(value))
        {
            name = Fresh("x");
            statements.Add(Load(name, value, null));
            return names[value] = value.Type.Mask ? NumberAsMask(value, name, statements) : name;
        }

        if (value.Op == OpCode.Cast)
        {
            // A copy, or a change of format that happens in the store.
            return names[value] = Operand(value.Node.Inputs[0]);
        }

        if (value.Node.Class != OpClass.Elementwise)
        {
            throw new InvalidOperationException($"{value.Node} is neither stored nor computed in {Group}");
        }

        switch (value.Op)
        {
            case OpCode.Gather or OpCode.PositionRow:
                names[value] = name = Fresh("x");
                statements.Add(TableRow(name, value));
                return name;
            case OpCode.PairSwap:
                names[value] = name = Fresh("x");
                statements.Add(Load(name, FusionPlan.Peel(value.Node.Inputs[0]), new PairSwap(value.Node.Data.Extent!, value.Node.Data.Divisor!, value.Node.Data.Interleaved)));
                return name;
            case OpCode.Tile:
                names[value] = name = Fresh("x");
                statements.Add(Load(name, FusionPlan.Peel(value.Node.Inputs[0]), null));
                return name;
            case OpCode.LabelWeight or OpCode.LossScale or OpCode.DynamicLossScale or OpCode.MasterInverse or OpCode.GradientInverse or OpCode.Position or OpCode.Column or OpCode.Uniform or OpCode.IsLabel:
                names[value] = name = Fresh("v");
                statements.Add(new SpecialStatement(name, value.Node, SpecialParam(value.Node)));
                return name;
        }

        string[] operands = [.. value.Node.Inputs.Select(Operand)];
        names[value] = name = Fresh("v");
        statements.Add(new OpStatement(name, value.Node, operands));
        return name;
    }

    /// <summary>Masks are 1 and 0 in memory: the bits of a register's mask are a NaN, which no float format keeps.</summary>
    private string MaskAsNumber(Value mask)
    {
        string operand = Operand(mask);
        List<Statement> statements = RowScalar(mask) ? stage.Row : stage.Columns;
        string one = Number(1, statements), zero = Number(0, statements), name = Fresh("v");
        statements.Add(new OpStatement(name, Synthetic(OpCode.Select, mask.Type.AsMask(false), mask.Node.Block), [operand, one, zero]));
        return name;
    }

    private string NumberAsMask(Value mask, string number, List<Statement> statements)
    {
        string zero = Number(0, statements), name = Fresh("v");
        statements.Add(new OpStatement(name, Synthetic(OpCode.Less, mask.Type, mask.Node.Block), [zero, number]));
        return name;
    }

    private string Number(double number, List<Statement> statements)
    {
        string name = Fresh("k");
        statements.Add(new ConstantStatement(name, new NodeData { Number = number }));
        return name;
    }

    /// <summary>An op of this kernel alone.</summary>
    private static Node Synthetic(OpCode op, TensorType type, Block block) => new(-1, op, [], [type], NodeData.None, block, -1);

    /// <summary>The accumulator of a product whose operands have a scale per row: times that of its row, times that of its column.</summary>
    private string Scaled(Value product, GroupScales scales)
    {
        Access ofRow = program.Space.Rows == RowKind.Parameter
            ? new Access(AccessBase.None, DimExpr.Zero, DimExpr.Zero, DimExpr.One, false)
            : new Access(AccessBase.Token, program.Space.Outer, DimExpr.Zero, program.Space.Outer.IsOne ? DimExpr.Zero : DimExpr.One, false);
        string row = Fresh("x"), column = Fresh("x"), half = Fresh("v"), name = Fresh("v");
        stage.Row.Add(new LoadStatement(row, scales.A, ofRow, null, null));
        stage.Columns.Add(new LoadStatement(column, scales.B, new Access(AccessBase.None, DimExpr.Zero, DimExpr.Zero, DimExpr.Zero, true), null, null));
        Node multiply = Synthetic(OpCode.Mul, product.Type, product.Node.Block);
        stage.Columns.Add(new OpStatement(half, multiply, ["acc", row]));
        stage.Columns.Add(new OpStatement(name, multiply, [half, column]));
        return name;
    }

    /// <summary>Stored by another kernel, or a weight.</summary>
    private bool IsLoaded(Value value)
    {
        if (value.Op is OpCode.Parameter or OpCode.Gradient)
        {
            return true;
        }

        return context.Buffers.Places.ContainsKey(value) && (!context.Fusion.Owner.ContainsKey(value.Node) || context.Fusion.IsRead(value, Group));
    }

    private LoadStatement Load(string name, Value value, PairSwap? swap)
    {
        if (value.Op == OpCode.Parameter)
        {
            return new LoadStatement(name, context.Master(program, value.Node.Data.Index), context.WeightAccess(value.Type, program.Space), null, swap);
        }

        if (value.Op == OpCode.Gradient)
        {
            return new LoadStatement(name, context.Gradient(program, value.Node.Data.Index, write: false), context.WeightAccess(value.Type, program.Space), null, swap)
            {
                When = context.GradientHolds(program, value.Node.Data.Index),
            };
        }

        Storage place = context.Buffers.Places[value];
        return new LoadStatement(name, context.Buffer(program, value, place, write: false), context.AccessOf(value, place, program.Space), null, swap);
    }

    private LoadStatement TableRow(string name, Value value)
    {
        Value table = value.Node.Inputs[0];
        bool gather = value.Op == OpCode.Gather;
        KernelParam param = context.Master(program, table.Node.Data.Index);
        KernelParam? ids = gather ? context.Fixed(program, "tokens", ElementType.I32, "s.Tokens", false) : null;
        return new LoadStatement(name, param, new Access(gather ? AccessBase.Gather : AccessBase.Position, table.Type.Columns, DimExpr.Zero, DimExpr.Zero, true), ids, null);
    }

    /// <summary>Arguments that an op reads besides its operands.</summary>
    private KernelParam? SpecialParam(Node node)
    {
        switch (node.Op)
        {
            case OpCode.LossScale:
                return context.Fixed(program, "state", ElementType.State, "s.State", false);
            case OpCode.DynamicLossScale:
                return LoweringContext.LossScale(program);
            case OpCode.MasterInverse:
                return context.StateScale(program, node.Data.Index, "MasterInverse", ElementType.F32, false);
            case OpCode.GradientInverse:
                return context.StateScale(program, node.Data.Index, "GradientInverse", ElementType.F32, false);
            case OpCode.Uniform:
                context.Layer(program);
                return context.Fixed(program, "state", ElementType.State, "s.State", false);
            case OpCode.IsLabel:
                return context.Fixed(program, "labels", ElementType.I32, "Labels", false);
            case OpCode.LabelWeight:
                context.Fixed(program, "label_weights", ElementType.F32, "LabelWeights", false);
                return context.Fixed(program, "labels", ElementType.I32, "Labels", false);
            default:
                return null;
        }
    }

    /// <summary>Reductions below some values that this kernel computes, operands before users.</summary>
    private List<Node> Reductions(IEnumerable<Value> values)
    {
        List<Node> found = [];
        HashSet<Value> seen = [];
        void Visit(Value value)
        {
            value = FusionPlan.Peel(value);
            if (!seen.Add(value) || value.Node == Group.Anchor || value.Op == OpCode.Constant || IsLoaded(value))
            {
                return;
            }

            foreach (Value input in value.Op is OpCode.PairSwap or OpCode.Tile or OpCode.Gather or OpCode.PositionRow ? [] : value.Node.Inputs)
            {
                Visit(input);
            }

            if (value.Node.Class == OpClass.RowReduction)
            {
                found.Add(value.Node);
            }
        }

        foreach (Value value in values)
        {
            Visit(value);
        }

        return found;
    }
}
