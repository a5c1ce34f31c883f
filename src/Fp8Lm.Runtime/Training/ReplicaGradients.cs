using System;
using System.Collections.Generic;
using System.Linq;
using System.Numerics;
using System.Runtime.InteropServices;
using Fp8Lm.Checkpoints;
using Fp8Lm.Collectives;
using Fp8Lm.Cpu;
using Fp8Lm.Execution;

namespace Fp8Lm.Training;

/// <summary>The gradient of one instance of a parameter.</summary>
internal sealed record GradientPlace(int Parameter, long Layer, string Name, int Elements, ElementFormat Format);

/// <summary>
/// The gradients of N data-parallel replicas that one session computes one after the other. Use, in every step: run the micro-batches of a replica from cleared gradients and
/// <see cref="Take"/> what they left, for all replicas in order; then <see cref="Reduce"/> leaves the mean in the session, where the optimizer finds it as if it came from a collective.
/// </summary>
/// <remarks>
/// Gradients that travel in FP8 are kept as one payload per replica, a byte an element, and go through <see cref="GradientReducer"/>. All others are added up in F32, in the order of the
/// replicas, so that their memory does not grow with N. Weights are equal on all replicas, so there is one copy.
/// </remarks>
internal sealed class ReplicaGradients
{
    private readonly Session session;
    private readonly IReadOnlyList<GradientPlace> places;
    private readonly IReadOnlyList<GradientPlace> travelling;
    private readonly float[]?[] sums;
    private readonly GradientReducer? reducer;
    private readonly GradientReductionOptions reduction;
    private readonly byte[] codes;
    private readonly float[] values;
    private int taken;

    /// <summary>Prepares for the gradients of a session.</summary>
    /// <param name="session">The session.</param>
    /// <param name="replicas">N.</param>
    /// <param name="order">Order of FP8 sums.</param>
    /// <param name="reduction">How gradients are reduced that travel in FP8. The payload has the format of a gradient that is FP8 already.</param>
    /// <param name="travels">Which gradients travel in FP8; null: those that the recipe stores in it.</param>
    /// <exception cref="ArgumentException">More gradients than one payload holds.</exception>
    public ReplicaGradients(Session session, int replicas, ReductionOrder order, GradientReductionOptions reduction, Func<GradientPlace, bool>? travels = null)
    {
        this.session = session;
        Replicas = replicas;
        travels ??= place => IsFp8(place.Format);
        MemoryPlan plan = session.Plan;
        var found = new List<GradientPlace>();
        for (int p = 0; p < plan.Definition.Parameters.Length; p++)
        {
            ParameterInfo parameter = plan.Definition.Parameters[p];
            for (long layer = 0; layer < plan.Parameters[p].Instances; layer++)
            {
                string name = parameter.InstanceName(layer);
                long elements = plan.Parameters[p].Elements;
                found.Add(elements <= Array.MaxLength / sizeof(float)
                    ? new GradientPlace(p, layer, name, (int)elements, ParameterMemory.Format(session, ArenaKind.Gradients, p))
                    : throw new ArgumentException($"Gradient {name} has {elements} elements; replicas are simulated for up to {Array.MaxLength / sizeof(float)} in one tensor. Use a smaller size."));
            }
        }

        // Layer by layer, as a backward pass completes them.
        places = [.. found.OrderBy(p => p.Layer)];
        travelling = [.. places.Where(travels)];
        ElementFormat? stored = travelling.Select(t => (ElementFormat?)t.Format).FirstOrDefault(f => IsFp8(f!.Value));
        this.reduction = stored is { } format ? reduction with { Format = format } : reduction;
        if (travelling.Count > 0)
        {
            CpuPool pool = session.HostPool;
            reducer = new GradientReducer(
                new GradientLayout([.. travelling.Select(t => new GradientTensor(t.Name, t.Elements))], replicas), new SimulatedReplicas(replicas, order, pool), this.reduction, pool);
        }

        sums = [.. places.Select(p => travels(p) ? null : new float[p.Elements])];
        codes = new byte[travelling.Where(t => IsFp8(t.Format)).Select(t => t.Elements).DefaultIfEmpty(0).Max()];
        values = new float[places.Where(p => !IsFp8(p.Format)).Select(p => p.Elements).DefaultIfEmpty(0).Max()];
    }

    /// <summary>N.</summary>
    public int Replicas { get; }

    /// <summary>The gradients that travel in FP8, in the order of the payload.</summary>
    public IReadOnlyList<GradientPlace> Travelling => travelling;

    /// <summary>The reducer of those; null when there are none.</summary>
    public GradientReducer? Reducer => reducer;

    /// <summary>Host memory for gradients besides the session's.</summary>
    public long Bytes => (reducer is null ? 0 : (long)reducer.Layout.Bytes * Replicas * (reduction.Sum == GradientSum.ExchangeF32 ? 2 : 1)) + sums.Sum(s => (s?.Length ?? 0L) * sizeof(float));

    /// <summary>What the last <see cref="Reduce"/> did to each gradient that travels in FP8.</summary>
    public IReadOnlyList<ReductionNumerics> Numerics { get; private set; } = [];

    /// <summary>Told about a gradient of a replica that travels in FP8 and is stored in a wider format: replica, number in <see cref="Travelling"/>, values.</summary>
    public Action<int, int, ReadOnlySpan<float>>? Seen { get; init; }

    /// <summary>Whether the mean of the next step is compared with one in F64 (<see cref="GradientReducer.Measure"/>).</summary>
    public bool Measure
    {
        get => reducer?.Measure ?? false;
        set
        {
            if (reducer is not null)
            {
                reducer.Measure = value;
            }
        }
    }

    /// <summary>Whether a recipe stores gradients in FP8, so that they travel in it.</summary>
    public static bool StoresFp8(ModelProgram program) => program.ParameterFormats.Any(f => IsFp8(f.Gradient));

    /// <summary>Takes over the gradients that the micro-batches of a replica have left in the session.</summary>
    /// <param name="replica">Number of the replica; they come in order.</param>
    /// <exception cref="InvalidOperationException">It is not the turn of this replica.</exception>
    public void Take(int replica)
    {
        if (replica != taken || replica >= Replicas)
        {
            throw new InvalidOperationException($"The gradients of replica {replica} were to be taken; next is {taken} of {Replicas}.");
        }

        (float[] scales, _, float[] amax) = ReadScales();
        int tensor = 0;
        for (int i = 0; i < places.Count; i++)
        {
            GradientPlace place = places[i];
            if (sums[i] is { } sum)
            {
                Span<float> part = replica == 0 ? sum : values.AsSpan(0, place.Elements);
                session.ReadParameter(ArenaKind.Gradients, place.Parameter, place.Layer, part);
                if (replica > 0)
                {
                    Add(sum, part);
                }
            }
            else if (IsFp8(place.Format))
            {
                Span<byte> stored = codes.AsSpan(0, place.Elements);
                session.CopyToHost(session.Gradient(place.Parameter, place.Layer), stored);
                long slot = session.Plan.StateSlot(ArenaKind.Gradients, place.Parameter, place.Layer);
                reducer!.Cast(replica, tensor++, stored, scales[slot], amax[slot]);
            }
            else
            {
                Span<float> part = values.AsSpan(0, place.Elements);
                session.ReadParameter(ArenaKind.Gradients, place.Parameter, place.Layer, part);
                Seen?.Invoke(replica, tensor, part);
                reducer!.Cast(replica, tensor++, part);
            }
        }

        taken++;
    }

    /// <summary>Reduces and writes the means to the session: codes with scale and amax where gradients are stored in FP8, numbers elsewhere. mu is that of the next step then.</summary>
    /// <exception cref="InvalidOperationException">The gradients of a replica are missing.</exception>
    public void Reduce()
    {
        if (taken != Replicas)
        {
            throw new InvalidOperationException($"Gradients of {taken} replicas were taken; there are {Replicas}.");
        }

        taken = 0;
        Numerics = reducer?.Reduce() ?? [];
        (float[] scales, float[] inverses, float[] amax) = ReadScales();
        int tensor = 0;
        for (int i = 0; i < places.Count; i++)
        {
            GradientPlace place = places[i];
            if (sums[i] is { } sum)
            {
                Divide(sum, Replicas);
                session.WriteParameter(ArenaKind.Gradients, place.Parameter, place.Layer, sum);
                continue;
            }

            GradientPayload mean = reducer!.Mean;
            if (IsFp8(place.Format))
            {
                session.CopyFromHost(mean.Tensor(tensor), session.Gradient(place.Parameter, place.Layer));
                long slot = session.Plan.StateSlot(ArenaKind.Gradients, place.Parameter, place.Layer);
                (scales[slot], inverses[slot]) = (mean.Scale(tensor), 1f / mean.Scale(tensor));

                // Codes are finite whatever happened: the optimizer leaves a step out whose amax is not.
                amax[slot] = Numerics[tensor].Amax;
            }
            else
            {
                float[] decoded = new float[place.Elements];
                mean.Read(tensor, decoded);
                session.WriteParameter(ArenaKind.Gradients, place.Parameter, place.Layer, decoded);
            }

            tensor++;
        }

        WriteScales(scales, inverses, amax);
    }

    /// <summary>What a checkpoint keeps; null when nothing travels in FP8.</summary>
    public SavedReduction? Save()
    {
        if (reducer is null)
        {
            return null;
        }

        GradientReductionState state = reducer.Save();
        var tensors = new Dictionary<string, ReductionFactors>(StringComparer.Ordinal);
        foreach (IGrouping<int, int> parameter in Enumerable.Range(0, travelling.Count).GroupBy(t => travelling[t].Parameter))
        {
            tensors.Add(NameOf(parameter.Key), new ReductionFactors([.. parameter.Select(t => state.Mu[t])], [.. parameter.Select(t => state.Scale[t])]));
        }

        return new SavedReduction(Replicas, ReductionMode.NameOf(reduction), state.Steps, tensors);
    }

    /// <summary>Goes on from what a checkpoint holds, which may be of other ranks, another mode, other gradients, or nothing.</summary>
    /// <returns>What became of mu, in a sentence to be read behind the name of the checkpoint; null when it goes on as it was, or is fixed as before.</returns>
    public string? Restore(SavedReduction? saved)
    {
        if (reducer is null)
        {
            return saved is null ? null : $"has {Factors(saved)}; here no gradient travels in FP8, so they are dropped.";
        }

        string mode = ReductionMode.NameOf(reduction);
        bool adapts = reducer.Factors.Adapts;
        string fresh = adapts ? FormattableString.Invariant($"starts at {ScalingFactors.Initial(reduction.Scaling, Replicas):G4} for {Replicas} replicas") : "";

        // A fixed factor is no mu: the rule of the mode says what it is.
        bool keeps = saved is not null && saved.Mode == ReductionMode.NameOf(new GradientReductionOptions()) && adapts;
        int ranks = keeps ? saved!.Ranks : Replicas, found = 0;
        double[] mu = new double[travelling.Count];
        float[] scale = new float[travelling.Count];
        for (int t = 0; t < mu.Length; t++)
        {
            // The reducer adapts mu to the number of ranks, also that of gradients which are new.
            (mu[t], scale[t]) = (ScalingFactors.Initial(reduction.Scaling, ranks), 1f);
            if (saved is not null && saved.Tensors.TryGetValue(NameOf(travelling[t].Parameter), out ReductionFactors? factors) && factors.Mu.Length == session.Plan.Parameters[travelling[t].Parameter].Instances)
            {
                (mu[t], scale[t]) = (keeps ? factors.Mu[travelling[t].Layer] : mu[t], factors.Scale[travelling[t].Layer]);
                found++;
            }
        }

        reducer.Restore(new GradientReductionState(GradientReductionState.CurrentVersion, ranks, saved?.Mode == mode ? saved.Steps : 0, [.. travelling.Select(t => t.Name)], mu, scale));
        return (saved, adapts) switch
        {
            (null, true) => $"has no mu; it {fresh}.",
            (null, false) => null,
            (_, true) when !keeps => $"has {Factors(saved)}, which are fixed; mu {fresh}.",
            (_, true) when found < mu.Length => $"has mu of {found} of the {mu.Length} gradients here; that of the others {fresh}.{Rescaled(saved)}",
            (_, true) => saved.Ranks == Replicas ? null : Rescaled(saved).TrimStart(),
            _ => saved.Mode == mode ? null : $"has {Factors(saved)}; with '{mode}' the factor is {Fixed()}, and they are dropped.",
        };

        string Rescaled(SavedReduction from) => from.Ranks == Replicas ? "" : $" has mu of {from.Ranks} replicas; for {Replicas} it is multiplied by sqrt({from.Ranks} / {Replicas}).";
        string Fixed() => FormattableString.Invariant($"{ScalingFactors.Initial(reduction.Scaling, Replicas):G4}");
    }

    private static string Factors(SavedReduction saved) => $"factors of gradient scaling '{saved.Mode}' over {saved.Ranks} replicas";

    private static bool IsFp8(ElementFormat format) => format is ElementFormat.E4M3 or ElementFormat.E5M2;

    private static void Add(Span<float> sum, ReadOnlySpan<float> part)
    {
        Span<Vector<float>> to = MemoryMarshal.Cast<float, Vector<float>>(sum);
        ReadOnlySpan<Vector<float>> from = MemoryMarshal.Cast<float, Vector<float>>(part);
        for (int i = 0; i < to.Length; i++)
        {
            to[i] += from[i];
        }

        for (int i = to.Length * Vector<float>.Count; i < sum.Length; i++)
        {
            sum[i] += part[i];
        }
    }

    private static void Divide(Span<float> sum, float divisor)
    {
        foreach (ref float value in sum)
        {
            value /= divisor;
        }
    }

    private string NameOf(int parameter) => session.Plan.Definition.Parameters[parameter].Name;

    /// <summary>Scales, their reciprocals and amax of all gradients; empty where none has any.</summary>
    private (float[] Scale, float[] Inverse, float[] Amax) ReadScales() => session.Plan.ScaledStates
        ? (Row(WorkspacePart.StateScale), Row(WorkspacePart.StateScaleInverse), Row(WorkspacePart.StateAmax))
        : ([], [], []);

    private void WriteScales(float[] scale, float[] inverse, float[] amax)
    {
        if (scale.Length > 0)
        {
            session.Write<float>(scale, First(WorkspacePart.StateScale));
            session.Write<float>(inverse, First(WorkspacePart.StateScaleInverse));
            session.Write<float>(amax, First(WorkspacePart.StateAmax));
        }
    }

    private float[] Row(WorkspacePart part) => session.Read<float>(First(part), session.Plan.StateInstances);

    private nint First(WorkspacePart part) => session.StateSlot(part, ArenaKind.Gradients, 0, 0);
}
