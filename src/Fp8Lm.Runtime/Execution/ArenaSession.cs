using System;
using System.Runtime.InteropServices;
using Fp8Lm.Training;

namespace Fp8Lm.Execution;

/// <summary>
/// A session whose addresses come from a <see cref="SessionLayout"/>. A back end allocates one zeroed block per arena of the plan, calls
/// <see cref="Attach"/>, and adds launching and copying; everything else is the same on every device.
/// </summary>
public abstract class ArenaSession : Session
{
    private SessionLayout? layout;

    /// <summary>Creates a session without memory.</summary>
    protected ArenaSession(MemoryPlan plan)
    {
        ArgumentNullException.ThrowIfNull(plan);
        Plan = plan;
    }

    /// <inheritdoc/>
    public sealed override MemoryPlan Plan { get; }

    /// <summary>Addresses of everything.</summary>
    public SessionLayout Layout => layout ?? throw new InvalidOperationException("The session has no memory yet.");

    /// <inheritdoc/>
    public sealed override DimBinding Dims => Plan.Dims;

    /// <inheritdoc/>
    public sealed override bool Checkpointing => Plan.Checkpointing;

    /// <inheritdoc/>
    public sealed override nint State => Layout.Workspace(WorkspacePart.State);

    /// <inheritdoc/>
    public sealed override nint Tokens => Layout.Workspace(WorkspacePart.Tokens);

    /// <inheritdoc/>
    public sealed override nint Labels => Layout.Workspace(WorkspacePart.Labels);

    /// <inheritdoc/>
    public sealed override nint LabelWeights => Layout.Workspace(WorkspacePart.LabelWeights);

    /// <inheritdoc/>
    public sealed override nint MasterArena => Layout.Arena(ArenaKind.Master);

    /// <inheritdoc/>
    public sealed override nint GradientArena => Layout.Arena(ArenaKind.Gradients);

    /// <inheritdoc/>
    public sealed override nint FirstMomentArena => Layout.Arena(ArenaKind.FirstMoment);

    /// <inheritdoc/>
    public sealed override nint SecondMomentArena => Layout.Arena(ArenaKind.SecondMoment);

    /// <inheritdoc/>
    public sealed override nint ScaleArena => Layout.Workspace(WorkspacePart.Scale);

    /// <inheritdoc/>
    public sealed override nint ScaleInverseArena => Layout.Workspace(WorkspacePart.ScaleInverse);

    /// <inheritdoc/>
    public sealed override nint AmaxArena => Layout.Workspace(WorkspacePart.Amax);

    /// <inheritdoc/>
    public sealed override nint AmaxHistoryArena => Layout.Workspace(WorkspacePart.AmaxHistory);

    /// <inheritdoc/>
    public sealed override nint ScaleMaximumArena => Layout.Workspace(WorkspacePart.ScaleMaximum);

    /// <inheritdoc/>
    public sealed override nint ReductionScratch => Layout.Workspace(WorkspacePart.ReductionScratch);

    /// <inheritdoc/>
    public sealed override long ParameterElements => Plan.ParameterElements;

    /// <inheritdoc/>
    public sealed override long DecayedElements => Plan.DecayedElements;

    /// <inheritdoc/>
    public sealed override long ScaleSlots => Plan.ScaleSlots;

    /// <inheritdoc/>
    public sealed override nint Buffer(int buffer, long layer) => Layout.Buffer(buffer, layer);

    /// <inheritdoc/>
    public sealed override nint Master(int parameter, long layer) => Layout.Parameter(ArenaKind.Master, parameter, layer);

    /// <inheritdoc/>
    public sealed override nint Gradient(int parameter, long layer) => Layout.Parameter(ArenaKind.Gradients, parameter, layer);

    /// <inheritdoc/>
    public sealed override nint Workspace(WorkspacePart part) => Layout.Workspace(part);

    /// <inheritdoc/>
    public sealed override nint Scale(int scale, long layer) => Layout.ScaleSlot(WorkspacePart.Scale, scale, layer);

    /// <inheritdoc/>
    public sealed override nint ScaleInverse(int scale, long layer) => Layout.ScaleSlot(WorkspacePart.ScaleInverse, scale, layer);

    /// <inheritdoc/>
    public sealed override nint Amax(int scale, long layer) => Layout.ScaleSlot(WorkspacePart.Amax, scale, layer);

    /// <inheritdoc/>
    public sealed override nint CastStatistics(int cast, long layer) => CountsCasts && Plan.Training ? Layout.CastSlot(cast, layer) : 0;

    /// <inheritdoc/>
    public sealed override nint StateCasts => CountsCasts && Plan.Training ? Layout.StateCasts : 0;

    /// <summary>Sets the base addresses (memory zeroed by the caller) and writes what is fixed for the session: unit scales and each slot's largest value.</summary>
    protected void Attach(Func<ArenaKind, nint> arenaAddress)
    {
        layout = new SessionLayout(Plan, arenaAddress);
        float[] ones = new float[Plan.ScaleSlots];
        float[] maxima = new float[Plan.ScaleSlots];
        Array.Fill(ones, 1f);
        for (int i = 0; i < Plan.Program.Scales.Count; i++)
        {
            ScaleInfo scale = Plan.Program.Scales[i];
            float maximum = scale.Format == ElementFormat.E5M2 ? 57344f : 448f;
            maxima.AsSpan((int)Plan.ScaleFirstSlots[i], (int)scale.Layers(Dims)).Fill(maximum);
        }

        CopyFromHost(MemoryMarshal.AsBytes<float>(ones), ScaleArena);
        CopyFromHost(MemoryMarshal.AsBytes<float>(ones), ScaleInverseArena);
        CopyFromHost(MemoryMarshal.AsBytes<float>(maxima), ScaleMaximumArena);
        this.ResetLossScale();
        if (Plan.ScaledStates)
        {
            float[] states = new float[4 * Plan.StateInstances];
            Array.Fill(states, 1f);
            CopyFromHost(MemoryMarshal.AsBytes<float>(states), Workspace(WorkspacePart.StateScale));
            CopyFromHost(MemoryMarshal.AsBytes<float>(states), Workspace(WorkspacePart.StateScaleInverse));
        }

        if (Plan.SegmentedStates)
        {
            CopyFromHost(MemoryMarshal.AsBytes<StateSegment>(Plan.Segments()), Workspace(WorkspacePart.Segments));
        }
    }
}
