using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;

namespace Fp8Lm.Checkpoints;

/// <summary>What a checkpoint says besides tensors; stored as text in the file's metadata. Nothing here depends on clock or machine.</summary>
public sealed record CheckpointState
{
    /// <summary>Version of the layout that is written; others are refused.</summary>
    public const string Version = "1";

    private const string Format = "fp8lm-checkpoint";
    private const string SettingPrefix = "setting.";
    private const string GuardPrefix = "guard.";

    /// <summary>Name of the model class.</summary>
    public required string Model { get; init; }

    /// <summary>Recipe it was trained with.</summary>
    public required string Recipe { get; init; }

    /// <summary>Names and values of the model's dimensions.</summary>
    public required IReadOnlyList<KeyValuePair<string, long>> Dims { get; init; }

    /// <summary>Completed steps.</summary>
    public long Step { get; init; }

    /// <summary>Completed steps that changed the weights (steps skipped for non-finite gradients are not counted).</summary>
    public long Updates { get; init; }

    /// <summary>Tokens seen.</summary>
    public long Tokens { get; init; }

    /// <summary>Whatever else decides the numbers of the run, by name; a resumed run compares them.</summary>
    public required IReadOnlyDictionary<string, string> Settings { get; init; }

    /// <summary>What the guards of the run have seen and decided: recent losses, skipped steps, rewinds; empty in checkpoints of before there were guards.</summary>
    public IReadOnlyDictionary<string, string> Guards { get; init; } = new Dictionary<string, string>();

    /// <summary>What gradients that are reduced in FP8 over replicas need again; null without such, and in checkpoints of before there were replicas. Not part of <see cref="TrainingCheckpoint.ReadState"/>.</summary>
    public SavedReduction? Reduction { get; init; }

    internal Dictionary<string, string> ToMetadata()
    {
        var metadata = new Dictionary<string, string>(StringComparer.Ordinal)
        {
            ["format"] = Format,
            ["version"] = Version,
            ["model"] = Model,
            ["recipe"] = Recipe,
            ["dims"] = string.Join(',', Dims.Select(d => FormattableString.Invariant($"{d.Key}={d.Value}"))),
            ["step"] = Step.ToString(CultureInfo.InvariantCulture),
            ["updates"] = Updates.ToString(CultureInfo.InvariantCulture),
            ["tokens"] = Tokens.ToString(CultureInfo.InvariantCulture),
        };
        foreach ((string key, string value) in Settings.OrderBy(s => s.Key, StringComparer.Ordinal))
        {
            metadata.Add(SettingPrefix + key, value);
        }

        foreach ((string key, string value) in Guards.OrderBy(s => s.Key, StringComparer.Ordinal))
        {
            metadata.Add(GuardPrefix + key, value);
        }

        foreach ((string key, string value) in Reduction?.Metadata() ?? [])
        {
            metadata.Add(key, value);
        }

        return metadata;
    }

    internal static CheckpointState FromMetadata(IReadOnlyDictionary<string, string> metadata)
    {
        if (Text(metadata, "format") != Format)
        {
            throw new CheckpointException($"The file's format is {CheckpointException.Quote(Text(metadata, "format"))}; expected '{Format}'.");
        }

        if (Text(metadata, "version") != Version)
        {
            throw new CheckpointException($"The checkpoint has version {CheckpointException.Quote(Text(metadata, "version"))}; this program reads version {Version}.");
        }

        return new CheckpointState
        {
            Model = Text(metadata, "model"),
            Recipe = Text(metadata, "recipe"),
            Dims = [.. Text(metadata, "dims").Split(',', StringSplitOptions.RemoveEmptyEntries).Select(ReadDim)],
            Step = Number(metadata, "step"),
            Updates = Number(metadata, "updates"),
            Tokens = Number(metadata, "tokens"),
            Settings = Under(metadata, SettingPrefix),
            Guards = Under(metadata, GuardPrefix),
        };
    }

    private static Dictionary<string, string> Under(IReadOnlyDictionary<string, string> metadata, string prefix) =>
        metadata.Where(m => m.Key.StartsWith(prefix, StringComparison.Ordinal)).ToDictionary(m => m.Key[prefix.Length..], m => m.Value, StringComparer.Ordinal);

    private static KeyValuePair<string, long> ReadDim(string text)
    {
        string[] parts = text.Split('=');
        return parts.Length == 2 && long.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out long value)
            ? KeyValuePair.Create(parts[0], value)
            : throw new CheckpointException($"Metadata 'dims' has {CheckpointException.Quote(text)} where NAME=NUMBER should be.");
    }

    private static string Text(IReadOnlyDictionary<string, string> metadata, string key) =>
        metadata.TryGetValue(key, out string? value) ? value : throw new CheckpointException($"Metadata '{key}' is missing: this is not a checkpoint of this library.");

    private static long Number(IReadOnlyDictionary<string, string> metadata, string key) =>
        long.TryParse(Text(metadata, key), NumberStyles.None, CultureInfo.InvariantCulture, out long value)
            ? value
            : throw new CheckpointException($"Metadata '{key}' is {CheckpointException.Quote(Text(metadata, key))}; expected a number.");
}
