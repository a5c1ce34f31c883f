namespace Fp8Lm;

/// <summary>The outcome of an element-wise comparison; the condition of <see cref="Ops.Select(Mask, Tensor, Tensor)"/>.</summary>
public sealed class Mask
{
    private Mask()
    {
    }
}

/// <summary>The token ids of a micro-batch, <c>[micro-batch, sequence]</c>: what a model reads.</summary>
public sealed class Tokens
{
    private Tokens()
    {
    }
}

/// <summary>The ids that a model should predict, <c>[micro-batch, sequence]</c>; negative ones are ignored.</summary>
public sealed class Labels
{
    private Labels()
    {
    }
}

/// <summary>What training minimises; made by <see cref="Ops.CrossEntropy"/>.</summary>
public sealed class Loss
{
    private Loss()
    {
    }
}
