using System;
using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Execution;
using Fp8Lm.Training;

namespace Fp8Lm.Checkpoints;

/// <summary>
/// The state of a training run in one safetensors file. Weights carry their own names, so other tools read the file as a plain FP32 model;
/// moments and FP8 state lie beside them under <c>adam.m.</c>, <c>adam.v.</c> and <c>fp8.</c>.
/// </summary>
public static class TrainingCheckpoint
{
    private const string FirstMoment = "adam.m.";
    private const string SecondMoment = "adam.v.";
    private const string Float = "F32";

    /// <summary>Writes the state of a session, atomically.</summary>
    public static void Save(string path, Session session, ModelDefinition definition, ModelProgram program, CheckpointState state)
    {
        ArgumentNullException.ThrowIfNull(session);
        ArgumentNullException.ThrowIfNull(state);
        session.Synchronize();
        IEnumerable<TensorToWrite> tensors = Tensors(session, definition, program, training: true)
            .Select(t => new TensorToWrite(t.Name, t.DataType, t.Shape, (offset, bytes) => session.CopyToHost(t.Address + (nint)offset, bytes)));
        SafetensorsWriter.Write(path, [.. tensors], state.ToMetadata());
    }

    /// <summary>Reads what a checkpoint says about itself.</summary>
    /// <exception cref="CheckpointException">The file is not an undamaged checkpoint header.</exception>
    public static CheckpointState ReadState(string path)
    {
        using SafetensorsFile file = Open(path);
        return State(file);
    }

    /// <summary>
    /// Loads a checkpoint into a session that has the same model, sizes and recipe. The copies of the weights are not made here. After a failure
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
        CheckModel(path, state, session, definition, program);

        // Everything is looked up before the first byte is copied: a checkpoint that does not fit leaves the session as it was.
        List<(StateTensor Target, TensorEntry Entry)> found =
            [.. Tensors(session, definition, program, session.Plan.Training).Select(t => (t, file.Require(t.Name, t.DataType, t.Shape)))];
        foreach ((StateTensor target, TensorEntry entry) in found)
        {
            file.Read(entry, (offset, bytes) => session.CopyFromHost(bytes, target.Address + (nint)offset));
        }

        return state;
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

    private static void CheckModel(string path, CheckpointState state, Session session, ModelDefinition definition, ModelProgram program)
    {
        if (state.Model != definition.Name)
        {
            throw new CheckpointException($"{path} is a checkpoint of model {CheckpointException.Quote(state.Model)}; this is {definition.Name}.");
        }

        if (!string.Equals(state.Recipe, program.Recipe, StringComparison.OrdinalIgnoreCase))
        {
            throw new CheckpointException($"{path} was trained with recipe {CheckpointException.Quote(state.Recipe)}; use that recipe instead of {program.Recipe}.");
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

    private static List<StateTensor> Tensors(Session session, ModelDefinition definition, ModelProgram program, bool training)
    {
        ReadOnlySpan<(string Prefix, nint Arena)> arenas = training
            ? [("", session.MasterArena), (FirstMoment, session.FirstMomentArena), (SecondMoment, session.SecondMomentArena)]
            : [("", session.MasterArena)];
        var tensors = new List<StateTensor>();
        foreach ((string prefix, nint arena) in arenas)
        {
            for (int p = 0; p < definition.Parameters.Length; p++)
            {
                ParameterInfo parameter = definition.Parameters[p];
                long[] shape = parameter.Shape(session.Dims);
                for (long layer = 0; layer < parameter.Layers(session.Dims); layer++)
                {
                    tensors.Add(new StateTensor(prefix + parameter.InstanceName(layer), Float, shape, session.InArena(arena, p, layer)));
                }
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

    private sealed record StateTensor(string Name, string DataType, long[] Shape, nint Address);
}
