using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Generators.Emit.Cuda;
using Fp8Lm.Generators.Ir;
using Fp8Lm.Generators.Ir.Plan;
using Fp8Lm.Generators.Kernels;
using Fp8Lm.Generators.Model;

namespace Fp8Lm.Generators.Emit.CSharp;

/// <summary>
/// Model.Recipe.g.cs: the training step as straight lists of launches and loops over layers. The same launches run on every back end.
/// </summary>
internal sealed class ProgramEmitter
{
    private readonly CompiledProgram compiled;
    private readonly SourceWriter w = new();

    private ProgramEmitter(CompiledProgram compiled) => this.compiled = compiled;

    private Graph Graph => compiled.Graph;

    private ModelSpec Spec => compiled.Graph.Spec;

    private LoweringContext Context => compiled.Context;

    public static string Emit(CompiledProgram compiled)
    {
        ProgramEmitter emitter = new(compiled);
        emitter.Write();
        return emitter.w.ToString();
    }

    private void Write()
    {
        ProgramText.Header(w, "System.Collections.Generic", "Fp8Lm.Cpu", "Fp8Lm.Execution");
        int depth = ProgramText.OpenType(w, Spec.Type);
        w.Line($"/// <summary>Recipe {compiled.Recipe.Name}: {Formats()}.</summary>");
        w.Open($"private sealed unsafe partial class {ModelEmitter.ProgramName(compiled.Recipe)} : ModelProgram");
        Facts();
        Problem();
        Numbers("D", [.. new[] { "MicroBatch", "Sequence" }.Concat(Spec.Dims).Select(d => ReservedNames.Constant(d, "D"))]);
        Numbers("B", Context.BufferConstants);
        Numbers("P", Context.ParameterConstants);
        Numbers("S", Context.ScaleConstants);
        if (Context.Casts.Families.Count > 0)
        {
            Numbers("Cast", Context.CastConstants);
        }

        Numbers("K", [.. compiled.Kernels.Select(k => k.Name), .. LibraryKernels.Of(compiled.States).Select(k => k.Name)]);
        KernelTable();
        BufferTable();
        ScaleTable();
        CastTable();
        StateFormats();
        LinearTable.Write(w, compiled);
        Methods();
        w.Close();
        ProgramText.CloseType(w, depth);
    }

    private string Formats()
    {
        RecipeSpec r = compiled.Recipe;
        return $"input {r.Input}, weight {r.Weight}, output gradient {r.OutputGradient}, compute {r.Compute}, head {r.Head}, weight gradient {r.WeightGradient}, master {r.Master}, moments {r.FirstMoment}/{r.SecondMoment}{(r.GroupedMoments ? " in groups of 128" : "")}, scaling {r.Scaling}";
    }

    private void Facts()
    {
        RecipeSpec recipe = compiled.Recipe;
        DimExpr vocabulary = Graph.Logits.Type.Columns;
        w.Line($"public override string Recipe => {ProgramText.Quote(recipe.Name)};").Line();
        string scaling = !Casts ? "null"
            : $"new({(recipe.Scaling == ScalePolicy.Delayed ? "true" : "false")}, {ProgramText.N(recipe.AmaxHistory)}, {(recipe.PowerOfTwoScales ? "true" : "false")}, {ProgramText.N(recipe.Margin)}){(StoresGradients(current: false) ? " { DelayedGradients = true }" : "")}";
        w.Line($"public override ScalingInfo? Scaling => {scaling};").Line();
        w.Line("public override bool KernelsOverlap => true;").Line();
        if (recipe.ScalesLoss)
        {
            w.Line($"public override LossScalingInfo? LossScaling => new({ProgramText.N(recipe.InitialLossScale)}, {ProgramText.N(recipe.GrowthInterval)});").Line();
        }

        if (Graph.Blocks.Any(b => b.Loop is { Checkpoint: true }))
        {
            w.Line("public override bool PrefersCheckpointing => true;").Line();
        }

        if (Context.FirstGradients.Count > 0)
        {
            w.Line($"public override IReadOnlyList<int> AssignedGradients {{ get; }} = [{string.Join(", ", Context.FirstGradients.Keys.OrderBy(p => p).Select(Context.ParameterName))}];").Line();
        }

        w.Line($"public override int LogitsBuffer => {Context.BufferName(compiled.Buffers.Places[FusionPlan.Peel(Graph.Logits)].Buffer)};").Line();
        w.Line("public override long ChunkRows(DimBinding dims) => ChunkRowsOf(dims);").Line();
        w.Line($"private static long ChunkRowsOf(DimBinding d) => HeadChunk.Rows(d.Tokens, {vocabulary.Print(LoweringContext.Symbol)});").Line();
    }

    /// <summary>What only the micro-batch and the sequence length can break.</summary>
    private void Problem()
    {
        w.Open("public override string? Problem(DimBinding d)");
        foreach (Node row in Graph.Nodes.Where(n => n.Op == OpCode.PositionRow))
        {
            ParameterSpec table = Spec.Parameters[row.Inputs[0].Node.Data.Index];
            string extent = table.Shape[0].Print(LoweringContext.Symbol);
            w.Open($"if (d[D.Sequence] > {extent})")
                .Line($"return $\"The sequence length {{d[D.Sequence]}} is larger than the {{{extent}}} positions of '{table.Path}'. Use a sequence of at most {{{extent}}} tokens, or a size with more positions.\";").Close();
        }

        bool attention = Graph.Nodes.Any(n => n.Op == OpCode.Attention);
        if (attention || Casts)
        {
            string what = attention ? "d[D.Sequence]" : "d.Tokens";
            string name = attention ? "sequence length" : "number of tokens in a micro-batch";
            w.Open($"if ({what} % 16 != 0)").Line($"return $\"The {name} {{{what}}} is not a multiple of 16, which the kernels of recipe {compiled.Recipe.Name} need. The next one is {{({what} + 15) / 16 * 16}}.\";").Close();
        }

        w.Line("return null;").Close().Line();
    }

    private void Numbers(string name, IReadOnlyList<string> entries)
    {
        w.Open($"private static class {name}");
        int i = 0;
        foreach (string entry in entries)
        {
            w.Line($"public const int {entry} = {ProgramText.N(i++)};");
        }

        w.Close().Line();
    }

    private void KernelTable()
    {
        w.Line("public override IReadOnlyList<KernelInfo> Kernels { get; } =").Line("[");
        foreach (KernelProgram kernel in compiled.Kernels)
        {
            w.Line($"    new({ProgramText.Quote(kernel.Name)}, KernelKind.{Kind(kernel)}, Cuda.{kernel.Name}, {kernel.Name}, [{string.Join(", ", kernel.Params.Select(p => ProgramText.Quote($"{p.Name}: {CudaText.Type(p)}{(p.IsPointer ? "*" : "")}{(p.Written ? " (written)" : "")}")))}], {Geometry(kernel)}),");
        }

        foreach (LibraryKernel kernel in LibraryKernels.Of(compiled.States))
        {
            w.Line($"    new({ProgramText.Quote(kernel.Name)}, KernelKind.{kernel.Kind}, Cuda.{kernel.Name}, {kernel.Cpu}, [{string.Join(", ", kernel.Params.Select(p => ProgramText.Quote($"{p.Name}: {CudaText.Type(p.Type)}{(p.IsPointer ? "*" : "")}")))}], {kernel.Geometry}),");
        }

        w.Line("];").Line();
    }

    /// <summary>Whether anything is FP8: in the families of scales, with scales beside the bytes, or gradients alone, whose products may be in 16 bits.</summary>
    private bool Casts => Graph.Scales.Count > 0 || Graph.Nodes.Any(n => n.IsGroupedCast) || StoresGradients(current: false);

    /// <summary>Whether a weight gradient is stored in FP8 with such a scale; a model may have no weight whose gradient is.</summary>
    private bool StoresGradients(bool current) => Graph.Nodes.Any(n => n.Op == OpCode.StoreGradient && n.Data.CurrentScale == current);

    private static string Kind(KernelProgram kernel) => kernel.Group.Anchor?.Op switch
    {
        null => "Row",
        OpCode.Gemm => "Gemm",
        OpCode.Attention => "AttentionForward",
        OpCode.AttentionGradKeyValue => "AttentionBackwardKeyValue",
        OpCode.AttentionGradQuery => "AttentionBackwardQuery",
        OpCode.EmbedGradient or OpCode.PositionGradient => "EmbeddingGradient",
        OpCode.Quantize or OpCode.GroupAmax => "Row",
        _ => "ColumnSumFinish",
    };

    private static string Geometry(KernelProgram kernel)
    {
        if (kernel.Gemm is { } gemm)
        {
            static string Operand(GemmOperand o) => $"new(ElementFormat.{o.Format}, {(o.KMajor ? "true" : "false")}, {ProgramText.Lambda(o.Pitch)})";
            return $"new GemmGeometry({ProgramText.Lambda(gemm.M)}, {ProgramText.Lambda(gemm.N)}, {ProgramText.Lambda(gemm.K)}, {Operand(gemm.A)}, {Operand(gemm.B)})";
        }

        if (kernel.Attention is { } attention)
        {
            return $"new AttentionGeometry({ProgramText.Lambda(attention.QueryHeads)}, {ProgramText.Lambda(attention.KeyValueHeads)}, {ProgramText.Lambda(attention.HeadSize)})";
        }

        if (kernel.ColumnSums.Count > 0)
        {
            string columns = kernel.ColumnSums.Select(s => s.Columns.Print(LoweringContext.Symbol)).Distinct().Aggregate((a, b) => $"global::System.Math.Max({a}, {b})");
            return $"new RowGeometry({(columns.Contains("d[") ? "static d" : "static _")} => {columns}, static _ => {ProgramText.N(kernel.ColumnSums.Count)})";
        }

        if (kernel.Group.IsLibrary && kernel.Cast is null)
        {
            return "NoGeometry.Instance";
        }

        return $"new RowGeometry({ProgramText.Lambda(kernel.Rows)}, {ProgramText.Lambda(kernel.Space.Columns)})";
    }

    private void BufferTable()
    {
        int end = compiled.Fusion.Groups.Count;    // positions are those of groups, of which a kernel may have several
        w.Line("public override IReadOnlyList<BufferInfo> Buffers { get; } =").Line("[");
        foreach (BufferSpec buffer in compiled.Buffers.Buffers)
        {
            string layers = buffer.Loop is null ? "static _ => 1" : ProgramText.Lambda(buffer.Loop.Count);
            string checkpointed = buffer.LastCheckpointed != buffer.Last ? $" {{ LastUseCheckpointed = {ProgramText.N(buffer.LastCheckpointed)} }}" : "";
            w.Line($"    new({ProgramText.Quote(buffer.Name)}, BufferCategory.{buffer.Category}, ElementFormat.{buffer.Format}, {ProgramText.Elements(buffer)}, BufferScope.{buffer.Scope}, {layers}, {ProgramText.N(buffer.First)}, {ProgramText.N(buffer.Last)}){checkpointed},");
        }

        foreach (string name in new[] { "row_loss", "row_weight" })
        {
            w.Line($"    new(\"{name}\", BufferCategory.Workspace, ElementFormat.F32, static d => d.Tokens, BufferScope.Single, static _ => 1, 0, {ProgramText.N(end)}),");
        }

        w.Line("];").Line();
    }

    private void ScaleTable()
    {
        w.Line("public override IReadOnlyList<ScaleInfo> Scales { get; } =").Line("[");
        foreach (ScaleFamily scale in Graph.Scales)
        {
            w.Line($"    new({ProgramText.Quote(scale.Name)}, ElementFormat.{scale.Format}, {Slots(scale.Loop, scale.Carried)}),");
        }

        w.Line("];").Line();
    }

    private void CastTable()
    {
        if (Context.Casts.Families.Count + Context.Casts.States.Count == 0)
        {
            return;
        }

        w.Line("public override IReadOnlyList<CastInfo> Casts { get; } =").Line("[");
        foreach (CastFamily cast in Context.Casts.Families)
        {
            w.Line($"    new({ProgramText.Quote(cast.Name)}, {ProgramText.Quote(cast.Role)}, ElementFormat.{cast.Format}, {Slots(cast.Loop, cast.Carried)}),");
        }

        foreach (StateFamily state in Context.Casts.States)
        {
            string name = ProgramText.Quote(Spec.Parameters[state.Parameter].Path), parameter = Context.ParameterName(state.Parameter);
            w.Line($"    new({name}, {ProgramText.Quote(state.Role)}, ElementFormat.{state.Format}, {ProgramText.Lambda(state.Layers)}) {{ State = new(ArenaKind.{state.Arena}, {parameter}) }},");
        }

        w.Line("];").Line();
    }

    /// <summary>A family carried over a loop's back edge has a slot for the value before the first layer too.</summary>
    private static string Slots(Loop? loop, bool carried) => ProgramText.Lambda(loop is null ? DimExpr.One : carried ? loop.Count + DimExpr.One : loop.Count);

    /// <summary>Formats of what the optimizer keeps.</summary>
    private void StateFormats()
    {
        if (!compiled.States.OwnStates)
        {
            return;
        }

        w.Line("public override IReadOnlyList<ParameterFormats> ParameterFormats { get; } =").Line("[");
        for (int p = 0; p < Context.ParameterConstants.Count; p++)
        {
            string linear = Graph.LinearWeights.Contains(p) ? ", Linear: true" : "";
            string scale = Graph.WeightScales.TryGetValue(p, out int family) ? $", WeightScale: {Context.ScaleName(family)}" : "";
            string groups = compiled.Recipe.GroupedMoments ? ", Grouped: true" : "";
            w.Line($"    new(ElementFormat.{Context.MasterFormat(p)}, ElementFormat.{Context.GradientFormat(p)}, ElementFormat.{compiled.Recipe.FirstMoment}, ElementFormat.{compiled.Recipe.SecondMoment}{linear}{scale}{groups}),");
        }

        w.Line("];").Line();
    }

    // ---- Methods ----------------------------------------------------------------------------------------------------------------------

    private static string MethodOf(Block block) => (block.Phase == Phase.Setup ? "Setup" : block.Phase == Phase.Backward ? "Backward" : "Forward") + "_" + LoweringContext.Clean(block.Name) + "_" + ProgramText.N(block.Id);

    private IEnumerable<Block> Blocks(Phase phase) => Graph.Blocks.Where(b => b.Phase == phase && compiled.Kernels.Any(k => k.Group.Block == b));

    private void Methods()
    {
        bool current = compiled.Recipe.Scaling == ScalePolicy.Current;
        w.Open("public override void CastWeights(Session s)").Line("DimBinding d = s.Dims;");
        ClearAmax(current);
        Calls(Phase.Setup);
        w.Close().Line();

        w.Open("public override void Forward(Session s)").Line("DimBinding d = s.Dims;");
        ClearAmax(current);
        Calls(Phase.Forward);
        w.Close().Line();

        Head();

        w.Open("public override void Backward(Session s)").Line("DimBinding d = s.Dims;");
        if (StoresGradients(current: true))
        {
            w.Line("s.Launch(K.gradient_amax, s.Workspace(WorkspacePart.StateAmax), (nint)s.Plan.StateInstances);");
        }

        Calls(Phase.Backward);
        w.Line("s.GradientsHold = true;").Close().Line();

        w.Open("public override void TrainMicroBatch(Session s)").Line("Forward(s);").Line("Loss(s, train: true);").Line("Backward(s);").Close().Line();

        w.Open("public override void UpdateScales(Session s)");
        if (Graph.Scales.Count > 0 && !current)
        {
            w.Line($"s.Launch(K.scale_update, s.ScaleArena, s.ScaleInverseArena, s.AmaxArena, s.AmaxHistoryArena, s.ScaleMaximumArena, (nint)s.ScaleSlots, {ProgramText.N(compiled.Recipe.AmaxHistory)}, {(compiled.Recipe.PowerOfTwoScales ? 1 : 0)}, {ProgramText.N(compiled.Recipe.Margin)}, s.State);");
        }

        if (StoresGradients(current: false))
        {
            w.Line($"s.Launch(K.gradient_scales, s.Workspace(WorkspacePart.StateScale), s.Workspace(WorkspacePart.StateScaleInverse), s.Workspace(WorkspacePart.StateAmax), s.Workspace(WorkspacePart.GradientHistory), (nint)s.Plan.StateInstances, {ProgramText.N(compiled.Recipe.AmaxHistory)}, {Maximum(compiled.Recipe.WeightGradient)}, s.State);");
        }

        w.Close().Line();

        w.Open("public override void Optimize(Session s)");
        if (compiled.States.OwnStates)
        {
            OptimizeSegmented();
        }
        else
        {
            OptimizeFlat();
        }

        w.Line("UpdateScales(s);").Line("CastWeights(s);").Close().Line();

        foreach (Block block in Graph.Blocks.Where(b => b.Phase != Phase.Head && compiled.Kernels.Any(k => k.Group.Block == b)))
        {
            w.Open($"private static void {MethodOf(block)}(Session s, DimBinding d{(block.Loop is null ? "" : ", long layer")})");
            Launches(compiled.Kernels.Where(k => k.Group.Block == block));
            w.Close().Line();
        }
    }

    /// <summary>What the norm needs to take the loss scale out of the gradients and to derive the next one.</summary>
    private string LossScale() => compiled.Recipe.ScalesLoss ? $", s.Workspace(WorkspacePart.LossScale), {ProgramText.N(compiled.Recipe.GrowthInterval)}" : "";

    /// <summary>All parameters in one or two runs of F32 elements.</summary>
    private void OptimizeFlat()
    {
        w.Line("nint decayed = (nint)s.DecayedElements, rest = (nint)(s.ParameterElements - s.DecayedElements), offset = decayed * sizeof(float);");
        w.Line($"s.Launch(K.gradient_norm, s.GradientArena, (nint)s.ParameterElements, s.State, s.ReductionScratch{LossScale()});");
        CheckAmax();
        w.Open("if (decayed > 0)").Line("s.Launch(K.adamw, s.MasterArena, s.GradientArena, s.FirstMomentArena, s.SecondMomentArena, decayed, 1, s.State);").Close();
        w.Open("if (rest > 0)").Line("s.Launch(K.adamw, s.MasterArena + offset, s.GradientArena + offset, s.FirstMomentArena + offset, s.SecondMomentArena + offset, rest, 0, s.State);").Close();
    }

    /// <summary>All parameters through a table: in one pass, or, where states have scales, amax of what will be stored, the store, and its scales.</summary>
    private void OptimizeSegmented()
    {
        RecipeSpec r = compiled.States;
        string arenas = "s.MasterArena, s.GradientArena, s.FirstMomentArena, s.SecondMomentArena, segments, count, tiles"
            + (r.GroupedMoments ? ", s.Workspace(WorkspacePart.FirstGroups), s.Workspace(WorkspacePart.SecondGroups)" : "");
        int Moment(Format format) => r.MomentHasScale(format) ? Maximum(format) : 0;
        string casts = r.NarrowStates ? ", s.StateCasts" : "";
        w.Line("nint count = (nint)s.Plan.StateInstances, tiles = (nint)s.Plan.StateTiles, segments = s.Workspace(WorkspacePart.Segments);");
        if (r.ScaledStates)
        {
            w.Line("nint scale = s.Workspace(WorkspacePart.StateScale), inverse = s.Workspace(WorkspacePart.StateScaleInverse), amax = s.Workspace(WorkspacePart.StateAmax);");
        }

        w.Line($"s.Launch(K.gradient_norm, s.GradientArena, segments, count, tiles, {(RecipeSpec.IsScaled(r.WeightGradient) ? "inverse, amax, " : "")}s.State, s.ReductionScratch{LossScale()});");
        CheckAmax();
        if (!r.ScaledStates)
        {
            w.Line($"s.Launch(K.adamw, {arenas}, s.State{casts});");
            return;
        }

        w.Line($"s.Launch(K.adamw_amax, {arenas}, inverse, amax, s.State);");
        w.Line($"s.Launch(K.adamw_store, {arenas}, scale, inverse, amax, s.State{casts});");
        w.Line($"s.Launch(K.state_scales, segments, count, scale, inverse, amax, s.ScaleArena, s.ScaleInverseArena, {ProgramText.N(Maximum(r.Master))}, {ProgramText.N(Moment(r.FirstMoment))}, {ProgramText.N(Moment(r.SecondMoment))}, {ProgramText.N(Maximum(r.Weight))});");
    }

    /// <summary>The largest number of a format that is stored with a scale; 0 for the others.</summary>
    private static int Maximum(Format format) => format switch
    {
        Format.F16 => 65504,
        Format.E4M3 => 448,
        Format.E5M2 => 57344,
        _ => 0,
    };

    /// <summary>A step with an amax that is not finite is skipped; current scaling has no scale update that would clear them.</summary>
    private void CheckAmax()
    {
        if (Graph.Scales.Count > 0 && compiled.Recipe.Scaling is (ScalePolicy.Delayed or ScalePolicy.Current))
        {
            w.Line($"s.Launch(K.amax_check, s.AmaxArena, (nint)s.ScaleSlots, {(compiled.Recipe.Scaling == ScalePolicy.Current ? 1 : 0)}, s.State);");
        }
    }

    private void ClearAmax(bool current)
    {
        if (current && Graph.Scales.Count > 0)
        {
            w.Line("s.Launch(K.clear_amax, s.AmaxArena, (nint)s.ScaleSlots);");
        }
    }

    private void Calls(Phase phase)
    {
        foreach (Block block in Blocks(phase))
        {
            if (block.Loop is null)
            {
                w.Line($"{MethodOf(block)}(s, d);");
                continue;
            }

            string count = block.Loop.Count.Print(LoweringContext.Symbol);
            w.Open(block.Descending ? $"for (long layer = {count} - 1; layer >= 0; layer--)" : $"for (long layer = 0; layer < {count}; layer++)");
            Block? forward = block.Descending ? Blocks(Phase.Forward).FirstOrDefault(b => b.Loop == block.Loop) : null;
            if (forward is not null)
            {
                w.Open("if (s.Checkpointing)").Line($"{MethodOf(forward)}(s, d, layer);").Close().Line();
            }

            w.Line($"{MethodOf(block)}(s, d, layer);").Close();
        }
    }

    private void Head()
    {
        List<KernelProgram> head = [.. compiled.Kernels.Where(k => k.Group.Block.Phase == Phase.Head)];
        w.Open("public override void Loss(Session s, bool train)").Line("DimBinding d = s.Dims;").Line("long chunks = d.Tokens / ChunkRowsOf(d);");
        w.Open("for (long chunk = 0; chunk < chunks; chunk++)");
        Launches(head.Where(k => k.Evaluates));
        if (head.Any(k => !k.Evaluates))
        {
            w.Open("if (train)");
            Launches(head.Where(k => !k.Evaluates));
            w.Close();
        }

        w.Close().Line().Line("s.Launch(K.loss_sum, s.Buffer(B.row_loss, 0), s.Buffer(B.row_weight, 0), (nint)d.Tokens, s.State);").Close().Line();

        w.Open("public override void Logits(Session s, long chunk)").Line("DimBinding d = s.Dims;");
        Launches(head.Where(Context.FeedsLogits));
        w.Close().Line();
    }

    private void Launches(IEnumerable<KernelProgram> kernels)
    {
        foreach (KernelProgram kernel in kernels)
        {
            w.Line($"s.Launch(K.{kernel.Name}, {string.Join(", ", kernel.Params.Select(p => p.Argument))});");
        }
    }
}
