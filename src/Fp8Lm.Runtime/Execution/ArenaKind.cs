namespace Fp8Lm.Execution;

/// <summary>The blocks of memory of a session; a back end allocates one block per arena.</summary>
public enum ArenaKind
{
    /// <summary>Copies of weights in the formats kernels read, and whatever else lives as long as the session.</summary>
    Weights,
    /// <summary>Master weights, in the formats of <see cref="ModelProgram.ParameterFormats"/>.</summary>
    Master,
    /// <summary>Gradients; cleared at the start of a step.</summary>
    Gradients,
    /// <summary>First moments.</summary>
    FirstMoment,
    /// <summary>Second moments.</summary>
    SecondMoment,
    /// <summary>Saved values, values in flight and scratch of kernels; intervals share memory.</summary>
    Activations,
    /// <summary>Batch, step state, FP8 scales and histories, reduction scratch.</summary>
    Workspace,
}
