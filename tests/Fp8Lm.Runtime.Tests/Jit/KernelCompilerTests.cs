using System;
using System.IO;
using System.Linq;
using Fp8Lm.Cuda;
using Fp8Lm.Cuda.Jit;
using Xunit;

namespace Fp8Lm.Runtime.Tests.Jit;

public sealed class KernelCompilerTests
{
    private const string Fill = """
        extern "C" __global__ void fill(float* x) { x[threadIdx.x] = D_Value; }
        """;

    [Fact]
    public void AKernelBecomesACubinWithItsResources()
    {
        Needs.Nvrtc();
        CompiledKernel kernel = KernelCompiler.Compile(Fill, ["D_Value=3"], cache: null);

        Assert.Equal([0x7F, (byte)'E', (byte)'L', (byte)'F'], kernel.Cubin.Take(4));
        KernelResources resources = Assert.Single(kernel.Resources);
        Assert.Equal("fill", resources.Name);
        Assert.InRange(resources.Registers, 1, 255);
        Assert.Equal(0, resources.SpillStoreBytes);
    }

    [Fact]
    public void AnErrorQuotesTheLogAndTheSource()
    {
        Needs.Nvrtc();
        CudaException error = Assert.Throws<CudaException>(() => KernelCompiler.Compile("__global__ void broken() { int x = y; }", [], cache: null));

        Assert.Contains("identifier \"y\" is undefined", error.Message, StringComparison.Ordinal);
        Assert.Contains("    1  __global__ void broken()", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void OnlyMacrosThatTextOrHeadersMentionDecideWhichKernelItIs()
    {
        KernelText text = KernelText.Of("#include <fp8lm/row/row.cuh>\nconstexpr int Width = D_Width;", ["D_Layers=2", "D_Width=64", "D_Widths=1"]);

        Assert.Equal(["D_Width=64"], text.Defines);
        Assert.Contains("fp8lm/common/common.cuh", text.Headers);
        Assert.DoesNotContain("fp8lm/gemm/gemm.cuh", text.Headers);
    }

    [Fact]
    public void TheSecondCompilationComesFromTheCache()
    {
        Needs.Nvrtc();
        string folder = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName());
        try
        {
            CubinCache cache = CubinCache.Open(folder)!;
            CompiledKernel first = KernelCompiler.Compile(Fill, ["D_Value=4"], cache);
            CompiledKernel second = KernelCompiler.Compile(Fill, ["D_Value=4"], cache);
            CompiledKernel other = KernelCompiler.Compile(Fill, ["D_Value=5"], cache);

            Assert.False(first.FromCache);
            Assert.True(second.FromCache);
            Assert.Equal(first.Cubin, second.Cubin);
            Assert.Equal(first.Resources, second.Resources);
            Assert.False(other.FromCache);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public void ManyKernelsKeepTheirOrder()
    {
        Needs.Nvrtc();
        string[] sources = [.. Enumerable.Range(0, 5).Select(i => $"extern \"C\" __global__ void k{i}(float* x) {{ *x = {i}; }}")];

        Assert.Equal(["k0", "k1", "k2", "k3", "k4"], KernelCompiler.CompileAll(sources, []).Select(kernel => kernel.Resources.Single().Name));
    }

    [Fact]
    public void OptionsThatOldCompilersRejectAreLeftOut()
    {
        Assert.DoesNotContain("--no-cache", NvrtcCompiler.Options(new Version(12, 4), []));
        Assert.Contains("--no-cache", NvrtcCompiler.Options(new Version(13, 0), []));
    }

    [Fact]
    public void TheReportOfPtxasIsRead()
    {
        const string Log = """
            ptxas info    : 16 bytes gmem
            ptxas info    : Compiling entry function 'k' for 'sm_90a'
            ptxas info    : Function properties for k
            ptxas         .     8 bytes stack frame, 12 bytes spill stores, 16 bytes spill loads
            ptxas info    : Used 168 registers, used 1 barriers, 1024 bytes smem
            """;

        Assert.Equal([new KernelResources("k", 168, 8, 12, 16, 1024)], CompiledKernel.Parse(Log));
    }
}
