using System;
using System.Globalization;
using System.IO;
using System.Linq;
using Fp8Lm.Checkpoints;

namespace Fp8Lm.CommandLine;

/// <summary>
/// Where a run lives. Without <c>--out</c> that is <c>runs/MODEL-SIZE-RECIPE</c>, and a fresh run never writes over an old one: it gets the next
/// free number at the end of the name.
/// </summary>
internal static class RunLocation
{
    /// <summary>Folder of a run that starts or goes on.</summary>
    /// <exception cref="UsageException">The folder the user named has a run, and the user did not ask to resume it.</exception>
    public static string ForTraining(string? given, string runs, string name, bool resume)
    {
        if (given is not null)
        {
            return resume || RunFolder.Checkpoints(given).Count == 0
                ? given
                : throw new UsageException($"{given} has checkpoints of an earlier run. Add --resume to go on with it, or name another folder with --out.");
        }

        string last = Numbered(runs, name, 1);
        for (int number = 1; ; number++)
        {
            string folder = Numbered(runs, name, number);
            if (RunFolder.Checkpoints(folder).Count == 0)
            {
                return resume ? last : folder;
            }

            last = folder;
        }
    }

    /// <summary>The newest checkpoint that reads as one: of a file or folder the user named, or of all runs of the model.</summary>
    /// <exception cref="UsageException">There is none.</exception>
    public static string ForGeneration(string? given, string runs, string model)
    {
        if (given is not null && File.Exists(given))
        {
            return given;
        }

        string[] folders = given is not null ? [given]
            : Directory.Exists(runs) ? [.. Directory.EnumerateDirectories(runs, ModelChoice.FolderName(model) + "-*")]
            : [];
        var newest = folders.SelectMany(RunFolder.Checkpoints).OrderByDescending(c => File.GetLastWriteTimeUtc(c.Path)).ThenByDescending(c => c.Step).FirstOrDefault();
        return newest.Path ?? throw new UsageException(
            given is not null ? $"--from {given}: no checkpoint there." : $"No checkpoint of {model} under {Path.GetFullPath(runs)}. Train first, or name one with --from.");
    }

    private static string Numbered(string runs, string name, int number) =>
        Path.Combine(runs, number == 1 ? name : string.Create(CultureInfo.InvariantCulture, $"{name}-{number}"));
}
