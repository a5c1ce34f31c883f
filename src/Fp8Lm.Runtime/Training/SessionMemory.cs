using System;
using System.Runtime.InteropServices;
using Fp8Lm.Execution;

namespace Fp8Lm.Training;

/// <summary>Typed reads and writes of session memory.</summary>
internal static class SessionMemory
{
    /// <summary>Writes values to session memory.</summary>
    public static void Write<T>(this Session session, ReadOnlySpan<T> values, nint destination) where T : unmanaged =>
        session.CopyFromHost(MemoryMarshal.AsBytes(values), destination);

    /// <summary>Reads values from session memory.</summary>
    public static T[] Read<T>(this Session session, nint source, long count) where T : unmanaged
    {
        T[] values = new T[count];
        session.CopyToHost(source, MemoryMarshal.AsBytes(values.AsSpan()));
        return values;
    }

    /// <summary>Writes the whole step state; what kernels write there starts at the given values.</summary>
    public static void WriteState(this Session session, StepState state) => session.Write(new ReadOnlySpan<StepState>(in state), session.State);

    /// <summary>Reads the step state.</summary>
    public static StepState ReadState(this Session session) => session.Read<StepState>(session.State, 1)[0];

    /// <summary>Writes <see cref="StepState.MicroStep"/> alone; sums that kernels have begun stay.</summary>
    public static void WriteMicroStep(this Session session, uint microStep)
    {
        nint offset = Marshal.OffsetOf<StepState>(nameof(StepState.MicroStep));
        session.Write(new ReadOnlySpan<uint>(in microStep), session.State + offset);
    }

    /// <summary>The loss scale of the next step; only in recipes with loss scaling.</summary>
    public static LossScaleState ReadLossScale(this Session session) => session.Read<LossScaleState>(session.Workspace(WorkspacePart.LossScale), 1)[0];

    /// <summary>Writes the loss scale of the next step; only in recipes with loss scaling.</summary>
    public static void WriteLossScale(this Session session, LossScaleState state) =>
        session.Write(new ReadOnlySpan<LossScaleState>(in state), session.Workspace(WorkspacePart.LossScale));

    /// <summary>The loss scale of step 1; nothing in recipes without loss scaling.</summary>
    public static void ResetLossScale(this Session session)
    {
        if (session.Plan.Program.LossScaling is { } scaling)
        {
            session.WriteLossScale(new LossScaleState { Scale = scaling.Initial });
        }
    }

    /// <summary>Bytes of the amax histories.</summary>
    public static long HistoryElements(this Session session, ModelProgram program) => session.ScaleSlots * Math.Max(1, program.Scaling?.HistoryLength ?? 1);
}
