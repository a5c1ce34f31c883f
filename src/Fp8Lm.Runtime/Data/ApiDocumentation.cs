using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Runtime.InteropServices;
using System.Text;

namespace Fp8Lm.Data;

/// <summary>
/// The default corpus: English text that every .NET SDK has on disk, the API documentation XML files of its reference packs. A document is the
/// text of one type and its members; documents are in the order of a hash of their names, so that the held-out tail is a fair sample.
/// </summary>
public static class ApiDocumentation
{
    /// <summary>Loads the text of the newest version of each reference pack.</summary>
    /// <exception cref="DataException">No SDK with reference packs was found; the message lists the places.</exception>
    public static ByteCorpus Load()
    {
        string[] roots = [.. DotnetRoots().Distinct(StringComparer.Ordinal)];
        foreach (string root in roots)
        {
            List<string> files = FindFiles(root);
            if (files.Count > 0)
            {
                return Load(files);
            }
        }

        throw new DataException(
            "No training text: give files or folders with --data. Without it the API documentation of the .NET SDK's reference packs is used "
            + $"(packs/*/*/ref/*/*.xml), and none was found under {string.Join(", ", roots)}.");
    }

    /// <summary>Makes a corpus of documentation files.</summary>
    internal static ByteCorpus Load(IEnumerable<string> files)
    {
        var types = new SortedDictionary<string, List<string>>(StringComparer.Ordinal);
        var seen = new HashSet<string>(StringComparer.Ordinal);

        // Files are parsed side by side and merged in order.
        foreach (List<(string Type, string Paragraph)> file in files.AsParallel().AsOrdered().Select(f => DocumentationText.Read(f).ToList()))
        {
            foreach ((string type, string paragraph) in file)
            {
                if (seen.Add(paragraph))
                {
                    if (!types.TryGetValue(type, out List<string>? paragraphs))
                    {
                        types.Add(type, paragraphs = []);
                    }

                    paragraphs.Add(paragraph);
                }
            }
        }

        var corpus = new ByteCorpus();
        foreach ((_, List<string> paragraphs) in types.OrderBy(t => Hash(t.Key)))
        {
            corpus.Add(Encoding.UTF8.GetBytes(string.Join('\n', paragraphs)));
        }

        return corpus;
    }

    /// <summary>Documentation files of the newest version of each pack under a .NET root, in ordinal order of their names.</summary>
    internal static List<string> FindFiles(string root)
    {
        var files = new List<string>();
        var seen = new HashSet<(string Name, long Length)>();
        foreach (string pack in Folders(Path.Combine(root, "packs")))
        {
            // Versions compare as numbers: 10.0.2 is newer than 9.0.10.
            string? newest = Folders(pack).OrderBy(v => Version.TryParse(Path.GetFileName(v).Split('-')[0], out Version? parsed) ? parsed : new Version())
                .ThenBy(v => v, StringComparer.Ordinal).LastOrDefault();
            foreach (string framework in newest is null ? [] : Folders(Path.Combine(newest, "ref")))
            {
                // Packs repeat each other's files; paragraphs are told apart later, but parsing thirty megabytes twice would take a second.
                files.AddRange(Directory.EnumerateFiles(framework, "*.xml").Order(StringComparer.Ordinal)
                    .Where(f => seen.Add((Path.GetFileName(f), new FileInfo(f).Length))));
            }
        }

        return files;
    }

    private static IEnumerable<string> Folders(string path) =>
        Directory.Exists(path) ? Directory.EnumerateDirectories(path).Order(StringComparer.Ordinal) : [];

    /// <summary>Places a .NET installation may be: where this process runs, what the variable says, what the path finds, the usual folders.</summary>
    private static IEnumerable<string> DotnetRoots()
    {
        // The runtime folder is ROOT/shared/Microsoft.NETCore.App/VERSION.
        yield return Path.GetFullPath(Path.Combine(RuntimeEnvironment.GetRuntimeDirectory(), "..", "..", ".."));
        if (Environment.GetEnvironmentVariable("DOTNET_ROOT") is { Length: > 0 } variable)
        {
            yield return Path.GetFullPath(variable);
        }

        string executable = OperatingSystem.IsWindows() ? "dotnet.exe" : "dotnet";
        foreach (string folder in (Environment.GetEnvironmentVariable("PATH") ?? "").Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries))
        {
            var file = new FileInfo(Path.Combine(folder, executable));
            if (file.Exists)
            {
                yield return (file.ResolveLinkTarget(returnFinalTarget: true) ?? file).FullName is { } target ? Path.GetDirectoryName(target)! : folder;
            }
        }

        yield return "/usr/share/dotnet";
        yield return "/usr/lib/dotnet";
    }

    /// <summary>FNV-1a; <see cref="string.GetHashCode()"/> differs from run to run.</summary>
    private static ulong Hash(string text)
    {
        ulong hash = 14695981039346656037;
        foreach (char c in text)
        {
            hash = (hash ^ c) * 1099511628211;
        }

        return hash ^ (hash >> 29);
    }
}
