using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Linq;

namespace Fp8Lm.Checkpoints;

/// <summary>
/// The folder of a training run, held by one process at a time: checkpoints named by step, the newest of which are kept. There is no pointer
/// to the latest one that could be wrong: complete files are found by looking.
/// </summary>
public sealed class RunFolder : IDisposable
{
    private const string Prefix = "checkpoint-";
    private const string Ending = ".safetensors";

    private readonly FileStream holder;

    private RunFolder(string path, FileStream holder)
    {
        Path = path;
        this.holder = holder;
    }

    /// <summary>Path of the folder.</summary>
    public string Path { get; }

    /// <summary>Creates the folder if need be, takes hold of it, tries a write, and removes what interrupted saves left.</summary>
    /// <exception cref="IOException">The folder cannot be created or written, or another process trains in it.</exception>
    public static RunFolder Open(string path)
    {
        string full = System.IO.Path.GetFullPath(path);
        FileStream? holder = null;
        try
        {
            Directory.CreateDirectory(full);

            // The operating system gives the lock back when the process dies, however it dies.
            holder = new FileStream(System.IO.Path.Combine(full, ".lock"), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
            foreach (string left in Directory.EnumerateFiles(full, "*" + AtomicFile.TemporaryEnding))
            {
                File.Delete(left);
            }

            AtomicFile.Write(System.IO.Path.Combine(full, ".probe"), 0, stream => stream.WriteByte(1));
            File.Delete(System.IO.Path.Combine(full, ".probe"));
            return new RunFolder(full, holder);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            holder?.Dispose();
            throw new IOException(
                $"Cannot use {full} as the folder of the run: {failure.Message} Choose another folder with --out, or end the process that trains in it.", failure);
        }
    }

    /// <summary>Path of the checkpoint of a step.</summary>
    public string CheckpointPath(long step) => System.IO.Path.Combine(Path, string.Create(CultureInfo.InvariantCulture, $"{Prefix}{step:D8}{Ending}"));

    /// <summary>Checkpoints of a folder, newest first.</summary>
    public static IReadOnlyList<(long Step, string Path)> Checkpoints(string folder)
    {
        if (!Directory.Exists(folder))
        {
            return [];
        }

        var found = new List<(long Step, string Path)>();
        foreach (string file in Directory.EnumerateFiles(folder, Prefix + "*" + Ending))
        {
            string number = System.IO.Path.GetFileName(file)[Prefix.Length..^Ending.Length];
            if (long.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out long step))
            {
                found.Add((step, file));
            }
        }

        return [.. found.OrderByDescending(c => c.Step)];
    }

    /// <summary>
    /// Deletes all but the newest <paramref name="count"/> checkpoints up to <paramref name="step"/>, the one just written, and the newest one up to <paramref name="good"/>.
    /// </summary>
    public void Keep(int count, long step, long good = -1)
    {
        List<(long Step, string Path)> written = [.. Checkpoints(Path).Where(c => c.Step <= step)];
        string? kept = written.Find(c => c.Step <= good).Path;
        foreach ((_, string old) in written.Skip(count).Where(c => c.Path != kept))
        {
            AtomicFile.TryDelete(old);
        }
    }

    /// <summary>Deletes the checkpoints behind a step: training went back to it.</summary>
    public void DeleteAfter(long step)
    {
        foreach ((_, string later) in Checkpoints(Path).Where(c => c.Step > step))
        {
            AtomicFile.TryDelete(later);
        }
    }

    /// <summary>Path of the newest checkpoint of a folder up to a step; null: none.</summary>
    public static string? NewestUpTo(string folder, long step) => Checkpoints(folder).Where(c => c.Step <= step).Select(c => c.Path).FirstOrDefault();

    /// <summary>
    /// Tries checkpoints from the newest to the oldest until one loads.
    /// </summary>
    /// <param name="folder">The folder.</param>
    /// <param name="load">Loads a checkpoint or throws <see cref="CheckpointException"/>.</param>
    /// <param name="note">Gets a line about each damaged checkpoint that was passed over.</param>
    /// <param name="most">Later steps are not tried.</param>
    /// <returns>Path of the one that loaded; null when there is none at all.</returns>
    /// <exception cref="CheckpointException">There are checkpoints, and none of them loads.</exception>
    public static string? LoadNewest(string folder, Action<string> load, Action<string> note, long most = long.MaxValue)
    {
        ArgumentNullException.ThrowIfNull(load);
        ArgumentNullException.ThrowIfNull(note);
        IReadOnlyList<(long Step, string Path)> checkpoints = [.. Checkpoints(folder).Where(c => c.Step <= most)];
        var failures = new List<string>();
        foreach ((_, string path) in checkpoints)
        {
            try
            {
                load(path);
                foreach (string failure in failures)
                {
                    note($"A newer checkpoint could not be used: {failure} Continuing from {System.IO.Path.GetFileName(path)}.");
                }

                return path;
            }
            catch (Exception failure) when (failure is CheckpointException or IOException)
            {
                failures.Add(failure.Message);
            }
        }

        return checkpoints.Count == 0
            ? null
            : throw new CheckpointException($"None of the {checkpoints.Count} checkpoints in {folder} can be used:{string.Concat(failures.Select(f => Environment.NewLine + "  " + f))}");
    }

    /// <inheritdoc/>
    public void Dispose() => holder.Dispose();
}
