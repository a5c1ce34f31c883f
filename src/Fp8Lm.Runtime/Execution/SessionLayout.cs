using System;
using System.Collections.Generic;
using System.Linq;
using System.Runtime.CompilerServices;

namespace Fp8Lm.Execution;

/// <summary>A <see cref="MemoryPlan"/> with a base address per arena: turns buffers, parameters and scales into addresses, wherever the memory is.</summary>
public sealed class SessionLayout
{
    private readonly nint[] bases;
    private readonly bool[] alternating;

    /// <summary>Binds a plan to memory.</summary>
    /// <param name="plan">The plan.</param>
    /// <param name="arenaAddress">Base address of an arena, aligned to <see cref="ArenaLayout.Alignment"/>; zero for one without bytes.</param>
    public SessionLayout(MemoryPlan plan, Func<ArenaKind, nint> arenaAddress)
    {
        ArgumentNullException.ThrowIfNull(plan);
        ArgumentNullException.ThrowIfNull(arenaAddress);
        Plan = plan;
        bases = Array.ConvertAll(Enum.GetValues<ArenaKind>(), arena => arenaAddress(arena));
        alternating = new bool[plan.Buffers.Count];
        for (int i = 0; i < alternating.Length; i++)
        {
            alternating[i] = plan.Program.Buffers[i].Scope == BufferScope.PingPong;
        }
    }

    /// <summary>The plan.</summary>
    public MemoryPlan Plan { get; }

    /// <summary>Base address of an arena.</summary>
    public nint Arena(ArenaKind arena) => bases[(int)arena];

    /// <summary>Address of a part of the workspace.</summary>
    public nint Workspace(WorkspacePart part) => bases[(int)ArenaKind.Workspace] + (nint)Plan.Offset(part);

    /// <summary>Instance of a buffer that a layer uses: one for all, one per layer, or two in turn.</summary>
    public long Instance(int buffer, long layer)
    {
        BufferPlacement placement = Plan.Buffers[buffer];
        long instance = placement.Instances == 1 ? 0 : alternating[buffer] ? layer & 1 : layer;
        return (ulong)instance < (ulong)placement.Instances
            ? instance
            : throw new ArgumentOutOfRangeException(
                nameof(layer), layer, $"Buffer '{Plan.Program.Buffers[buffer].Name}' has {placement.Instances} instances.");
    }

    /// <summary>Address of the instance of a buffer that a layer uses.</summary>
    public nint Buffer(int buffer, long layer)
    {
        BufferPlacement placement = Plan.Buffers[buffer];
        return bases[(int)placement.Arena] + (nint)(placement.Offset + (Instance(buffer, layer) * placement.Stride));
    }

    /// <summary>Address of one instance of a parameter in one of the parameter arenas.</summary>
    public nint Parameter(ArenaKind arena, int parameter, long layer)
    {
        ParameterPlacement placement = Plan.Parameters[parameter];
        if ((ulong)layer >= (ulong)placement.Instances)
        {
            throw new ArgumentOutOfRangeException(
                nameof(layer), layer, $"Parameter '{Plan.Definition.Parameters[parameter].Name}' has {placement.Instances} instances.");
        }

        return bases[(int)arena] + (nint)Plan.ParameterOffset(arena, parameter, layer);
    }

    /// <summary>Address of one slot of a scale family in a workspace part of four bytes per slot.</summary>
    public nint ScaleSlot(WorkspacePart part, int scale, long layer)
    {
        long slot = Plan.ScaleFirstSlots[scale] + layer;
        long end = scale + 1 < Plan.ScaleFirstSlots.Count ? Plan.ScaleFirstSlots[scale + 1] : Plan.ScaleSlots;
        return layer >= 0 && slot < end
            ? Workspace(part) + (nint)(slot * sizeof(float))
            : throw new ArgumentOutOfRangeException(nameof(layer), layer, $"Scale family '{Plan.Program.Scales[scale].Name}' has no such layer.");
    }

    /// <summary>Address of one slot of the statistics of a cast.</summary>
    public nint CastSlot(int cast, long layer)
    {
        return layer >= 0 && layer < Plan.Program.Casts[cast].Layers(Plan.Dims)
            ? CastAddress(Plan.CastFirstSlots[cast] + layer)
            : throw new ArgumentOutOfRangeException(nameof(layer), layer, $"Cast '{Plan.Program.Casts[cast].Name}' has no such layer.");
    }

    /// <summary>Address of the first slot of what the optimizer stores.</summary>
    public nint StateCasts => CastAddress(Plan.FirstStateCast);

    private nint CastAddress(long slot) => Workspace(WorkspacePart.CastStatistics) + (nint)(slot * Unsafe.SizeOf<Numerics.CastStatistics>());

    /// <summary>What lies at an address, for messages: arena, place, and the buffers or the parameter that may be meant.</summary>
    public string Describe(nint address)
    {
        foreach (ArenaKind arena in Enum.GetValues<ArenaKind>())
        {
            long offset = address - bases[(int)arena];
            if (bases[(int)arena] != 0 && offset >= 0 && offset < Plan.Bytes(arena))
            {
                IEnumerable<string> names = arena is ArenaKind.Weights or ArenaKind.Activations ? BuffersAt(arena, offset)
                    : arena == ArenaKind.Workspace ? [Enum.GetValues<WorkspacePart>().Last(part => Plan.Offset(part) <= offset).ToString()]
                    : ParametersAt(arena, offset);
                return FormattableString.Invariant($"0x{address:x}, {arena} + {offset}: {string.Join(" or ", names)}");
            }
        }

        return FormattableString.Invariant($"{address} (0x{address:x})");
    }

    private IEnumerable<string> BuffersAt(ArenaKind arena, long offset)
    {
        for (int i = 0; i < Plan.Buffers.Count; i++)
        {
            BufferPlacement place = Plan.Buffers[i];
            long within = offset - place.Offset;
            if (place.Arena == arena && place.Stride > 0 && within >= 0 && within < place.Stride * place.Instances)
            {
                BufferInfo buffer = Plan.Program.Buffers[i];
                yield return FormattableString.Invariant(
                    $"{buffer.Name}[{within / place.Stride}] + {within % place.Stride} ({buffer.Elements(Plan.Dims)} {buffer.Format})");
            }
        }
    }

    private IEnumerable<string> ParametersAt(ArenaKind arena, long offset)
    {
        for (int i = 0; i < Plan.Parameters.Count; i++)
        {
            ParameterPlacement place = Plan.Parameters[i];
            long within = (offset - Plan.ParameterOffset(arena, i, 0)) / Plan.Program.FormatsOf(i).Of(arena).Bytes();
            if (offset >= Plan.ParameterOffset(arena, i, 0) && within < place.Stride * place.Instances)
            {
                ParameterInfo parameter = Plan.Definition.Parameters[i];
                yield return FormattableString.Invariant(
                    $"{parameter.InstanceName(within / place.Stride)} + {within % place.Stride} [{string.Join(" x ", parameter.Shape(Plan.Dims))}]");
            }
        }
    }
}
