using System;
using System.Collections.Generic;
using System.Linq;
using System.Runtime.CompilerServices;
using Fp8Lm.Cpu;

namespace Fp8Lm.Execution;

/// <summary>
/// The memory of a program at given sizes, as arithmetic: nothing is allocated, so a plan of a model that does not fit is as cheap as
/// one that does. Sessions of every back end lay their memory out by it.
/// </summary>
public sealed class MemoryPlan
{
    /// <summary>Instances of parameters start at multiples of this many elements; the elements between stay zero.</summary>
    public const int ParameterAlignment = 64;

    /// <summary>Bytes of <see cref="WorkspacePart.ReductionScratch"/>.</summary>
    public const int ReductionScratchBytes = 64 * 1024;

    private readonly long[] arenaBytes = new long[Enum.GetValues<ArenaKind>().Length];
    private readonly long[] categoryBytes = new long[Enum.GetValues<BufferCategory>().Length];
    private readonly long[] firstGroups;
    private readonly long[,] parameterBytes;
    private readonly long[] workspaceOffsets = new long[Enum.GetValues<WorkspacePart>().Length];

    private MemoryPlan(ModelDefinition definition, ModelProgram program, DimBinding dims, bool checkpointing, bool training)
    {
        Definition = definition;
        Program = program;
        Dims = dims;
        Checkpointing = checkpointing;
        Training = training;
        firstGroups = new long[definition.Parameters.Length];
        parameterBytes = new long[arenaBytes.Length, definition.Parameters.Length];
        ScaledStates = program.ParameterFormats.Any(f => f.Scaled);
        Parameters = PlaceParameters();
        ClearedGradients = RangesToClear();
        FirstInstances = CountInstances();
        (ScaleFirstSlots, ScaleSlots) = FirstSlots(Program.Scales.Select(s => s.Layers));
        (CastFirstSlots, FirstStateCast, CastSlots) = PlaceCasts();
        Buffers = PlaceBuffers();
        PlaceWorkspace();
    }

    /// <summary>The model.</summary>
    public ModelDefinition Definition { get; }

    /// <summary>The compiled recipe.</summary>
    public ModelProgram Program { get; }

    /// <summary>Values of all dimensions.</summary>
    public DimBinding Dims { get; }

    /// <summary>Whether repeated blocks are recomputed in backward.</summary>
    public bool Checkpointing { get; }

    /// <summary>False for a plan without gradients and moments (generation).</summary>
    public bool Training { get; }

    /// <summary>Placement of each buffer of the program.</summary>
    public IReadOnlyList<BufferPlacement> Buffers { get; }

    /// <summary>Placement of each parameter of the model.</summary>
    public IReadOnlyList<ParameterPlacement> Parameters { get; }

    /// <summary>First slot of each scale family.</summary>
    public IReadOnlyList<long> ScaleFirstSlots { get; }

    /// <summary>Number of scale slots.</summary>
    public long ScaleSlots { get; }

    /// <summary>Elements of <see cref="WorkspacePart.GradientHistory"/>.</summary>
    public long GradientHistory => Program.Scaling is { DelayedGradients: true } scaling ? checked(scaling.HistoryLength * StateInstances) : 0;

    /// <summary>First slot of each of <see cref="ModelProgram.Casts"/> in <see cref="WorkspacePart.CastStatistics"/>.</summary>
    public IReadOnlyList<long> CastFirstSlots { get; }

    /// <summary>
    /// First slot of what the optimizer stores, behind those of all other casts: [states in fewer than 32 bits, instances], so that kernels that walk over
    /// <see cref="Segments"/> find a slot by the number of a segment. Slots of instances whose state is F32 stay empty.
    /// </summary>
    public long FirstStateCast { get; }

    /// <summary>Number of all these slots.</summary>
    public long CastSlots { get; }

    /// <summary>Elements of each parameter arena, alignment included.</summary>
    public long ParameterElements { get; private set; }

    /// <summary>Elements of the leading run of parameters with weight decay, alignment included.</summary>
    public long DecayedElements { get; private set; }

    /// <summary>Elements of all parameters without alignment: the size of the model.</summary>
    public long ParameterCount { get; private set; }

    /// <summary>Number of the first instance of each parameter, counting the instances of all.</summary>
    public IReadOnlyList<long> FirstInstances { get; }

    /// <summary>Instances of all parameters: rows of <see cref="WorkspacePart.Segments"/> and columns of the state scales.</summary>
    public long StateInstances { get; private set; }

    /// <summary>Tiles of all <see cref="StateSegment"/>.</summary>
    public long StateTiles { get; private set; }

    /// <summary>Whether what the optimizer keeps has formats of its own: it walks over <see cref="WorkspacePart.Segments"/>.</summary>
    public bool SegmentedStates => Program.ParameterFormats.Count > 0;

    /// <summary>Whether any of these formats has a scale.</summary>
    public bool ScaledStates { get; }

    /// <summary>Groups of 128 elements of all parameter instances, each of which begins with a new one.</summary>
    public long MomentGroups { get; private set; }

    /// <summary>Offset of an instance of a parameter in one of the parameter arenas, bytes.</summary>
    public long ParameterOffset(ArenaKind arena, int parameter, long layer) =>
        checked(parameterBytes[(int)arena, parameter] + (layer * Parameters[parameter].Stride * Program.FormatsOf(parameter).Of(arena).Bytes()));

    /// <summary>Ranges of the gradient arena that a step starts by clearing: all but <see cref="ModelProgram.AssignedGradients"/>, bytes; neighbours are one range.</summary>
    internal IReadOnlyList<(long Offset, long Bytes)> ClearedGradients { get; }

    /// <summary>Column of a parameter's instance in the tables of state scales, in the row of an arena.</summary>
    public long StateSlot(ArenaKind arena, int parameter, long layer) => (StateRow(arena) * StateInstances) + FirstInstances[parameter] + layer;

    /// <summary>Row of an arena in the tables of state scales.</summary>
    public static int StateRow(ArenaKind arena) => arena switch
    {
        ArenaKind.Gradients => 0,
        ArenaKind.Master => 1,
        ArenaKind.FirstMoment => 2,
        ArenaKind.SecondMoment => 3,
        _ => throw new ArgumentOutOfRangeException(nameof(arena), arena, "The arena holds no parameters."),
    };

    /// <summary>Offset of the groups of a parameter's instance in the workspace part that has those of a moment, bytes.</summary>
    public long GroupOffset(int parameter, long layer) => checked(FirstGroup(parameter, layer) * MomentGroup.Bytes);

    private long FirstGroup(int parameter, long layer) => firstGroups[parameter] + (layer * MomentGroup.Count(Parameters[parameter].Stride));

    /// <summary>The table that multi-tensor kernels of the optimizer walk over.</summary>
    public StateSegment[] Segments()
    {
        var segments = new StateSegment[StateInstances];
        long tile = 0;
        for (int p = 0; p < Parameters.Count; p++)
        {
            ParameterFormats formats = Program.FormatsOf(p);
            for (long layer = 0; layer < Parameters[p].Instances; layer++)
            {
                segments[FirstInstances[p] + layer] = new StateSegment
                {
                    Master = ParameterOffset(ArenaKind.Master, p, layer),
                    Gradient = ParameterOffset(ArenaKind.Gradients, p, layer),
                    FirstMoment = ParameterOffset(ArenaKind.FirstMoment, p, layer),
                    SecondMoment = ParameterOffset(ArenaKind.SecondMoment, p, layer),
                    FirstTile = tile,
                    Elements = Parameters[p].Stride,
                    FirstGroup = FirstGroup(p, layer),
                    WeightSlot = formats.WeightScale < 0 ? -1 : checked((int)(ScaleFirstSlots[formats.WeightScale] + layer)),
                    Traits = StateSegment.Pad(
                        (Definition.Parameters[p].Decay ? StateSegmentTraits.Decays : 0) | (formats.Linear ? StateSegmentTraits.Linear : 0),
                        (int)(Parameters[p].Stride - Parameters[p].Elements)),
                };
                tile += Tiles(p);
            }
        }

        return segments;
    }

    private long Tiles(int parameter) => (Parameters[parameter].Stride + StateSegment.TileElements - 1) / StateSegment.TileElements;

    /// <summary>Peak bytes of the whole plan.</summary>
    public long TotalBytes => arenaBytes.Sum();

    /// <summary>Bytes of one arena.</summary>
    public long Bytes(ArenaKind arena) => arenaBytes[(int)arena];

    /// <summary>Peak bytes of one category; the categories add up to <see cref="TotalBytes"/>.</summary>
    public long Bytes(BufferCategory category) => categoryBytes[(int)category];

    /// <summary>Offset of a part of the workspace arena.</summary>
    public long Offset(WorkspacePart part) => workspaceOffsets[(int)part];

    /// <summary>Plans a program.</summary>
    /// <param name="definition">The model.</param>
    /// <param name="program">One of its recipes.</param>
    /// <param name="dims">Values of all dimensions.</param>
    /// <param name="checkpointing">Whether repeated blocks are recomputed in backward.</param>
    /// <param name="training">False leaves out gradients and moments.</param>
    /// <exception cref="OverflowException">A size exceeds 64 bits.</exception>
    public static MemoryPlan Create(ModelDefinition definition, ModelProgram program, DimBinding dims, bool checkpointing, bool training = true)
    {
        ArgumentNullException.ThrowIfNull(definition);
        ArgumentNullException.ThrowIfNull(program);
        ArgumentNullException.ThrowIfNull(dims);
        if (dims.Count != DimBinding.FirstModelDim + definition.Dims.Length)
        {
            throw new ArgumentException(
                $"{definition.Name} has {definition.Dims.Length} dimensions ({string.Join(", ", definition.Dims)}) besides micro-batch and sequence; "
                + $"the binding has {dims.Count - DimBinding.FirstModelDim}.", nameof(dims));
        }

        if (program.Problem(dims) is { } problem)
        {
            throw new DimensionException(problem);
        }

        return new MemoryPlan(definition, program, dims, checkpointing, training);
    }

    /// <summary>A plan of sizes that may not be able to run, for comparisons.</summary>
    internal static MemoryPlan Unchecked(ModelDefinition definition, ModelProgram program, DimBinding dims, bool checkpointing, bool training) =>
        new(definition, program, dims, checkpointing, training);

    /// <summary>Instances of a buffer that live at once.</summary>
    public static long Instances(BufferInfo buffer, DimBinding dims, bool checkpointing)
    {
        ArgumentNullException.ThrowIfNull(buffer);
        return buffer.Scope switch
        {
            BufferScope.Single => 1,
            BufferScope.PerLayer => checkpointing ? 1 : buffer.Layers(dims),
            BufferScope.Carried => buffer.Layers(dims) + 1,
            BufferScope.PingPong => 2,
            BufferScope.PerLayerAlways => buffer.Layers(dims),
            _ => throw new ArgumentOutOfRangeException(nameof(buffer), buffer.Scope, "Unknown scope."),
        };
    }

    private ParameterPlacement[] PlaceParameters()
    {
        var placements = new ParameterPlacement[Definition.Parameters.Length];
        long offset = 0;

        // Two rounds: the optimizer applies decay to a prefix of the arena.
        foreach (bool decay in (ReadOnlySpan<bool>)[true, false])
        {
            for (int i = 0; i < placements.Length; i++)
            {
                ParameterInfo parameter = Definition.Parameters[i];
                if (parameter.Decay != decay)
                {
                    continue;
                }

                long elements = parameter.Elements(Dims);
                long layers = parameter.Layers(Dims);
                long stride = ArenaLayout.AlignTo<long>(elements, ParameterAlignment);
                placements[i] = new ParameterPlacement(offset, stride, layers, elements);
                offset = checked(offset + stride * layers);
                ParameterCount = checked(ParameterCount + elements * layers);
            }

            DecayedElements = decay ? offset : DecayedElements;
        }

        ParameterElements = offset;
        foreach (ArenaKind arena in (ReadOnlySpan<ArenaKind>)[ArenaKind.Master, ArenaKind.Gradients, ArenaKind.FirstMoment, ArenaKind.SecondMoment])
        {
            if (arena == ArenaKind.Master || Training)
            {
                PlaceParameters(arena, placements);
            }
        }

        return placements;
    }

    /// <summary>Bytes of the parameters in one arena; their order is that of the elements.</summary>
    private void PlaceParameters(ArenaKind arena, ParameterPlacement[] placements)
    {
        long bytes = 0;
        foreach (int p in Enumerable.Range(0, placements.Length).OrderBy(p => placements[p].Offset))
        {
            parameterBytes[(int)arena, p] = bytes;
            bytes = checked(bytes + (placements[p].Stride * placements[p].Instances * Program.FormatsOf(p).Of(arena).Bytes()));
        }

        arenaBytes[(int)arena] = ArenaLayout.Align(bytes);
        Count(arena == ArenaKind.Gradients ? BufferCategory.Gradients : BufferCategory.Optimizer, arenaBytes[(int)arena]);
    }

    private List<(long Offset, long Bytes)> RangesToClear()
    {
        var ranges = new List<(long Offset, long Bytes)>();
        if (!Training)
        {
            return ranges;
        }

        long start = 0;
        foreach (int p in Program.AssignedGradients.OrderBy(p => Parameters[p].Offset))
        {
            long offset = ParameterOffset(ArenaKind.Gradients, p, 0);
            Add(offset);
            start = ParameterOffset(ArenaKind.Gradients, p, Parameters[p].Instances);
        }

        Add(Bytes(ArenaKind.Gradients));
        return ranges;

        void Add(long end)
        {
            if (end > start)
            {
                ranges.Add((start, end - start));
            }
        }
    }

    private long[] CountInstances()
    {
        long[] first = new long[Parameters.Count];
        for (int p = 0; p < first.Length; p++)
        {
            firstGroups[p] = MomentGroups;
            MomentGroups = checked(MomentGroups + (Parameters[p].Instances * MomentGroup.Count(Parameters[p].Stride)));
            first[p] = StateInstances;
            StateInstances = checked(StateInstances + Parameters[p].Instances);
            StateTiles = checked(StateTiles + (Tiles(p) * Parameters[p].Instances));
        }

        return first;
    }

    private (long[] First, long States, long Slots) PlaceCasts()
    {
        ArenaKind[] arenas = [.. Program.Casts.Where(c => c.State is not null).Select(c => c.State!.Value.Arena).Distinct().OrderBy(StateRow)];
        (long[] first, long states) = FirstSlots(Program.Casts.Select(c => c.State is null ? c.Layers : _ => 0));
        for (int cast = 0; cast < first.Length; cast++)
        {
            if (Program.Casts[cast].State is { } state)
            {
                first[cast] = states + (Array.IndexOf(arenas, state.Arena) * StateInstances) + FirstInstances[state.Parameter];
            }
        }

        return (first, states, checked(states + (arenas.Length * StateInstances)));
    }

    private (long[] First, long Slots) FirstSlots(IEnumerable<Func<DimBinding, long>> layers)
    {
        var first = new List<long>();
        long slots = 0;
        foreach (Func<DimBinding, long> count in layers)
        {
            first.Add(slots);
            slots = checked(slots + count(Dims));
        }

        return ([.. first], slots);
    }

    private BufferPlacement[] PlaceBuffers()
    {
        var placements = new BufferPlacement[Program.Buffers.Count];
        var shared = new List<int>();
        var requests = new List<ArenaRequest>();
        long persistent = 0;
        for (int i = 0; i < placements.Length; i++)
        {
            BufferInfo buffer = Program.Buffers[i];
            long bytes = checked(buffer.Elements(Dims) * buffer.Format.Bytes());
            long stride = ArenaLayout.Align(bytes);
            long instances = Instances(buffer, Dims, Checkpointing);
            long total = checked(stride * instances);
            if (buffer.Category is BufferCategory.Activations or BufferCategory.Workspace)
            {
                placements[i] = new BufferPlacement(ArenaKind.Activations, 0, stride, instances, bytes);
                shared.Add(i);
                requests.Add(new ArenaRequest(total, buffer.FirstUse, Checkpointing ? buffer.LastUseCheckpointed : buffer.LastUse));
            }
            else
            {
                // Weight copies and the like survive the step, so no interval frees them.
                placements[i] = new BufferPlacement(ArenaKind.Weights, persistent, stride, instances, bytes);
                persistent = checked(persistent + total);
                Count(buffer.Category, total);
            }
        }

        ArenaLayout layout = ArenaLayout.Pack(requests);
        for (int i = 0; i < shared.Count; i++)
        {
            placements[shared[i]] = placements[shared[i]] with { Offset = layout.Offsets[i] };
        }

        arenaBytes[(int)ArenaKind.Weights] = persistent;
        arenaBytes[(int)ArenaKind.Activations] = layout.Bytes;
        long scratch = ScratchAtPeak(shared, requests);
        Count(BufferCategory.Workspace, scratch);
        Count(BufferCategory.Activations, layout.Bytes - scratch);
        return placements;
    }

    /// <summary>Bytes of kernel scratch at the position where most bytes are live; the rest of the shared arena counts as activations.</summary>
    private long ScratchAtPeak(List<int> shared, List<ArenaRequest> requests)
    {
        long peak = -1, scratch = 0;
        foreach (int position in requests.Select(r => r.FirstUse).Distinct().Order())
        {
            long live = 0, liveScratch = 0;
            for (int i = 0; i < shared.Count; i++)
            {
                if (requests[i].FirstUse <= position && position <= requests[i].LastUse)
                {
                    live += requests[i].Bytes;
                    liveScratch += Program.Buffers[shared[i]].Category == BufferCategory.Workspace ? requests[i].Bytes : 0;
                }
            }

            if (live > peak)
            {
                (peak, scratch) = (live, liveScratch);
            }
        }

        return scratch;
    }

    private void PlaceWorkspace()
    {
        long batch = checked(Dims.Tokens * 4);
        long scales = checked(ScaleSlots * sizeof(float));
        long states = ScaledStates ? checked(4 * StateInstances * sizeof(float)) : 0;
        long segments = SegmentedStates ? checked(StateInstances * Unsafe.SizeOf<StateSegment>()) : 0;
        long lossScale = Program.LossScaling is null ? 0 : Unsafe.SizeOf<LossScaleState>();
        long casts = Training ? checked(CastSlots * Unsafe.SizeOf<Numerics.CastStatistics>()) : 0;
        long firstMoments = GroupBytes(ArenaKind.FirstMoment), secondMoments = GroupBytes(ArenaKind.SecondMoment);
        long history = checked(scales * Math.Max(1, Program.Scaling?.HistoryLength ?? 1));
        ReadOnlySpan<long> bytes =
            [Unsafe.SizeOf<StepState>(), batch, batch, batch, scales, scales, scales, history, scales, ReductionScratchBytes, states, states, states, segments, lossScale, casts,
            firstMoments, secondMoments, GradientHistory * sizeof(float)];
        long offset = 0;
        for (int part = 0; part < bytes.Length; part++)
        {
            workspaceOffsets[part] = offset;
            offset = checked(offset + ArenaLayout.Align(bytes[part]));
        }

        arenaBytes[(int)ArenaKind.Workspace] = offset;
        long groups = ArenaLayout.Align(firstMoments) + ArenaLayout.Align(secondMoments);
        Count(BufferCategory.Optimizer, groups);
        Count(BufferCategory.Workspace, offset - groups);
    }

    private long GroupBytes(ArenaKind arena) => Training && Program.ParameterFormats.Any(f => f.IsGrouped(arena)) ? checked(MomentGroups * MomentGroup.Bytes) : 0;

    private void Count(BufferCategory category, long bytes) => categoryBytes[(int)category] = checked(categoryBytes[(int)category] + bytes);
}
