using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Generators.Ir;
using Fp8Lm.Generators.Model;

namespace Fp8Lm.Generators.Passes.Precision;

/// <summary>
/// Gives every GEMM its operands in the formats of the recipe's roles. A tensor is quantised once; row-major and transposed copies are
/// two outputs of one cast. Weights are cast in setup, once per optimizer step.
/// </summary>
internal sealed class PrecisionAssignment
{
    private readonly Graph graph;
    private readonly RecipeSpec recipe;
    private readonly Dictionary<(Value, Format), Node> casts = [];
    private readonly Dictionary<int, Block> setups = [];

    private PrecisionAssignment(Graph graph, RecipeSpec recipe)
    {
        this.graph = graph;
        this.recipe = recipe;
    }

    public static void Run(Graph graph, RecipeSpec recipe) => new PrecisionAssignment(graph, recipe).Assign();

    private void Assign()
    {
        if (recipe.OwnStates)
        {
            LinearWeights.Find(graph);
        }

        HashSet<Node> kept = Kept();
        foreach (Node gemm in graph.Nodes.Where(n => n.Op == OpCode.Gemm).ToList())
        {
            bool inBlock = gemm.Block.Loop is not null && gemm.Block.Phase != Phase.Head;
            (Format a, Format b) = gemm.Data.Gemm switch
            {
                GemmRole.Fprop => (recipe.Input, recipe.Weight),
                GemmRole.Dgrad => (recipe.OutputGradient, recipe.Weight),
                _ => (recipe.OutputGradient, recipe.Input),
            };
            if (!inBlock || kept.Contains(gemm))
            {
                a = b = inBlock ? recipe.Compute : recipe.Head;
            }

            bool fp8 = RecipeSpec.IsFp8(a) && RecipeSpec.IsFp8(b);
            NodeData data = gemm.Data with { Promote = fp8 && (gemm.Data.Gemm == GemmRole.Fprop ? recipe.PromoteForward : recipe.PromoteBackward) };
            // FP8 tensor cores read both operands with K contiguous; 16-bit ones take either, so there the stored order serves.
            gemm.Inputs = [Operand(gemm, gemm.Inputs[0], fp8 ? a : Compute(a), data.AKMajor, fp8), Operand(gemm, gemm.Inputs[1], fp8 ? b : Compute(b), data.BKMajor, fp8)];
            gemm.Data = fp8 ? data with { AKMajor = true, BKMajor = true } : data;
            if (fp8 && recipe.GroupedScales)
            {
                gemm.Inputs = [.. gemm.Inputs, .. gemm.Inputs.Select(GroupedCasts.ScalesOf)];
            }
        }

        if (RecipeSpec.IsFp8(recipe.WeightGradient))
        {
            GradientStorage.Run(graph, recipe);
        }

        if (recipe.ScalesLoss)
        {
            ScaleLoss();
        }
    }

    /// <summary>The gradients of losses, and so all others, are multiplied by the scale that the end of the step before left in memory.</summary>
    private void ScaleLoss()
    {
        foreach (Node scale in graph.Nodes.Where(n => n.Op == OpCode.LossScale).ToList())
        {
            Block block = scale.Block;
            List<Node> users = [.. block.Nodes.Where(n => n.Inputs.Contains(scale.Out()))];
            int at = block.Nodes.IndexOf(scale) + 1, before = block.Nodes.Count;
            Value dynamic = graph.Add(block, OpCode.DynamicLossScale, [], [TensorType.Scalar], site: scale.Site, label: scale.Label).Out();
            Value product = graph.Add(block, OpCode.Mul, [scale.Out(), dynamic], [TensorType.Scalar], site: scale.Site, label: scale.Label).Out();
            List<Node> added = block.Nodes.GetRange(before, block.Nodes.Count - before);
            block.Nodes.RemoveRange(before, added.Count);
            block.Nodes.InsertRange(at, added);
            foreach (Node user in users)
            {
                user.Inputs = [.. user.Inputs.Select(i => i.Equals(scale.Out()) ? product : i)];
            }
        }
    }

    /// <summary>The products of linears whose weight opts out of FP8. Two weights may share a product of gradients; then one that opts out decides.</summary>
    private HashSet<Node> Kept()
    {
        bool OptsOut(Node parameter) => recipe.UsesFp8 && !recipe.InFp8(graph.Spec.Parameters[parameter.Data.Index]);
        IEnumerable<Node> byOperand = graph.Nodes.Where(n => n.Op == OpCode.Gemm && n.Data.Gemm != GemmRole.Wgrad && OptsOut(n.Inputs[1].Node));
        IEnumerable<Node> byGradient = graph.Nodes.Where(n => n.Op == OpCode.AccumulateGradient && OptsOut(n)).Select(n => n.Inputs[0].Node);
        return [.. byOperand, .. byGradient];
    }

    private Format Compute(Format format) => RecipeSpec.IsFp8(format) ? recipe.Compute : format;

    private Value Operand(Node gemm, Value value, Format format, bool kMajor, bool fp8)
    {
        if (value.Op == OpCode.Parameter && recipe.CopiesFollowMaster && graph.LinearWeights.Contains(value.Node.Data.Index))
        {
            return format == Format.F32 ? value : CopyOf(gemm, value, format, fp8 && !kMajor);
        }

        if (!fp8)
        {
            return value.Op == OpCode.Parameter && format != Format.F32 ? CastOf(value, format).Out() : value;
        }

        return CastOf(value, format).Out(kMajor ? 0 : 1);
    }

    private Node CastOf(Value value, Format format)
    {
        bool parameter = value.Op == OpCode.Parameter;
        Block block = parameter ? Setup(graph.Spec.Parameters[value.Node.Data.Index].Loop) : value.Node.Block;
        if (parameter)
        {
            // Every block that reads a weight has a node of its own for it; setup's stands for all.
            value = graph.Add(block, OpCode.Parameter, [], [value.Type], value.Node.Data, value.Node.Site, value.Node.Label).Out();
        }

        if (casts.TryGetValue((value, format), out Node? cast))
        {
            return cast;
        }

        string label = parameter ? graph.Spec.Parameters[value.Node.Data.Index].Path : value.Node.Label;
        if (!RecipeSpec.IsFp8(format))
        {
            cast = graph.Add(block, OpCode.Cast, [value], [value.Type], new NodeData { Format = format }, value.Node.Site, value.Node.Label);
            return casts[(value, format)] = cast;
        }

        if (recipe.GroupedScales)
        {
            List<Node> added = GroupedCasts.Add(graph, block, value, null, format, recipe);
            foreach (Node node in added)
            {
                InsertBehind(value, block, node);
            }

            return casts[(value, format)] = added[added.Count - 1];
        }

        int scale = graph.Scales.Count;
        string name = (block.Loop is null || parameter ? "" : block.Loop.Name + ".*.") + (label.Length == 0 ? "value" : label) + (parameter ? "/weight" : block.Phase == Phase.Backward ? "/gradient" : "/input");
        graph.Scales.Add(new ScaleFamily(Unique(name), format, block.Loop, Carried: false));
        InstanceIndex index = block.Loop is null ? InstanceIndex.First : InstanceIndex.Layer;
        bool current = recipe.Scaling == ScalePolicy.Current;
        NodeData data = new() { Format = format, Scale = scale, ScaleIndex = index, CurrentScale = current };
        Value[] inputs = [value];
        if (current)
        {
            // The amax is an operand of the cast: its kernel must have run.
            Node amax = graph.Add(block, OpCode.Amax, [value], [TensorType.Scalar], data, value.Node.Site, value.Node.Label);
            InsertBehind(value, block, amax);
            inputs = [value, amax.Out()];
        }

        cast = graph.Add(block, OpCode.Quantize, inputs, [value.Type, value.Type], data, value.Node.Site, value.Node.Label);
        InsertBehind(value, block, cast);
        return casts[(value, format)] = cast;
    }

    /// <summary>
    /// A copy of a weight whose master and scales the optimizer keeps: in setup if it is kept, else right before the product that reads it, where its
    /// memory is that product's alone.
    /// </summary>
    private Value CopyOf(Node gemm, Value parameter, Format format, bool transposed)
    {
        int index = parameter.Node.Data.Index;
        bool kept = recipe.Copies == WeightCopies.PerStep || (recipe.Copies == WeightCopies.RowMajorPerStep && !transposed);
        Block block = kept ? Setup(graph.Spec.Parameters[index].Loop) : gemm.Block;
        int before = block.Nodes.Count;
        Value source = graph.Add(block, OpCode.Parameter, [], [parameter.Type], parameter.Node.Data, parameter.Node.Site, parameter.Node.Label).Out();
        if (!casts.TryGetValue((source, format), out Node? cast))
        {
            Value? inverse = RecipeSpec.IsScaled(recipe.Master)
                ? graph.Add(block, OpCode.MasterInverse, [], [TensorType.Scalar], new NodeData { Index = index }, parameter.Node.Site).Out()
                : null;
            bool grouped = RecipeSpec.IsFp8(format) && recipe.GroupedScales;
            Value value = inverse is { } factor && !grouped ? graph.Add(block, OpCode.Mul, [source, factor], [source.Type], site: parameter.Node.Site).Out() : source;

            NodeData data = new() { Format = format };
            if (grouped)
            {
                List<Node> added = GroupedCasts.Add(graph, block, value, inverse, format, recipe);
                cast = added[added.Count - 1];
            }
            else if (RecipeSpec.IsFp8(format))
            {
                data = data with { Scale = WeightScale(index, format), ScaleIndex = InstanceIndex.Layer, FixedScale = true };
                cast = graph.Add(block, OpCode.Quantize, [value], [value.Type, value.Type], data, parameter.Node.Site, parameter.Node.Label);
            }
            else
            {
                cast = graph.Add(block, OpCode.Cast, [value], [value.Type], data, parameter.Node.Site, parameter.Node.Label);
            }

            casts[(source, format)] = cast;
            if (!kept)
            {
                List<Node> added = block.Nodes.GetRange(before, block.Nodes.Count - before);
                block.Nodes.RemoveRange(before, added.Count);
                block.Nodes.InsertRange(block.Nodes.IndexOf(gemm), added);
            }
        }

        return cast.Out(transposed ? 1 : 0);
    }

    private int WeightScale(int parameter, Format format)
    {
        if (!graph.WeightScales.TryGetValue(parameter, out int scale))
        {
            ParameterSpec spec = graph.Spec.Parameters[parameter];
            graph.WeightScales[parameter] = scale = graph.Scales.Count;
            graph.Scales.Add(new ScaleFamily(Unique(spec.Path + "/weight"), format, graph.Blocks.First(b => b.Loop?.Id == spec.Loop).Loop, Carried: false));
        }

        return scale;
    }

    /// <summary>Two values may come from ops of the same label; their scales are two all the same.</summary>
    private string Unique(string name)
    {
        int copies = graph.Scales.Count(s => s.Name == name || s.Name.StartsWith(name + "~", System.StringComparison.Ordinal));
        return copies == 0 ? name : name + "~" + (copies + 1).ToString(System.Globalization.CultureInfo.InvariantCulture);
    }

    /// <summary>New nodes were appended; casts belong right behind what they cast, before its other users.</summary>
    private static void InsertBehind(Value value, Block block, Node node)
    {
        block.Nodes.Remove(node);
        int position = block.Nodes.IndexOf(value.Node) + 1;
        while (position < block.Nodes.Count && block.Nodes[position].Op is OpCode.Amax or OpCode.GroupAmax)
        {
            position++;
        }

        block.Nodes.Insert(position, node);
    }

    private Block Setup(int loop)
    {
        if (!setups.TryGetValue(loop, out Block? block))
        {
            Loop? info = loop < 0 ? null : graph.Blocks.First(b => b.Loop?.Id == loop).Loop;
            block = graph.Blocks.FirstOrDefault(b => b.Phase == Phase.Setup && b.Loop == info) ?? graph.AddBlock(Phase.Setup, info, info is null ? "weights" : info.Name, at: 0);
            setups[loop] = block;
        }

        return block;
    }
}
