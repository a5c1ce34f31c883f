using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;

namespace Fp8Lm.Data;

/// <summary>Makes a corpus from what the user names: files, folders, or the API documentation of the installed .NET SDK.</summary>
public static class CorpusLoader
{
    private const int Beginning = 4096;

    /// <summary>
    /// Loads files and folders (recursively, in ordinal order of their paths); without any, the API documentation of the SDK.
    /// </summary>
    /// <param name="paths">Files and folders.</param>
    /// <param name="note">Gets a line about each file that is skipped.</param>
    /// <exception cref="DataException">A path does not exist, or there is no text at all.</exception>
    public static ByteCorpus Load(IReadOnlyList<string> paths, Action<string> note)
    {
        ArgumentNullException.ThrowIfNull(paths);
        ArgumentNullException.ThrowIfNull(note);
        return paths.Count == 0 ? ApiDocumentation.Load() : LoadFiles(paths, note);
    }

    /// <summary>
    /// Splits a corpus: the last <paramref name="fraction"/> of it is held out, at least one sequence and at most what leaves one for training.
    /// </summary>
    /// <param name="corpus">All tokens.</param>
    /// <param name="sequence">Tokens of a training sequence.</param>
    /// <param name="fraction">Part to hold out; 0 for none.</param>
    /// <returns>The training part, and the validation part or null when there is none or the corpus is too short for two.</returns>
    /// <exception cref="DataException">The corpus is shorter than one sequence and the label of its last token.</exception>
    public static (ITokenSource Training, ITokenSource? Validation) Split(ITokenSource corpus, long sequence, double fraction)
    {
        ArgumentNullException.ThrowIfNull(corpus);
        long needed = sequence + 1;
        if (corpus.Count < needed)
        {
            throw new DataException(
                $"The data has {corpus.Count} tokens; one sequence needs {needed} (--sequence {sequence} and one more for the last label). Give more text or a shorter --sequence.");
        }

        long held = fraction <= 0 ? 0 : Math.Max(needed, (long)(corpus.Count * fraction));
        return held == 0 || corpus.Count - held < needed
            ? (corpus, null)
            : (new TokenRange(corpus, 0, corpus.Count - held), new TokenRange(corpus, corpus.Count - held, held));
    }

    private static ByteCorpus LoadFiles(IReadOnlyList<string> paths, Action<string> note)
    {
        var corpus = new ByteCorpus();
        try
        {
            int files = 0;
            foreach (string file in paths.SelectMany(Expand))
            {
                files++;
                AddFile(corpus, file, note);
            }

            return corpus.Count > 0
                ? corpus
                : throw new DataException($"No text in {string.Join(", ", paths)}: looked at {files} files, all empty or binary.");
        }
        catch
        {
            corpus.Dispose();
            throw;
        }
    }

    private static IEnumerable<string> Expand(string path)
    {
        if (Directory.Exists(path))
        {
            // Hidden files (.git, editors' droppings) are not text that anyone meant.
            var options = new EnumerationOptions { RecurseSubdirectories = true, AttributesToSkip = FileAttributes.Hidden | FileAttributes.System, IgnoreInaccessible = true };
            return Directory.EnumerateFiles(path, "*", options).Order(StringComparer.Ordinal);
        }

        return File.Exists(path) ? [path] : throw new DataException($"--data {path}: there is no such file or folder.");
    }

    private static void AddFile(ByteCorpus corpus, string path, Action<string> note)
    {
        try
        {
            using FileStream stream = File.OpenRead(path);
            Span<byte> buffer = stackalloc byte[Beginning];
            ReadOnlySpan<byte> beginning = buffer[..stream.ReadAtLeast(buffer, Beginning, throwOnEndOfStream: false)];
            if (beginning.Contains((byte)0))
            {
                note($"Skipped {path}: it looks binary (it has a zero byte among its first {Beginning}).");
                return;
            }

            if (beginning.IsEmpty)
            {
                note($"Skipped {path}: it is empty.");
                return;
            }

            corpus.AddFile(path, beginning, stream.Length);
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            throw new DataException($"Cannot read {path}: {failure.Message}", failure);
        }
    }
}
