using System;
using System.Collections.Generic;
using System.Linq;
using System.Runtime.InteropServices;
using Fp8Lm.Cpu;
using Fp8Lm.Execution;
using Fp8Lm.Training;

namespace Fp8Lm.Checkpoints;

/// <summary>
/// The state of a training run in one safetensors file. Weights carry their own names, so other tools read the file as a plain model;
/// moments, FP8 state, the loss scale and factors of gradient reductions lie beside them under <c>adam.m.</c>, <c>adam.v.</c>, <c>fp8.</c>, <c>loss_scale</c> and <c>reduction.</c> (<see cref="SavedReduction"/>). Every tensor has the format in which it is kept: a number is the stored one
/// times its element of <c>fp8.state_scale_inverse</c> (rows: gradients, weights, first and second moments; a column per instance in the order of the model). Moments in groups have a tensor
/// <c>fp8.groups.adam.m.</c> or <c>fp8.groups.adam.v.</c> beside them, F32 [elements / 128 rounded up, 2]: with the amax and root of its group, a number is amax (|stored| / maximum)^root with the sign of what is stored.
/// </summary>
public static class TrainingCheckpoint
{
    private const string FirstMoment = "adam.m.";
    private const string SecondMoment = "adam.v.";
    private const string Groups = "fp8.groups.";
    private const string StateInverse = "fp8.state_scale_inverse";
    private const string GradientHistory = "fp8.gradient_amax_history";
    private const string Float = "F32";
    private const string LossScale = "loss_scale";
    private const string LossScaleSteps = "loss_scale.good_steps";

    /// <summary>Writes the state of a session, atomically.</summary>
    public static void Save(string path, Session session, ModelDefinition definition, ModelProgram program, CheckpointState state)
    {
        ArgumentNullException.ThrowIfNull(session);
        ArgumentNullException.ThrowIfNull(state);
        session.Synchronize();
        IEnumerable<TensorToWrite> tensors = Tensors(session, definition, program, training: true).Concat(LossScaleTensors(session))
            .Select(t => new TensorToWrite(t.Name, t.DataType, t.Shape, (offset, bytes) => session.CopyToHost(t.Address + (nint)offset, bytes)));
        SafetensorsWriter.Write(path, [.. tensors, .. state.Reduction?.ToWrite() ?? []], state.ToMetadata());
    }

    /// <summary>Reads what a checkpoint says about itself.</summary>
    /// <exception cref="CheckpointException">The file is not an undamaged checkpoint header.</exception>
    public static CheckpointState ReadState(string path)
    {
        using SafetensorsFile file = Open(path);
        return State(file);
    }

    /// <summary>
    /// Loads a checkpoint into a session that has the same model and sizes. With the same recipe every byte of the state is as it was; with another one weights and
    /// moments are converted by way of float32, and scales of activations are not loaded (<see cref="IsOf"/>). The copies of the weights are not made here. After a failure
    /// part of the session may be overwritten: load another checkpoint or initialise it.
    /// </summary>
    /// <exception cref="CheckpointException">The file is damaged or belongs to another model; the message names the tensor.</exception>
    public static CheckpointState Load(string path, Session session, ModelDefinition definition, ModelProgram program)
    {
        ArgumentNullException.ThrowIfNull(session);
        ArgumentNullException.ThrowIfNull(definition);
        ArgumentNullException.ThrowIfNull(program);
        using SafetensorsFile file = Open(path);
        CheckpointState state = State(file);
        CheckModel(path, state, session, definition);
        state = state with { Reduction = SavedReduction.Read(file) };
        if (!IsOf(state, program))
        {
            Convert(file, session, definition);
            LoadLossScale(file, session);
            return state;
        }

        // Everything is looked up before the first byte is copied: a checkpoint that does not fit leaves the session as it was.
        // Checkpoints of before weight gradients had delayed scales have their last scale and no history, which then begins.
        List<(StateTensor Target, TensorEntry Entry)> found =
            [.. Tensors(session, definition, program, session.Plan.Training).Where(t => t.Name != GradientHistory || file.Header.Tensors.ContainsKey(GradientHistory)).Select(t => (t, file.Require(t.Name, t.DataType, t.Shape)))];
        foreach ((StateTensor target, TensorEntry entry) in found)
        {
            file.Read(entry, (offset, bytes) => session.CopyFromHost(bytes, target.Address + (nint)offset));
        }

        LoadLossScale(file, session);
        return state;
    }

    /// <summary>The loss scale of recipes that have one: what the file says, whatever recipe wrote it, or where it says nothing that of step 1.</summary>
    private static void LoadLossScale(SafetensorsFile file, Session session)
    {
        if (session.Plan.Program.LossScaling is null)
        {
            return;
        }

        if (!file.Header.Tensors.ContainsKey(LossScale))
        {
            session.ResetLossScale();
            return;
        }

        var state = new LossScaleState();
        file.Read(file.Require(LossScale, Float, 1), (_, bytes) => state.Scale = MemoryMarshal.Read<float>(bytes));
        file.Read(file.Require(LossScaleSteps, "U32", 1), (_, bytes) => state.GoodSteps = MemoryMarshal.Read<uint>(bytes));
        session.WriteLossScale(state.Scale is >= 1f and <= LossScaleState.Largest && (BitConverter.SingleToUInt32Bits(state.Scale) & 0x7FFFFF) == 0
            ? state
            : throw new CheckpointException(FormattableString.Invariant($"{file.Path}: tensor '{LossScale}' is {state.Scale}; expected a power of two from 1 to 2^126.")));
    }

    /// <summary>Whether a checkpoint was written with the recipe of a program, so that it holds all of its scales.</summary>
    public static bool IsOf(CheckpointState state, ModelProgram program)
    {
        ArgumentNullException.ThrowIfNull(state);
        ArgumentNullException.ThrowIfNull(program);
        return string.Equals(state.Recipe, program.Recipe, StringComparison.OrdinalIgnoreCase);
    }

    /// <summary>Weights and moments of a run with another recipe, through float32 numbers.</summary>
    private static void Convert(SafetensorsFile file, Session session, ModelDefinition definition)
    {
        float[]? inverses = null;
        if (file.Header.Tensors.ContainsKey(StateInverse))
        {
            TensorEntry entry = file.Require(StateInverse, Float, 4, session.Plan.StateInstances);
            inverses = Floats(file, entry, ElementFormat.F32, 1f);
        }

        List<(ArenaKind Arena, int Parameter, long Layer, TensorEntry Entry, ElementFormat Format, TensorEntry? Groups)> found = [];
        foreach ((string prefix, ArenaKind arena) in Arenas(session.Plan.Training))
        {
            for (int p = 0; p < definition.Parameters.Length; p++)
            {
                ParameterInfo parameter = definition.Parameters[p];
                for (long layer = 0; layer < parameter.Layers(session.Dims); layer++)
                {
                    string name = prefix + parameter.InstanceName(layer);
                    ElementFormat format = StateFormats.FirstOrDefault(f => file.Header.Tensors.TryGetValue(name, out TensorEntry? entry) && entry.DataType == TensorEntry.DataTypeOf(f));
                    TensorEntry? groups = arena != ArenaKind.Master && (format is ElementFormat.E4M3 or ElementFormat.E5M2) && file.Header.Tensors.ContainsKey(Groups + name)
                        ? file.Require(Groups + name, Float, MomentGroup.Count(parameter.Elements(session.Dims)), 2)
                        : null;
                    found.Add((arena, p, layer, file.Require(name, TensorEntry.DataTypeOf(format), parameter.Shape(session.Dims)), format, groups));
                    if (format.ScaledMaximum() > 0 && groups is null && inverses is null)
                    {
                        throw new CheckpointException($"{file.Path}: tensor {CheckpointException.Quote(name)} is {TensorEntry.DataTypeOf(format)}, but there is no {CheckpointException.Quote(StateInverse)} with its scale.");
                    }
                }
            }
        }

        foreach ((ArenaKind arena, int p, long layer, TensorEntry entry, ElementFormat format, TensorEntry? groups) in found)
        {
            session.WriteParameter(arena, p, layer, groups is not null
                ? Grouped(file, entry, format, groups)
                : Floats(file, entry, format, format.ScaledMaximum() > 0 ? inverses![session.Plan.StateSlot(arena, p, layer)] : 1f));
        }
    }

    private static readonly ElementFormat[] StateFormats = [ElementFormat.F32, ElementFormat.BF16, ElementFormat.F16, ElementFormat.E4M3, ElementFormat.E5M2];

    private static float[] Floats(SafetensorsFile file, TensorEntry entry, ElementFormat format, float inverse)
    {
        float[] values = new float[entry.Length / format.Bytes()];
        file.Read(entry, (offset, bytes) => StateCodec.Decode(bytes, format, inverse, values.AsSpan((int)(offset / format.Bytes()), bytes.Length / format.Bytes())));
        return values;
    }

    /// <summary>The values of a moment in groups.</summary>
    private static float[] Grouped(SafetensorsFile file, TensorEntry entry, ElementFormat format, TensorEntry groups)
    {
        float[] pairs = Floats(file, groups, ElementFormat.F32, 1f), values = new float[entry.Length];
        byte[] stored = new byte[entry.Length];
        file.Read(entry, (offset, bytes) => bytes.CopyTo(stored.AsSpan((int)offset)));
        StateCodec.DecodeGroups(stored, format, MemoryMarshal.Cast<float, MomentGroup>(pairs), values);
        return values;
    }

    private static SafetensorsFile Open(string path)
    {
        SafetensorsFile file = SafetensorsFile.Open(path);
        string? without = !file.Header.Metadata.ContainsKey(SafetensorsFile.HeaderDigestKey)
            ? "header"
            : file.Header.Tensors.Keys.FirstOrDefault(name => !file.Header.Metadata.ContainsKey(SafetensorsFile.TensorDigestPrefix + name));
        if (without is not null)
        {
            file.Dispose();
            throw new CheckpointException($"{path}: there is no digest for {CheckpointException.Quote(without)}, so the file is damaged or not a checkpoint of this library.");
        }

        return file;
    }

    private static CheckpointState State(SafetensorsFile file)
    {
        try
        {
            return CheckpointState.FromMetadata(file.Header.Metadata);
        }
        catch (CheckpointException failure)
        {
            throw new CheckpointException($"{file.Path}: {failure.Message}", failure);
        }
    }

    private static void CheckModel(string path, CheckpointState state, Session session, ModelDefinition definition)
    {
        if (state.Model != definition.Name)
        {
            throw new CheckpointException($"{path} is a checkpoint of model {CheckpointException.Quote(state.Model)}; this is {definition.Name}.");
        }

        IReadOnlyList<KeyValuePair<string, long>> dims = ModelDims(definition, session.Dims);
        if (!dims.SequenceEqual(state.Dims))
        {
            throw new CheckpointException($"{path} has the sizes {Show(state.Dims)}; this model has {Show(dims)}.");
        }
    }

    internal static IReadOnlyList<KeyValuePair<string, long>> ModelDims(ModelDefinition definition, DimBinding dims) =>
        [.. definition.Dims.Select((name, i) => KeyValuePair.Create(name, dims[DimBinding.FirstModelDim + i]))];

    private static string Show(IEnumerable<KeyValuePair<string, long>> dims) =>
        CheckpointException.Quote(string.Join(", ", dims.Select(d => FormattableString.Invariant($"{d.Key} = {d.Value}"))));

    private static (string Prefix, ArenaKind Arena)[] Arenas(bool training) => training
        ? [("", ArenaKind.Master), (FirstMoment, ArenaKind.FirstMoment), (SecondMoment, ArenaKind.SecondMoment)]
        : [("", ArenaKind.Master)];

    private static List<StateTensor> Tensors(Session session, ModelDefinition definition, ModelProgram program, bool training)
    {
        var tensors = new List<StateTensor>();
        foreach ((string prefix, ArenaKind arena) in Arenas(training))
        {
            for (int p = 0; p < definition.Parameters.Length; p++)
            {
                ParameterInfo parameter = definition.Parameters[p];
                long[] shape = parameter.Shape(session.Dims);
                for (long layer = 0; layer < parameter.Layers(session.Dims); layer++)
                {
                    string name = prefix + parameter.InstanceName(layer);
                    tensors.Add(new StateTensor(name, TensorEntry.DataTypeOf(ParameterMemory.Format(session, arena, p)), shape, ParameterMemory.Address(session, arena, p, layer)));
                    if (ParameterMemory.IsGrouped(session, arena, p))
                    {
                        tensors.Add(new StateTensor(Groups + name, Float, [MomentGroup.Count(session.Plan.Parameters[p].Elements), 2], ParameterMemory.GroupAddress(session, arena, p, layer)));
                    }
                }
            }
        }

        if (session.Plan.ScaledStates)
        {
            long[] slots = [4, session.Plan.StateInstances];
            tensors.Add(new StateTensor("fp8.state_scale", Float, slots, session.Workspace(WorkspacePart.StateScale)));
            tensors.Add(new StateTensor(StateInverse, Float, slots, session.Workspace(WorkspacePart.StateScaleInverse)));
            if (session.Plan.GradientHistory > 0)
            {
                tensors.Add(new StateTensor(GradientHistory, Float, [session.Plan.GradientHistory / session.Plan.StateInstances, session.Plan.StateInstances], session.Workspace(WorkspacePart.GradientHistory)));
            }
        }

        if (session.ScaleSlots > 0)
        {
            long[] slots = [session.ScaleSlots];
            tensors.Add(new StateTensor("fp8.scale", Float, slots, session.ScaleArena));
            tensors.Add(new StateTensor("fp8.scale_inverse", Float, slots, session.ScaleInverseArena));
            tensors.Add(new StateTensor("fp8.amax_bits", "U32", slots, session.AmaxArena));
            tensors.Add(new StateTensor("fp8.amax_history", Float, [session.HistoryElements(program) / session.ScaleSlots, session.ScaleSlots], session.AmaxHistoryArena));
        }

        return tensors;
    }

    private static IEnumerable<StateTensor> LossScaleTensors(Session session)
    {
        if (session.Plan.Program.LossScaling is null)
        {
            yield break;
        }

        nint address = session.Workspace(WorkspacePart.LossScale);
        yield return new StateTensor(LossScale, Float, [1], address + Marshal.OffsetOf<LossScaleState>(nameof(LossScaleState.Scale)));
        yield return new StateTensor(LossScaleSteps, "U32", [1], address + Marshal.OffsetOf<LossScaleState>(nameof(LossScaleState.GoodSteps)));
    }

    private sealed record StateTensor(string Name, string DataType, long[] Shape, nint Address);
}
