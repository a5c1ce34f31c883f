using Fp8Lm.Training;

namespace Fp8Lm.CommandLine;

/// <summary>What the command line takes when the user does not say otherwise; a sample sets its own.</summary>
public sealed record AppDefaults
{
    /// <summary>Name of the size; null: the first that the model declares.</summary>
    public string? Size { get; init; }

    /// <summary>Name of the recipe; null: the first that the model was compiled with.</summary>
    public string? Recipe { get; init; }

    /// <summary>Sequences per micro-batch.</summary>
    public int MicroBatch { get; init; } = 8;

    /// <summary>Tokens per sequence.</summary>
    public int Sequence { get; init; } = 128;

    /// <summary>Whether repeated blocks are recomputed in backward.</summary>
    public bool Checkpointing { get; init; }

    /// <summary>Part of the data that is held out.</summary>
    public double ValidationFraction { get; init; } = 0.02;

    /// <summary>Steps, learning rate and so on.</summary>
    public TrainerOptions Training { get; init; } = new();

    /// <summary>Text that generation starts with.</summary>
    public string Prompt { get; init; } = "The ";

    /// <summary>Tokens that are generated after training.</summary>
    public int SampleLength { get; init; } = 300;

    /// <summary>Folder under which runs get their folders.</summary>
    public string Runs { get; init; } = "runs";
}
