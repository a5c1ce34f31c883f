using System;
using System.Collections.Generic;
using System.Linq;
using System.Runtime.InteropServices;
using Fp8Lm.Execution;

namespace Fp8Lm.Training;

/// <summary>Finds the tensors that hold NaN or infinity after a bad step, so that the message can name them.</summary>
internal sealed class NonFiniteSearch(ModelDefinition definition, ModelProgram program, Session session)
{
    private const int Named = 3;
    private const int PieceBytes = 1 << 20;

    /// <summary>
    /// Looks at weights and gradients, then runs the micro-batches of the step again and looks at what each kernel wrote. FP8 state is put back;
    /// gradients are not, and a skipped step does not need them.
    /// </summary>
    /// <param name="microBatches">Micro-batches of the step.</param>
    /// <param name="staleGradients">Whether the gradients are those of another step by now.</param>
    /// <param name="loadMicroBatch">Loads one micro-batch and the state that belongs to it.</param>
    public string Describe(int microBatches, bool staleGradients, Action<int> loadMicroBatch)
    {
        if (staleGradients)
        {
            Replay(session, microBatches, loadMicroBatch);
        }

        List<string> weights = BadParameters(ArenaKind.Master);
        if (weights.Count > 0)
        {
            return $"The first tensor that is not finite is weight {weights[0]}, before any kernel of the step. Weights that are not finite: {List(weights)}.";
        }

        List<string> gradients = BadParameters(ArenaKind.Gradients);
        string first = Trace(microBatches, loadMicroBatch) is { } found ? $"{found} " : "";
        return gradients.Count > 0 ? $"{first}Gradients that are not finite: {List(gradients)}."
            : first.Length > 0 ? first.TrimEnd() : "All weights and gradients are finite by themselves.";
    }

    private static string List(List<string> names) =>
        string.Join(", ", names.Take(Named)) + (names.Count > Named ? $" and {names.Count - Named} more" : "");

    private List<string> BadParameters(ArenaKind arena)
    {
        var bad = new List<string>();
        for (int p = 0; p < definition.Parameters.Length; p++)
        {
            ParameterInfo parameter = definition.Parameters[p];
            for (long layer = 0; layer < parameter.Layers(session.Dims); layer++)
            {
                ElementFormat format = ParameterMemory.Format(session, arena, p);
                if (HasNonFinite(session, ParameterMemory.Address(session, arena, p, layer), parameter.Elements(session.Dims) * format.Bytes(), format)
                    || (arena == ArenaKind.Gradients && format.ScaledMaximum() > 0 && !float.IsFinite(session.Read<float>(session.GradientAmax(p, layer), 1)[0])))
                {
                    bad.Add(NonFiniteNames.Parameter(parameter, layer));
                }
            }
        }

        return bad;
    }

    private string? Trace(int microBatches, Action<int> loadMicroBatch)
    {
        ClearActivations();
        var tracer = new NonFiniteTracer(session, definition, program);
        Replay(tracer, microBatches, loadMicroBatch);
        return tracer.Finding;
    }

    private void Replay(Session target, int microBatches, Action<int> loadMicroBatch)
    {
        var snapshot = new Fp8Snapshot(session, program);
        session.ClearGradients();
        session.Clear(session.AmaxArena, session.ScaleSlots * sizeof(uint));
        for (int micro = 0; micro < microBatches; micro++)
        {
            loadMicroBatch(micro);
            program.TrainMicroBatch(target);
        }

        snapshot.Restore();
    }

    /// <summary>Bytes that no kernel has written yet would be taken for findings.</summary>
    private void ClearActivations()
    {
        for (int b = 0; b < program.Buffers.Count; b++)
        {
            BufferPlacement placement = session.Plan.Buffers[b];
            if (placement.Arena == ArenaKind.Activations)
            {
                session.Clear(session.Buffer(b, 0), placement.Stride * placement.Instances);
            }
        }
    }

    /// <summary>Whether session memory holds a NaN or an infinity.</summary>
    internal static bool HasNonFinite(Session session, nint address, long bytes, ElementFormat format)
    {
        byte[] buffer = new byte[Math.Min(bytes, PieceBytes)];
        for (long offset = 0; offset < bytes; offset += buffer.Length)
        {
            Span<byte> piece = buffer.AsSpan(0, (int)Math.Min(buffer.Length, bytes - offset));
            session.CopyToHost(address + (nint)offset, piece);
            if (HasNonFinite(piece, format))
            {
                return true;
            }
        }

        return false;
    }

    private static bool HasNonFinite(ReadOnlySpan<byte> bytes, ElementFormat format)
    {
        switch (format)
        {
            case ElementFormat.F32:
                return AnyExponent(MemoryMarshal.Cast<byte, uint>(bytes), 0x7F800000u);
            case ElementFormat.BF16:
                return AnyExponent(MemoryMarshal.Cast<byte, ushort>(bytes), (ushort)0x7F80);
            case ElementFormat.F16:
                return AnyExponent(MemoryMarshal.Cast<byte, ushort>(bytes), (ushort)0x7C00);
            case ElementFormat.E5M2:
                return AnyExponent(bytes, (byte)0x7C);
            case ElementFormat.E4M3:
                return bytes.ContainsAny((byte)0x7F, (byte)0xFF);
            default:
                return false;
        }
    }

    private static bool AnyExponent<T>(ReadOnlySpan<T> values, T mask) where T : struct, System.Numerics.IBinaryInteger<T>
    {
        foreach (T value in values)
        {
            if ((value & mask) == mask)
            {
                return true;
            }
        }

        return false;
    }
}
