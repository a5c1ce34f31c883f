namespace Fp8Lm.Generators;

/// <summary>Names of the generator's steps, for tests of what an edit re-runs.</summary>
internal static class TrackingNames
{
    /// <summary>The user's class as a ModelSpec.</summary>
    public const string Read = nameof(Read);

    /// <summary>The sources.</summary>
    public const string Compile = nameof(Compile);
}
