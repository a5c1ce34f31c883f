using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using System.Runtime.InteropServices;
using Fp8Lm.Collectives;

namespace Fp8Lm.Checkpoints;

/// <summary>
/// What a checkpoint holds of a gradient reduction: <c>reduction.mu.NAME</c> (F64) and <c>reduction.scale.NAME</c> (F32) for each parameter whose gradients travel in FP8, an element per
/// layer, and beside them in the metadata version, ranks, mode and steps. By name, so that a run with another recipe finds those that it has too.
/// </summary>
/// <param name="Ranks">Ranks that the reduction had.</param>
/// <param name="Mode">Its <see cref="ReductionMode"/>.</param>
/// <param name="Steps">Reductions so far.</param>
/// <param name="Tensors">What is kept of each parameter, by the name that has a <c>*</c> for the layer.</param>
public sealed record SavedReduction(int Ranks, string Mode, long Steps, IReadOnlyDictionary<string, ReductionFactors> Tensors)
{
    /// <summary>Version of the layout that is written; others are refused.</summary>
    public const string Version = "1";

    private const string Prefix = "reduction.";
    private const string Mu = Prefix + "mu.";
    private const string Scale = Prefix + "scale.";

    internal IEnumerable<KeyValuePair<string, string>> Metadata() =>
    [
        KeyValuePair.Create(Prefix + "mode", Mode),
        KeyValuePair.Create(Prefix + "ranks", Ranks.ToString(CultureInfo.InvariantCulture)),
        KeyValuePair.Create(Prefix + "steps", Steps.ToString(CultureInfo.InvariantCulture)),
        KeyValuePair.Create(Prefix + "version", Version),
    ];

    internal IEnumerable<TensorToWrite> ToWrite()
    {
        foreach ((string name, ReductionFactors factors) in Tensors.OrderBy(t => t.Key, StringComparer.Ordinal))
        {
            yield return Tensor<double>(Mu + name, "F64", factors.Mu);
            yield return Tensor<float>(Scale + name, "F32", factors.Scale);
        }
    }

    /// <summary>Reads what a file holds; null when it was written without a reduction in FP8.</summary>
    internal static SavedReduction? Read(SafetensorsFile file)
    {
        IReadOnlyDictionary<string, string> metadata = file.Header.Metadata;
        if (!metadata.TryGetValue(Prefix + "version", out string? version))
        {
            return null;
        }

        if (version != Version)
        {
            throw new CheckpointException($"{file.Path}: the state of the gradient reduction has version {CheckpointException.Quote(version)}; this program reads version {Version}. Use the program that wrote it.");
        }

        var tensors = new Dictionary<string, ReductionFactors>(StringComparer.Ordinal);
        foreach (TensorEntry entry in file.Header.Tensors.Values.Where(t => t.Name.StartsWith(Mu, StringComparison.Ordinal)))
        {
            string name = entry.Name[Mu.Length..];
            long layers = entry.Shape.Count == 1 ? entry.Shape[0] : 1;
            var factors = new ReductionFactors(Values<double>(file, Mu + name, "F64", layers), Values<float>(file, Scale + name, "F32", layers));
            tensors.Add(name, factors.Mu.All(m => m > 0 && double.IsFinite(m)) && factors.Scale.All(s => s > 0 && float.IsFinite(s))
                ? factors
                : throw new CheckpointException($"{file.Path}: a factor or scale of the gradient reduction of {CheckpointException.Quote(name)} is not a positive number. The checkpoint is damaged: use another."));
        }

        return new SavedReduction((int)Number(file, "ranks", 1, int.MaxValue), Text(file, "mode"), Number(file, "steps", 0, long.MaxValue), tensors);
    }

    private static TensorToWrite Tensor<T>(string name, string type, T[] values) where T : unmanaged =>
        new(name, type, [values.Length], (offset, bytes) => MemoryMarshal.AsBytes(values.AsSpan()).Slice((int)offset, bytes.Length).CopyTo(bytes));

    private static T[] Values<T>(SafetensorsFile file, string name, string type, long count) where T : unmanaged
    {
        TensorEntry entry = file.Require(name, type, count);
        T[] values = new T[count];
        file.Read(entry, (offset, bytes) => bytes.CopyTo(MemoryMarshal.AsBytes(values.AsSpan())[(int)offset..]));
        return values;
    }

    private static string Text(SafetensorsFile file, string key) => file.Header.Metadata.TryGetValue(Prefix + key, out string? text)
        ? text
        : throw new CheckpointException($"{file.Path}: metadata '{Prefix}{key}' is missing.");

    private static long Number(SafetensorsFile file, string key, long least, long most) =>
        long.TryParse(Text(file, key), NumberStyles.None, CultureInfo.InvariantCulture, out long value) && value >= least && value <= most
            ? value
            : throw new CheckpointException($"{file.Path}: metadata '{Prefix}{key}' is {CheckpointException.Quote(Text(file, key))}; expected a whole number of at least {least}.");
}

/// <summary>The factors of a parameter's gradients, by layer.</summary>
/// <param name="Mu">mu, or the fixed factor.</param>
/// <param name="Scale">The power of two from the amax, which stays while a gradient is zero.</param>
public sealed record ReductionFactors(double[] Mu, float[] Scale);
