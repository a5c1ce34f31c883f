using System;
using System.Linq;
using Fp8Lm.Execution;

namespace Fp8Lm.CommandLine;

/// <summary>Finds sizes and recipes by the names that users type.</summary>
internal static class ModelChoice
{
    public static ModelSizeInfo Size(ModelDefinition definition, string name) =>
        AppOptions.Choice("--size", name, [.. definition.Sizes.Select(s => (s.Name, s))]);

    public static ModelProgram Program(ModelDefinition definition, string recipe) =>
        definition.Program(AppOptions.Choice("--recipe", recipe, [.. definition.Recipes.Select(r => (r, r))]));

    public static DimBinding Bind(ModelSizeInfo size, long microBatch, long sequence) => new([microBatch, sequence, .. size.Values]);

    /// <summary>Letters and digits of a name in lower case, with single dashes for the rest: fit for a folder.</summary>
    public static string FolderName(params ReadOnlySpan<string> parts) => string.Join('-', parts.ToArray().Select(
        p => string.Concat(p.Select(c => char.IsAsciiLetterOrDigit(c) ? char.ToLowerInvariant(c) : '-'))));
}
