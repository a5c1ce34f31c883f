using System;
using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Generators.Ir;
using Fp8Lm.Generators.Ir.Plan;
using Fp8Lm.Generators.Model;

namespace Fp8Lm.Generators.Kernels;

/// <summary>Arguments of kernels: which address stands behind a value, a weight, a scale, in the words of the emitted dispatch.</summary>
internal sealed class LoweringContext(Graph graph, FusionPlan fusion, BufferPlan buffers, RecipeSpec recipe)
{
    public RecipeSpec Recipe { get; } = recipe;

    public Graph Graph { get; } = graph;

    public FusionPlan Fusion { get; } = fusion;

    /// <summary>Names of buffers in the emitted class B, those that hold losses of rows last.</summary>
    public IReadOnlyList<string> BufferConstants { get; } = Constants("B", [.. buffers.Buffers.Select(b => b.Name), "row_loss", "row_weight"]);

    /// <summary>Names of weights in the emitted class P.</summary>
    public IReadOnlyList<string> ParameterConstants { get; } = Constants("P", graph.Spec.Parameters.Select(p => p.Path));

    /// <summary>Names of scales in the emitted class S.</summary>
    public IReadOnlyList<string> ScaleConstants { get; } = Constants("S", graph.Scales.Select(s => s.Name));

    public BufferPlan Buffers { get; } = buffers;

    /// <summary>The casts whose numerics can be counted.</summary>
    public CastTable Casts { get; } = CastTable.Of(graph, recipe);

    /// <summary>Names of casts in the emitted class Cast.</summary>
    public IReadOnlyList<string> CastConstants => castConstants ??= Constants("Cast", Casts.Families.Select(c => c.Name + "_" + c.Role));

    private List<string>? castConstants;

    /// <summary>Products that assign weight gradients in the first micro-batch of a step.</summary>
    public IReadOnlyDictionary<int, FusedGroup> FirstGradients { get; } = Kernels.FirstGradients.Of(graph, fusion);

    public static ElementType TypeOf(Format format) => format switch
    {
        Format.F32 => ElementType.F32,
        Format.BF16 => ElementType.BF16,
        Format.F16 => ElementType.F16,
        Format.E4M3 => ElementType.E4M3,
        Format.U8 => ElementType.U8,
        _ => ElementType.E5M2,
    };

    public static Format FormatOf(ElementType type) => type switch
    {
        ElementType.F32 => Format.F32,
        ElementType.BF16 => Format.BF16,
        ElementType.F16 => Format.F16,
        ElementType.E4M3 => Format.E4M3,
        ElementType.U8 => Format.U8,
        _ => Format.E5M2,
    };

    public static int Bytes(Format format) => format switch
    {
        Format.F32 => 4,
        Format.BF16 or Format.F16 => 2,
        _ => 1,
    };

    public KernelParam Buffer(KernelProgram program, Value value, Storage place, bool write) =>
        Param(program, Leaf(Buffers.Buffers[place.Buffer].Name), TypeOf(place.Format), AddressOf(program, place), write, fixedPoint: value.Node.Data.Fixed);

    /// <summary>Positional operand of a library kernel, at the first element of the value.</summary>
    public KernelParam Operand(KernelProgram program, Value value, string name)
    {
        value = FusionPlan.Peel(value);
        KernelParam param;
        if (value.Op == OpCode.Parameter)
        {
            ParameterSpec spec = Graph.Spec.Parameters[value.Node.Data.Index];
            param = new KernelParam(name, ElementType.F32, $"s.Master({ParameterName(value.Node.Data.Index)}, {(spec.Loop >= 0 ? "layer" : "0")})") { Operand = true };
        }
        else
        {
            Storage place = Buffers.Places[value];
            string offset = place.Offset.PrintFactor(Symbol);
            param = new KernelParam(name, TypeOf(place.Format), AddressOf(program, place) + (offset == "0" ? "" : $" + (nint)({offset} * {Bytes(place.Format)})")) { Operand = true };
        }

        program.Params.Add(param);
        return param;
    }

    private string AddressOf(KernelProgram program, Storage place)
    {
        BufferSpec spec = Buffers.Buffers[place.Buffer];
        string argument = $"s.Buffer({BufferName(place.Buffer)}, {IndexText(place.Index, spec.Loop)})";
        if (program.Group.Block.Phase == Phase.Head)
        {
            // The head sees full-length buffers through the window of its chunk.
            DimExpr? step = place.Rows switch
            {
                BufferRows.Tokens => place.Transposed ? DimExpr.One : place.Pitch,
                BufferRows.Slabs => place.Pitch,
                _ => null,
            };
            if (step is not null)
            {
                string rows = place.Rows == BufferRows.Slabs ? "chunk * (ChunkRowsOf(d) / 16)" : "chunk * ChunkRowsOf(d)";
                argument += $" + (nint)({rows} * {step.PrintFactor(Symbol)} * {Bytes(place.Format)})";
            }
        }

        return argument;
    }

    public KernelParam Master(KernelProgram program, int parameter)
    {
        ParameterSpec spec = Graph.Spec.Parameters[parameter];
        return Param(program, Leaf(spec.Path), TypeOf(MasterFormat(parameter)), $"s.Master({ParameterName(parameter)}, {(spec.Loop >= 0 ? "layer" : "0")})", false);
    }

    public KernelParam Gradient(KernelProgram program, int parameter, bool write = true)
    {
        ParameterSpec spec = Graph.Spec.Parameters[parameter];
        return Param(program, Leaf(spec.Path) + "_gradient", TypeOf(GradientFormat(parameter)), $"s.Gradient({ParameterName(parameter)}, {(spec.Loop >= 0 ? "layer" : "0")})", write);
    }

    /// <summary>1 where the gradient holds something to add to; null for kernels that always add.</summary>
    public KernelParam? GradientHolds(KernelProgram program, int parameter)
    {
        if (!FirstGradients.TryGetValue(parameter, out FusedGroup? first) || first != program.Group)
        {
            return null;
        }

        string chunk = program.Group.Block.Phase == Phase.Head ? " || chunk > 0" : "";
        return Param(program, "adds", ElementType.Int64, $"s.GradientsHold{chunk} ? 1 : 0", false, ours: true);
    }

    /// <summary>Format of a parameter's master weights.</summary>
    public Format MasterFormat(int parameter) => Graph.LinearWeights.Contains(parameter) ? Recipe.Master : Format.F32;

    /// <summary>Format of a parameter's gradient.</summary>
    public Format GradientFormat(int parameter) => Graph.LinearWeights.Contains(parameter) ? Recipe.WeightGradient : Format.F32;

    /// <summary>Address of a scale, its inverse, or an amax of what the optimizer keeps for a parameter.</summary>
    public KernelParam StateScale(KernelProgram program, int parameter, string what, ElementType type, bool write)
    {
        ParameterSpec spec = Graph.Spec.Parameters[parameter];
        string name = Leaf(spec.Path) + (what switch
        {
            "GradientScale" => "_gradient_scale",
            "GradientInverse" => "_gradient_inverse",
            "GradientAmax" => "_gradient_amax",
            _ => "_master_inverse",
        });
        return Param(program, name, type, $"s.{what}({ParameterName(parameter)}, {(spec.Loop >= 0 ? "layer" : "0")})", write);
    }

    /// <summary>Address of a scale, its inverse, or an amax of the slot a node names.</summary>
    public KernelParam Scale(KernelProgram program, Node node, string what, ElementType type, bool write) =>
        Scale(program, node.Data.Scale, node.Data.ScaleIndex, what, type, write);

    public KernelParam Scale(KernelProgram program, int scale, InstanceIndex index, string what, ElementType type, bool write)
    {
        ScaleFamily family = Graph.Scales[scale];
        string name = Leaf(family.Name.Split('/')[0]) + (what switch
        {
            "Scale" => "_scale",
            "ScaleInverse" => "_inverse",
            _ => "_amax",
        });
        return Param(program, name, type, $"s.{what}({ScaleName(scale)}, {IndexText(index, family.Loop)})", write);
    }

    /// <summary>Where a cast is counted.</summary>
    public KernelParam Statistics(KernelProgram program, Node node)
    {
        (int cast, InstanceIndex index) = Casts.Slot(node);
        CastFamily family = Casts.Families[cast];
        return Param(program, Leaf(family.Name) + "_casts", ElementType.CastStatistics, $"s.CastStatistics(Cast.{CastConstants[cast]}, {IndexText(index, family.Loop)})", true);
    }

    public KernelParam Fixed(KernelProgram program, string name, ElementType type, string source, bool write)
    {
        bool chunked = program.Group.Block.Phase == Phase.Head;
        string argument = source switch
        {
            "RowLoss" => "s.Buffer(B.row_loss, 0)",
            "RowWeight" => "s.Buffer(B.row_weight, 0)",
            "Labels" => "s.Labels",
            "LabelWeights" => "s.LabelWeights",
            _ => source,
        };
        if (chunked && type is ElementType.F32 or ElementType.I32 && chunked)
        {
            argument += " + (nint)(chunk * ChunkRowsOf(d) * 4)";
        }

        return Param(program, name, type, argument, write, ours: true);
    }

    /// <summary>Address of the loss scale that follows the run, one F32 for all chunks.</summary>
    public static KernelParam LossScale(KernelProgram program) =>
        Param(program, "loss_scale", ElementType.F32, "s.Workspace(WorkspacePart.LossScale)", false, ours: true);

    public KernelParam Layer(KernelProgram program) =>
        Param(program, "layer", ElementType.Int64, program.Group.Block.Loop is null ? "0" : "(nint)layer", false, ours: true);

    /// <summary>The argument that a kernel has for an address; names of users' weights and ops give way to those of the renderers, <paramref name="ours"/> do not.</summary>
    private static KernelParam Param(KernelProgram program, string name, ElementType type, string argument, bool write, bool ours = false, FixedPoint? fixedPoint = null)
    {
        name = ours ? name : ReservedNames.Avoid(name);
        KernelParam? known = program.Params.FirstOrDefault(p => p.Argument == argument && p.Type == type && !p.Operand);
        if (known is null)
        {
            string unique = name;
            for (int i = 2; program.Params.Any(p => p.Name == unique); i++)
            {
                unique = name + "_" + i.ToString(System.Globalization.CultureInfo.InvariantCulture);
            }

            known = new KernelParam(unique, type, argument) { Fixed = fixedPoint };
            program.Params.Add(known);
        }

        known.Written |= write;
        return known;
    }

    // ---- Accesses ---------------------------------------------------------------------------------------------------------------------

    /// <summary>How a kernel of a space reads a stored value: per element, per row, or per token.</summary>
    public Access AccessOf(Value value, Storage place, Space space)
    {
        TensorType type = value.Type;
        if (type.Rows == RowKind.Parameter)
        {
            return IsNumberOfRow(type, space)
                ? new Access(AccessBase.None, DimExpr.Zero, place.Offset, type.Elements.IsOne ? DimExpr.Zero : DimExpr.One, false)
                : new Access(AccessBase.None, DimExpr.Zero, place.Offset, place.OuterPitch, true);
        }

        AccessBase start = type.Rows == RowKind.Position && space.Rows == RowKind.Token ? AccessBase.Position : AccessBase.Token;
        bool full = type.Elements.Equals(space.Outer * space.Columns);
        if (full)
        {
            // Flat values are contiguous within a token, so any split into outer and columns reads them.
            DimExpr outerPitch = type.Columns.Equals(space.Columns) ? place.OuterPitch : space.Columns;
            return new Access(start, place.Pitch, place.Offset, space.Outer.IsOne ? DimExpr.Zero : outerPitch, true);
        }

        if (type.Elements.IsOne)
        {
            return new Access(start, place.Pitch, place.Offset, DimExpr.Zero, false);
        }

        if (type.Columns.IsOne)
        {
            return new Access(start, place.Pitch, place.Offset, DimExpr.One, false);
        }

        // [D] under [H, D], or under flat rows: the same features for every head (tables of positions).
        return new Access(start, place.Pitch, place.Offset, DimExpr.Zero, true) { Period = type.Columns.Equals(space.Columns) ? null : type.Columns };
    }

    /// <summary>How a kernel reads a weight that broadcasts over its space.</summary>
    public Access WeightAccess(TensorType weight, Space space)
    {
        if (space.Rows == RowKind.Parameter && !IsNumberOfRow(weight, space))
        {
            return new Access(AccessBase.None, DimExpr.Zero, DimExpr.Zero, space.Columns, true);
        }

        if (weight.Elements.IsOne)
        {
            return new Access(AccessBase.None, DimExpr.Zero, DimExpr.Zero, DimExpr.Zero, false);
        }

        if (weight.Columns.IsOne)
        {
            return new Access(AccessBase.None, DimExpr.Zero, DimExpr.Zero, DimExpr.One, false);
        }

        bool outer = !space.Outer.IsOne && weight.Elements.Equals(space.Outer * space.Columns);
        return new Access(AccessBase.None, DimExpr.Zero, DimExpr.Zero, outer ? space.Columns : DimExpr.Zero, true);
    }

    /// <summary>One number for all columns: read once, outside the sweep over them.</summary>
    private static bool IsNumberOfRow(TensorType type, Space space) => type.Columns.IsOne && !space.Columns.IsOne;

    /// <summary>Whether the logits depend on a kernel of the head.</summary>
    public bool FeedsLogits(KernelProgram program)
    {
        Stack<Node> work = new([Graph.Logits.Node]);
        HashSet<Node> seen = [];
        while (work.Count > 0)
        {
            Node node = work.Pop();
            if (!seen.Add(node))
            {
                continue;
            }

            if (Fusion.Owner.TryGetValue(node, out FusedGroup? group) && group == program.Group)
            {
                return true;
            }

            foreach (Value input in node.Inputs)
            {
                work.Push(input.Node);
            }
        }

        return false;
    }

    // ---- Names ------------------------------------------------------------------------------------------------------------------------

    public static string IndexText(InstanceIndex index, Loop? loop) => index switch
    {
        InstanceIndex.First => "0",
        InstanceIndex.Layer => "layer",
        InstanceIndex.NextLayer => "layer + 1",
        _ => loop!.Count.Print(Symbol),
    };

    public string BufferName(int buffer) => "B." + BufferConstants[buffer];

    public string ParameterName(int parameter) => "P." + ParameterConstants[parameter];

    public string ScaleName(int scale) => "S." + ScaleConstants[scale];

    /// <summary>A dimension in emitted C#: <c>d[Width]</c>.</summary>
    public static string Symbol(string name) => name == "ChunkRows" ? "ChunkRowsOf(d)" : "d[D." + ReservedNames.Constant(name, "D") + "]";

    private static string Leaf(string path)
    {
        string[] parts = path.Split('.');
        string last = parts[parts.Length - 1];
        bool suffix = last.StartsWith("fp8", StringComparison.Ordinal) || last.StartsWith("transposed", StringComparison.Ordinal) || last.StartsWith("sums", StringComparison.Ordinal)
            || last.StartsWith("lse", StringComparison.Ordinal) || last.StartsWith("row", StringComparison.Ordinal) || last.StartsWith("rsqrt", StringComparison.Ordinal);
        string name = suffix && parts.Length > 1 ? parts[parts.Length - 2] + "_" + last : last;
        return Clean(parts.Contains("grad") ? "d_" + name : name);
    }

    /// <summary>Distinct constants of an emitted class: paths that differ by where a dot stands are the same word.</summary>
    private static List<string> Constants(string type, IEnumerable<string> names)
    {
        HashSet<string> seen = [];
        List<string> constants = [];
        foreach (string name in names.Select(n => ReservedNames.Constant(Clean(n), type)))
        {
            string unique = name;
            for (int i = 2; !seen.Add(unique); i++)
            {
                unique = name + "_" + i.ToString(System.Globalization.CultureInfo.InvariantCulture);
            }

            constants.Add(unique);
        }

        return constants;
    }

    public static string Clean(string name)
    {
        string cleaned = new(name.Select(c => char.IsLetterOrDigit(c) ? c : '_').ToArray());
        cleaned = cleaned.Replace("___", "_").Replace("__", "_").Trim('_');
        return cleaned.Length == 0 || char.IsDigit(cleaned[0]) ? "_" + cleaned : cleaned;
    }
}
