using System;
using System.Linq;
using System.Runtime.InteropServices;
using System.Threading;
using System.Threading.Tasks;
using Fp8Lm.Cpu;
using Fp8Lm.Execution;

namespace Fp8Lm.Training;

/// <summary>
/// What the optimizer keeps of a parameter as float32 numbers, whatever its format. Writing chooses the scale by section 2.2 of the fact sheet; that of the
/// weights' FP8 copies follows their master.
/// </summary>
internal static class ParameterMemory
{
    private const int PieceElements = 1 << 20;

    // Pieces start at even indices, so that random numbers made in pairs never straddle two of them, and where groups of moments do.
    private const int RunElements = 1 << 14;

    /// <summary>Writes the elements from number <paramref name="first"/> on; called from several threads, and perhaps twice for each element.</summary>
    public delegate void ElementWriter(long first, Span<float> values);

    /// <summary>The values of an instance in one of the parameter arenas.</summary>
    public static float[] ReadParameter(this Session session, ArenaKind arena, int parameter, long layer)
    {
        float[] values = new float[session.Plan.Parameters[parameter].Elements];
        session.ReadParameter(arena, parameter, layer, values);
        return values;
    }

    /// <summary>The values of an instance in one of the parameter arenas, into memory of the caller: as many as the parameter has elements.</summary>
    public static void ReadParameter(this Session session, ArenaKind arena, int parameter, long layer, Span<float> values)
    {
        ElementFormat format = Format(session, arena, parameter);
        if (format == ElementFormat.F32)
        {
            session.CopyToHost(Address(session, arena, parameter, layer), MemoryMarshal.AsBytes(values));
            return;
        }

        if (IsGrouped(session, arena, parameter))
        {
            byte[] stored = session.Read<byte>(Address(session, arena, parameter, layer), values.Length);
            StateCodec.DecodeGroups(stored, format, session.Read<MomentGroup>(GroupAddress(session, arena, parameter, layer), MomentGroup.Count(values.Length)), values);
            return;
        }

        float inverse = format.ScaledMaximum() > 0 ? session.Read<float>(session.StateSlot(WorkspacePart.StateScaleInverse, arena, parameter, layer), 1)[0] : 1f;
        byte[] bytes = new byte[Math.Min(values.Length, PieceElements) * format.Bytes()];
        nint address = Address(session, arena, parameter, layer);
        for (int first = 0; first < values.Length; first += PieceElements)
        {
            int n = Math.Min(PieceElements, values.Length - first);
            Span<byte> piece = bytes.AsSpan(0, n * format.Bytes());
            session.CopyToHost(address + (nint)((long)first * format.Bytes()), piece);
            StateCodec.Decode(piece, format, inverse, values.Slice(first, n));
        }
    }

    /// <summary>Writes the values of an instance.</summary>
    public static void WriteParameter(this Session session, ArenaKind arena, int parameter, long layer, float[] values) =>
        session.FillParameter(arena, parameter, layer, (first, run) => values.AsSpan((int)first, run.Length).CopyTo(run));

    /// <summary>Writes the values of an instance that <paramref name="write"/> makes.</summary>
    public static unsafe void FillParameter(this Session session, ArenaKind arena, int parameter, long layer, ElementWriter write)
    {
        ElementFormat format = Format(session, arena, parameter);
        long elements = session.Plan.Parameters[parameter].Elements;
        int weightScale = arena == ArenaKind.Master ? session.Plan.Program.FormatsOf(parameter).WeightScale : -1;
        bool grouped = IsGrouped(session, arena, parameter);
        MomentGroup[] groups = new MomentGroup[grouped ? MomentGroup.Count(elements) : 0];
        float maximum = grouped ? 0f : format.ScaledMaximum(), scale = 1f;
        if (maximum > 0 || weightScale >= 0)
        {
            uint amax = Amax(elements, write);
            if (maximum > 0)
            {
                scale = Scaling.State(amax, maximum, 1f);
                WriteScale(session, scale, session.StateSlot(WorkspacePart.StateScale, arena, parameter, layer), session.StateSlot(WorkspacePart.StateScaleInverse, arena, parameter, layer));
            }

            if (weightScale >= 0)
            {
                float copy = Scaling.State(amax, session.Plan.Program.Scales[weightScale].Format.ScaledMaximum(), 1f);
                WriteScale(session, copy, session.Scale(weightScale, layer), session.ScaleInverse(weightScale, layer));
            }
        }

        session.WritePieces(Address(session, arena, parameter, layer), elements * format.Bytes(), (offset, address, length) =>
        {
            long start = offset / format.Bytes();
            Runs(length / format.Bytes(), (first, n) =>
            {
                if (format == ElementFormat.F32)
                {
                    write(start + first, new Span<float>((float*)address + first, n));
                    return;
                }

                float[] values = new float[n];
                write(start + first, values);
                var bytes = new Span<byte>((byte*)address + (first * format.Bytes()), n * format.Bytes());
                if (grouped)
                {
                    StateCodec.EncodeGroups(values, format, groups.AsSpan((int)((start + first) / MomentGroup.Elements)), bytes);
                    return;
                }

                StateCodec.Encode(values, format, scale, bytes);
            });
        });
        if (grouped)
        {
            session.Write<MomentGroup>(groups, GroupAddress(session, arena, parameter, layer));
        }
    }

    /// <summary>Whether a parameter is stored in groups in one of the parameter arenas.</summary>
    public static bool IsGrouped(Session session, ArenaKind arena, int parameter) => session.Plan.Program.FormatsOf(parameter).IsGrouped(arena);

    /// <summary>Address of the groups of an instance of a moment: <see cref="MomentGroup"/> [its elements / 128, rounded up].</summary>
    public static nint GroupAddress(Session session, ArenaKind arena, int parameter, long layer) =>
        session.Workspace(arena == ArenaKind.FirstMoment ? WorkspacePart.FirstGroups : WorkspacePart.SecondGroups) + (nint)session.Plan.GroupOffset(parameter, layer);

    /// <summary>Format of a parameter in one of the parameter arenas.</summary>
    public static ElementFormat Format(Session session, ArenaKind arena, int parameter) => session.Plan.Program.FormatsOf(parameter).Of(arena);

    /// <summary>Address of an instance of a parameter in one of the parameter arenas.</summary>
    public static nint Address(Session session, ArenaKind arena, int parameter, long layer) => arena switch
    {
        ArenaKind.Master => session.MasterArena,
        ArenaKind.Gradients => session.GradientArena,
        ArenaKind.FirstMoment => session.FirstMomentArena,
        _ => session.SecondMomentArena,
    } + (nint)session.Plan.ParameterOffset(arena, parameter, layer);

    private static void WriteScale(Session session, float scale, nint place, nint inverse)
    {
        session.Write<float>([scale], place);
        session.Write<float>([1f / scale], inverse);
    }

    private static uint Amax(long elements, ElementWriter write)
    {
        uint amax = 0;
        for (long start = 0; start < elements; start += PieceElements)
        {
            Runs((int)Math.Min(PieceElements, elements - start), (first, n) =>
            {
                float[] values = new float[n];
                write(start + first, values);
                uint largest = values.Max(v => BitConverter.SingleToUInt32Bits(v) & 0x7FFFFFFF);
                for (uint seen = Volatile.Read(ref amax); seen < largest; seen = Volatile.Read(ref amax))
                {
                    Interlocked.CompareExchange(ref amax, largest, seen);
                }
            });
        }

        return amax;
    }

    private static void Runs(int count, Action<int, int> run) =>
        Parallel.For(0, (count + RunElements - 1) / RunElements, i => run(i * RunElements, Math.Min(RunElements, count - (i * RunElements))));
}
