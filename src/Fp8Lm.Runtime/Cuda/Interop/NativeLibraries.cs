using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Fp8Lm.Cuda.Interop;

/// <summary>
/// Finds the native libraries behind this assembly's imports. A library is looked for where its environment variable says, then by
/// the loader's own rules, then in the folders where CUDA installations put it, so that no LD_LIBRARY_PATH is needed.
/// </summary>
internal static class NativeLibraries
{
    public const string Driver = "fp8lm:cuda";
    public const string Nvrtc = "fp8lm:nvrtc";

    private static readonly Dictionary<string, nint> Handles = [];
    private static readonly Dictionary<string, string> Paths = [];

    /// <summary>One resolver per assembly is all the runtime allows, hence the initializer instead of a call at first use.</summary>
#pragma warning disable CA2255 // A static constructor in every import class instead would register the resolver twice, which throws.
    [ModuleInitializer]
#pragma warning restore CA2255
    internal static void Register() => NativeLibrary.SetDllImportResolver(typeof(NativeLibraries).Assembly, Resolve);

    /// <summary>Whether a library can be loaded; otherwise a sentence that says where it was looked for.</summary>
    public static bool TryLoad(string name, out string problem)
    {
        lock (Handles)
        {
            if (Handles.ContainsKey(name))
            {
                problem = "";
                return true;
            }

            foreach (string path in CandidatesOf(name).Paths)
            {
                if (TryOpen(path, out nint handle))
                {
                    Handles.Add(name, handle);
                    Paths.Add(name, path);
                    problem = "";
                    return true;
                }
            }

            problem = NotFound(name);
            return false;
        }
    }

    /// <summary>What to say of a library that is not there.</summary>
    public static string NotFound(string name)
    {
        Candidates candidates = CandidatesOf(name);
        return $"{candidates.What} was not found. Looked at {candidates.Variable}, the loader's path and {candidates.Folders}. {candidates.Advice}";
    }

    /// <summary>The path or name under which a loaded library was opened.</summary>
    public static string PathOf(string name)
    {
        lock (Handles)
        {
            return Paths.TryGetValue(name, out string? path) ? path : "";
        }
    }

    /// <summary>What to say of a library that lacks a function.</summary>
    public static string Incomplete(string name, EntryPointNotFoundException exception)
    {
        Candidates candidates = CandidatesOf(name);
        return $"{PathOf(name)} is not what is needed, {candidates.What}, or too old: {exception.Message} {candidates.Advice}";
    }

    private static nint Resolve(string name, Assembly assembly, DllImportSearchPath? searchPath)
    {
        if (name is not (Driver or Nvrtc))
        {
            return 0;
        }

        if (!TryLoad(name, out string problem))
        {
            throw new DllNotFoundException(problem);
        }

        lock (Handles)
        {
            return Handles[name];
        }
    }

    private static bool TryOpen(string path, out nint handle)
    {
        // NVRTC opens its builtins by bare name; having them loaded from the same folder first spares a search path.
        if (Path.IsPathRooted(path))
        {
            if (!File.Exists(path))
            {
                handle = 0;
                return false;
            }

            if (Path.GetFileName(path).Contains("nvrtc", StringComparison.Ordinal))
            {
                foreach (string builtins in Matches(Path.GetDirectoryName(path)!, "libnvrtc-builtins.so.*"))
                {
                    _ = NativeLibrary.TryLoad(builtins, out _);
                }
            }
        }

        return NativeLibrary.TryLoad(path, out handle);
    }

    private static Candidates CandidatesOf(string name) => name == Nvrtc ? NvrtcCandidates() : DriverCandidates();

    private static Candidates NvrtcCandidates()
    {
        const string Variable = "FP8LM_NVRTC";
        string[] names = OperatingSystem.IsWindows()
            ? ["nvrtc64_130_0.dll", "nvrtc64_120_0.dll"]
            : ["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"];
        List<string> folders = [AppContext.BaseDirectory];
        folders.AddRange(CudaFolders());
        string home = Environment.GetFolderPath(Environment.SpecialFolder.UserProfile);
        foreach (string root in new[] { Path.Combine(home, ".cache", "fp8lm", "nvrtc"), "/opt/fp8lm-nvrtc" })
        {
            folders.Add(root);
            folders.Add(Path.Combine(root, "usr", "lib", "x86_64-linux-gnu"));
        }

        return new Candidates(
            "NVRTC (libnvrtc 12.4 or newer)", Variable, [.. FromVariable(Variable, names), .. names, .. folders.SelectMany(_ => names, Path.Combine)],
            "/usr/local/cuda*, ~/.cache/fp8lm/nvrtc, /opt/fp8lm-nvrtc",
            $"Install the CUDA toolkit's NVRTC, or run eng/get-nvrtc.sh and set {Variable} to the library or its folder.");
    }

    private static Candidates DriverCandidates()
    {
        const string Variable = "FP8LM_CUDA_DRIVER";
        string[] names = OperatingSystem.IsWindows() ? ["nvcuda.dll"] : ["libcuda.so.1", "libcuda.so"];
        string[] folders = ["/usr/local/nvidia/lib64", "/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib/wsl/lib"];
        return new Candidates(
            "The NVIDIA driver library (libcuda)", Variable, [.. FromVariable(Variable, names), .. names, .. folders.SelectMany(_ => names, Path.Combine)],
            string.Join(", ", folders), $"Install the NVIDIA driver, or set {Variable} to the library; without a GPU use the CPU back end.");
    }

    private static IEnumerable<string> FromVariable(string variable, string[] names)
    {
        string? value = Environment.GetEnvironmentVariable(variable);
        if (string.IsNullOrEmpty(value))
        {
            return [];
        }

        string full = Path.GetFullPath(value);
        return Directory.Exists(full) ? names.Select(name => Path.Combine(full, name)) : [full];
    }

    /// <summary>Installation folders of CUDA, newest first.</summary>
    private static IEnumerable<string> CudaFolders()
    {
        string? home = Environment.GetEnvironmentVariable("CUDA_HOME") ?? Environment.GetEnvironmentVariable("CUDA_PATH");
        IEnumerable<string> roots = Directory.Exists("/usr/local")
            ? Directory.EnumerateDirectories("/usr/local", "cuda*").OrderDescending(StringComparer.Ordinal)
            : [];
        foreach (string root in home is null ? roots : roots.Prepend(home))
        {
            yield return Path.Combine(root, "lib64");
            yield return Path.Combine(root, "targets", "x86_64-linux", "lib");
            yield return Path.Combine(root, "bin");
        }
    }

    private static IEnumerable<string> Matches(string folder, string pattern)
        => Directory.Exists(folder) ? Directory.EnumerateFiles(folder, pattern) : [];

    private readonly record struct Candidates(string What, string Variable, IReadOnlyList<string> Paths, string Folders, string Advice);
}
