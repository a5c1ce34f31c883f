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

    /// <summary>Bytes of the amax histories.</summary>
    public static long HistoryElements(this Session session, ModelProgram program) => session.ScaleSlots * Math.Max(1, program.Scaling?.HistoryLength ?? 1);
}
