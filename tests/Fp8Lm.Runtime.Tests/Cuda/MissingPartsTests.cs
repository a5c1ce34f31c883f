using System;
using System.IO;
using System.Runtime.InteropServices;
using Fp8Lm.Cuda;
using Fp8Lm.Cuda.Interop;
using Fp8Lm.Cuda.Jit;
using Xunit;

namespace Fp8Lm.Runtime.Tests.Cuda;

/// <summary>What a user reads when the driver, NVRTC or a Hopper GPU is missing. Libraries are loaded once a process, so each case has its own.</summary>
public sealed class MissingPartsTests
{
    [Fact]
    public void AMissingDriverIsNamedWithWhereItWasLookedFor()
    {
        string problem = NativeLibraries.NotFound(NativeLibraries.Driver);
        Assert.StartsWith("The NVIDIA driver library (libcuda) was not found. Looked at FP8LM_CUDA_DRIVER, the loader's path and /usr/local/nvidia/lib64,", problem, StringComparison.Ordinal);
        Assert.EndsWith("Install the NVIDIA driver, or set FP8LM_CUDA_DRIVER to the library; without a GPU use the CPU back end.", problem, StringComparison.Ordinal);
        if (!NativeLibraries.TryLoad(NativeLibraries.Driver, out _))
        {
            Assert.Null(CudaDevice.Find(out string found));
            Assert.Equal(problem, found);
        }
    }

    [Theory]
    [InlineData("FP8LM_CUDA_DRIVER", nameof(AForeignDriver))]
    [InlineData("FP8LM_NVRTC", nameof(AForeignNvrtc))]
    public void ALibraryThatIsSomethingElseIsAProblemInWords(string variable, string child) =>
        ChildTest.Wait(ChildTest.Start(typeof(MissingPartsTests), child, (variable, Foreign())));

    [Fact(Explicit = true)]
    public void AForeignDriver()
    {
        Assert.Null(CudaDevice.Find(out string problem));
        Assert.StartsWith(Foreign() + " is not what is needed, The NVIDIA driver library (libcuda), or too old: ", problem, StringComparison.Ordinal);
        Assert.Contains("cuInit", problem, StringComparison.Ordinal);
    }

    [Fact(Explicit = true)]
    public void AForeignNvrtc()
    {
        Assert.False(KernelCompiler.IsAvailable(out string problem));
        Assert.StartsWith(Foreign() + " is not what is needed, NVRTC (libnvrtc 12.4 or newer), or too old: ", problem, StringComparison.Ordinal);
        Assert.Contains("nvrtcVersion", problem, StringComparison.Ordinal);
        Assert.EndsWith("run eng/get-nvrtc.sh and set FP8LM_NVRTC to the library or its folder.", problem, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("no-device", "The NVIDIA driver finds no GPU (CUDA_VISIBLE_DEVICES hides them all, or there is none). Use the CPU back end.")]
    [InlineData("broken", "The NVIDIA driver does not start: CUDA_ERROR_SYSTEM_DRIVER_MISMATCH (driver and library do not match).")]
    [InlineData("ampere", "The CUDA back end needs compute capability 9.0 (H100, H200, GH200); found Fake GPU (8.0). Use the CPU back end.")]
    public void ADriverWithoutAHopperGpuIsAProblemInWords(string mode, string expected)
    {
        string library = FakeDriver.Build();
        try
        {
            ChildTest.Wait(ChildTest.Start(typeof(MissingPartsTests), nameof(AFakeDriver), ("FP8LM_CUDA_DRIVER", library), ("FAKE_CUDA", mode), ("FP8LM_TEST_EXPECTED", expected)));
        }
        finally
        {
            File.Delete(library);
        }
    }

    [Fact(Explicit = true)]
    public void AFakeDriver()
    {
        Assert.Null(CudaDevice.Find(out string problem));
        Assert.Equal(Environment.GetEnvironmentVariable("FP8LM_TEST_EXPECTED"), problem);
    }

    [Theory]
    [InlineData(700, true)]
    [InlineData(719, true)]
    [InlineData(1, false)]
    [InlineData(2, false)]
    public void AnErrorOfAnEarlierKernelSaysSo(int result, bool earlier) =>
        Assert.Equal(earlier ? " A kernel that was queued before has failed; FP8LM_CHECK=1 names it." : "", CudaException.HintOf(result));

    /// <summary>A library that every .NET has and that exports none of what is asked for.</summary>
    private static string Foreign() => Path.Combine(RuntimeEnvironment.GetRuntimeDirectory(), "libSystem.Native.so");
}
