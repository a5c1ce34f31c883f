using System;
using System.Collections.Concurrent;
using System.Collections.Generic;
using System.Linq;
using System.Threading.Tasks;
using Fp8Lm.Cuda.Interop;

namespace Fp8Lm.Cuda.Jit;

/// <summary>Turns kernel text into machine code: from the disk cache if the very same text was compiled before, else by NVRTC.</summary>
public static class KernelCompiler
{
    /// <summary>Whether NVRTC can be loaded; otherwise a sentence with what was looked for and what to do.</summary>
    public static bool IsAvailable(out string problem)
    {
        if (!NativeLibraries.TryLoad(NativeLibraries.Nvrtc, out problem))
        {
            return false;
        }

        try
        {
            _ = NvrtcCompiler.Version;
            return true;
        }
        catch (CudaException exception)
        {
            problem = exception.Message;
            return false;
        }
        catch (EntryPointNotFoundException exception)
        {
            problem = NativeLibraries.Incomplete(NativeLibraries.Nvrtc, exception);
            return false;
        }
    }

    /// <summary>Compiles one kernel for sm_90a.</summary>
    /// <param name="source">CUDA C++ text; device headers are included as <c>&lt;fp8lm/...&gt;</c>.</param>
    /// <param name="defines">Macros as <c>D_Name=value</c>; those that neither text nor headers mention are left out.</param>
    /// <exception cref="CudaException">NVRTC is missing or the text does not compile; the message holds the log.</exception>
    public static CompiledKernel Compile(string source, IReadOnlyList<string> defines) => Compile(source, defines, CubinCache.Default);

    /// <summary>Compiles with a cache of the caller's choice; null compiles always.</summary>
    internal static CompiledKernel Compile(string source, IReadOnlyList<string> defines, CubinCache? cache)
    {
        if (!IsAvailable(out string problem))
        {
            throw new CudaException(problem);
        }

        KernelText text = KernelText.Of(source, defines);
        IReadOnlyList<string> options = NvrtcCompiler.Options(NvrtcCompiler.Version, text.Defines);
        if (cache is null)
        {
            return NvrtcCompiler.Compile(source, options);
        }

        string key = CacheKey.Compute(NvrtcCompiler.Version, options, DeviceLibrary.Digest(text.Headers), source);
        if (!cache.TryRead(key, out CompiledKernel? kernel))
        {
            kernel = NvrtcCompiler.Compile(source, options);
            cache.Write(key, kernel, source);
        }

        return kernel;
    }

    /// <summary>Compiles many kernels on all cores; results are in the order of the sources.</summary>
    /// <exception cref="CudaException">The first kernel in the list that does not compile.</exception>
    public static IReadOnlyList<CompiledKernel> CompileAll(IReadOnlyList<string> sources, IReadOnlyList<string> defines)
    {
        CompiledKernel[] kernels = new CompiledKernel[sources.Count];
        Exception?[] errors = new Exception?[sources.Count];
        // One at a time to whoever is free: a kernel takes from a tenth of a second to several.
        Parallel.ForEach(Partitioner.Create(Enumerable.Range(0, sources.Count), EnumerablePartitionerOptions.NoBuffering), index =>
        {
            try
            {
                kernels[index] = Compile(sources[index], defines);
            }
            catch (CudaException exception)
            {
                errors[index] = exception;
            }
        });
        foreach (Exception? error in errors)
        {
            if (error is not null)
            {
                throw new CudaException(error.Message, error);
            }
        }

        return kernels;
    }
}
