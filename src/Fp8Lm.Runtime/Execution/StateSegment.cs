using System;
using System.Runtime.InteropServices;

namespace Fp8Lm.Execution;

/// <summary>
/// One parameter instance in the arenas of the optimizer, for kernels that work on all of them at once. The layout is repeated in
/// <c>fp8lm/optim/segment.cuh</c>.
/// </summary>
[StructLayout(LayoutKind.Sequential)]
public struct StateSegment
{
    /// <summary>Elements that a block of threads takes at a time.</summary>
    public const int TileElements = 2048;

    /// <summary>Offset in <see cref="ArenaKind.Master"/>, bytes.</summary>
    public long Master;
    /// <summary>Offset in <see cref="ArenaKind.Gradients"/>, bytes.</summary>
    public long Gradient;
    /// <summary>Offset in <see cref="ArenaKind.FirstMoment"/>, bytes.</summary>
    public long FirstMoment;
    /// <summary>Offset in <see cref="ArenaKind.SecondMoment"/>, bytes.</summary>
    public long SecondMoment;
    /// <summary>Tiles of all segments before this one.</summary>
    public long FirstTile;
    /// <summary>Elements with the zeros up to the next multiple of <see cref="MemoryPlan.ParameterAlignment"/>.</summary>
    public long Elements;
    /// <summary>Slot of the scale of its FP8 copies; -1: none.</summary>
    public int WeightSlot;
    /// <summary>What holds for it, and in the upper half how many of <see cref="Elements"/> are no elements of the parameter (<see cref="Padding"/>).</summary>
    public StateSegmentTraits Traits;
    /// <summary>Number of its first group of 128 elements, where moments are in groups (<see cref="ParameterFormats.Grouped"/>).</summary>
    public long FirstGroup;

    private const int PaddingShift = 16;

    /// <summary>Zeros behind the elements of the parameter; not counted in sampled steps.</summary>
    public readonly int Padding => (int)((uint)Traits >> PaddingShift);

    /// <summary><see cref="Traits"/> with a padding.</summary>
    internal static StateSegmentTraits Pad(StateSegmentTraits traits, int padding) => traits | (StateSegmentTraits)((uint)padding << PaddingShift);
}

/// <summary>What holds for a segment.</summary>
[Flags]
public enum StateSegmentTraits : uint
{
    /// <summary>Nothing.</summary>
    None = 0,
    /// <summary>Weight decay applies.</summary>
    Decays = 1,
    /// <summary>Master and gradient have the recipe's formats; those of others are F32.</summary>
    Linear = 2,
}
