namespace Fp8Lm.Execution;

/// <summary>Where the instances of a buffer lie.</summary>
/// <param name="Arena">Its arena.</param>
/// <param name="Offset">Offset of instance 0.</param>
/// <param name="Stride">Bytes from one instance to the next.</param>
/// <param name="Instances">How many instances there are.</param>
/// <param name="Bytes">Bytes of one instance, without alignment.</param>
public readonly record struct BufferPlacement(ArenaKind Arena, long Offset, long Stride, long Instances, long Bytes);

/// <summary>Where the instances of a parameter lie in each of the four parameter arenas.</summary>
/// <param name="Offset">Element offset of instance 0.</param>
/// <param name="Stride">Elements from one instance to the next.</param>
/// <param name="Instances">How many instances there are.</param>
/// <param name="Elements">Elements of one instance, without alignment.</param>
public readonly record struct ParameterPlacement(long Offset, long Stride, long Instances, long Elements);
