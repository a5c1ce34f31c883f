using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.IO;
using System.Linq;
using Fp8Lm.Cuda.Jit;
using Fp8Lm.Execution;
using Fp8Lm.Runtime.Tests.Cuda;
using Fp8Lm.Runtime.Tests.Jit;
using Xunit;

namespace Fp8Lm.Runtime.Tests.DeviceLibrary;

/// <summary>What can be said about kernels without a GPU: they compile, keep their values in registers, and use the tensor cores.</summary>
public sealed class KernelCompilationTests
{
    private static readonly string[] CuobjdumpPlaces =
        ["/opt/fp8lm-nvrtc/usr/bin/cuobjdump", "/usr/local/cuda/bin/cuobjdump", "/usr/local/cuda-13.0/bin/cuobjdump", "/usr/bin/cuobjdump"];

    public static TheoryData<string> LibraryKernels =>
    [
        KernelTexts.EmbeddingGradient, KernelTexts.PositionGradient, KernelTexts.ColumnSumFinish, KernelTexts.LossSum, KernelTexts.GradientNorm, KernelTexts.GradientNormOfScaledLoss,
        KernelTexts.AdamW, KernelTexts.AmaxCheck, KernelTexts.ScaleUpdate, KernelTexts.GradientScales, KernelTexts.Row(4096, 768),
        KernelTexts.CastCounter(ElementFormat.E4M3, 100000), KernelTexts.CastCounter(ElementFormat.E5M2, 100000),
        KernelTexts.ScaledAdam("f16, e4m3, float, float", store: false), KernelTexts.ScaledAdam("f16, e4m3, float, float", store: true),
        KernelTexts.ScaledAdam("f16, e4m3, e4m3, f16", store: false), KernelTexts.ScaledAdam("f16, e4m3, e4m3, f16", store: true),
        KernelTexts.ScaledAdam("bf16, e4m3, e4m3, f16", store: true), KernelTexts.ScaledAdam("e4m3, e4m3, e4m3, f16", store: true),
        KernelTexts.ScaledAdam("f16, e4m3, e4m3, e4m3", store: true), KernelTexts.ScaledAdam("float, bf16, e4m3, f16", store: true),
        KernelTexts.ScaledAdam("bf16, e5m2, bf16, e5m2", store: false), KernelTexts.ScaledAdam("e4m3, float, e5m2, e4m3", store: true),
        KernelTexts.SegmentedAdam("float, bf16, optim::Grouped<e4m3>, optim::Grouped<e4m3>"), KernelTexts.SegmentedAdam("bf16, bf16, optim::Grouped<e4m3>, optim::Grouped<e5m2>"),
        KernelTexts.ScaledAdam("f16, e4m3, optim::Grouped<e4m3>, optim::Grouped<e4m3>", store: false), KernelTexts.ScaledAdam("f16, e4m3, optim::Grouped<e4m3>, optim::Grouped<e4m3>", store: true),
        KernelTexts.ScaledAdam("f16, e4m3, optim::Grouped<e4m3>, f16", store: true), KernelTexts.ScaledAdam("e4m3, e5m2, bf16, optim::Grouped<e4m3>", store: true),
        KernelTexts.MomentGroups("e4m3"), KernelTexts.MomentGroups("e5m2"),
        KernelTexts.SegmentedAdam("float, bf16, float, float"), KernelTexts.SegmentedAdam("bf16, bf16, bf16, bf16"), KernelTexts.SegmentedAdam("float, float, bf16, bf16"),
        KernelTexts.ScaledGradientNorm("e4m3"), KernelTexts.ScaledGradientNorm("e5m2"), KernelTexts.SegmentedGradientNorm("bf16"), KernelTexts.SegmentedGradientNorm("float"),
    ];

    [Theory]
    [MemberData(nameof(LibraryKernels))]
    public void LibraryKernelsDoNotSpill(string source) => Compile(source);

    public static TheoryData<string> CountingStores =>
    [
        KernelTexts.ScaledAdam("f16, e4m3, float, float", store: true, counts: true), KernelTexts.ScaledAdam("f16, e4m3, e4m3, f16", store: true, counts: true),
        KernelTexts.ScaledAdam("bf16, e4m3, e4m3, f16", store: true, counts: true), KernelTexts.ScaledAdam("e4m3, e4m3, e4m3, f16", store: true, counts: true),
        KernelTexts.ScaledAdam("f16, e4m3, e4m3, e4m3", store: true, counts: true), KernelTexts.ScaledAdam("float, bf16, e4m3, f16", store: true, counts: true),
        KernelTexts.ScaledAdam("bf16, e5m2, bf16, e5m2", store: true, counts: true), KernelTexts.ScaledAdam("e4m3, float, e5m2, e4m3", store: true, counts: true),
        KernelTexts.SegmentedAdam("float, bf16, optim::Grouped<e4m3>, optim::Grouped<e4m3>", counts: true),
        KernelTexts.SegmentedAdam("bf16, bf16, optim::Grouped<e4m3>, optim::Grouped<e5m2>", counts: true),
        KernelTexts.ScaledAdam("f16, e4m3, optim::Grouped<e4m3>, optim::Grouped<e4m3>", store: true, counts: true),
        KernelTexts.ScaledAdam("f16, e4m3, optim::Grouped<e4m3>, f16", store: true, counts: true),
        KernelTexts.ScaledAdam("e4m3, e5m2, bf16, optim::Grouped<e4m3>", store: true, counts: true),
        KernelTexts.SegmentedAdam("bf16, bf16, bf16, bf16", counts: true), KernelTexts.SegmentedAdam("float, float, bf16, bf16", counts: true),
    ];

    /// <summary>In sampled steps a few values may be on the stack, as of other kernels that count (<c>docs/numerics.md</c>).</summary>
    [Theory]
    [MemberData(nameof(CountingStores))]
    public void StoresThatCountKeepLittleOnTheStack(string source)
    {
        Needs.Nvrtc();
        const int CountingStack = 64;
        CompiledKernel kernel = KernelCompiler.Compile(source, []);
        Assert.InRange(Assert.Single(kernel.Resources).StackBytes, 0, CountingStack);
        Assert.DoesNotContain("warning", kernel.Log, StringComparison.Ordinal);
    }

    [Theory]
    [MemberData(nameof(GemmKernelTests.Operands), MemberType = typeof(GemmKernelTests))]
    public void GemmsUseTheirInstructions(ElementFormat a, ElementFormat b, bool aKMajor, bool bKMajor, bool promote)
    {
        CompiledKernel kernel = Compile(KernelTexts.Gemm(a, b, aKMajor, bKMajor, promote, 4096, 4096, 4096, 4096, 4096));
        AssertInstruction(kernel, a switch { ElementFormat.F32 => "FFMA", ElementFormat.BF16 or ElementFormat.F16 => "HGMMA", _ => "QGMMA" });
    }

    /// <summary>Every tile of the table in <c>gemm/tile.cuh</c>; one block of K makes straight code of the loop, which ptxas sees otherwise.</summary>
    [Theory]
    [MemberData(nameof(GemmKernelTests.Tiles), MemberType = typeof(GemmKernelTests))]
    public void TilesDoNotSpill(int tile, ElementFormat format, bool aKMajor, bool bKMajor, bool promote)
    {
        const int ForLightEpilogues = 1;
        (long K, bool Full, bool Adds)[] kernels = tile == ForLightEpilogues
            ? [(4096, false, false), (64, false, false)]
            : [(4096, true, false), (64, true, false), (4096, false, true)];
        foreach ((long k, bool full, bool adds) in kernels)
        {
            Compile($"#define FP8LM_TILE {tile}\n" + KernelTexts.Gemm(format, format, aKMajor, bKMajor, promote, 4096, 4096, k, 4096, 4096, full, adds));
        }
    }

    /// <summary>K over the blocks of a cluster: of one tile's, and of one block of K each.</summary>
    [Theory]
    [MemberData(nameof(GemmKernelTests.Splits), MemberType = typeof(GemmKernelTests))]
    public void SplitsDoNotSpill(int tile, int split, ElementFormat format, bool kMajor)
    {
        bool fp8 = format is ElementFormat.E4M3 or ElementFormat.E5M2;
        foreach ((long m, long n, long k, bool full, bool adds) in new[] { (768L, 768L, 32768L, true, false), (768, 768, 32768, false, true), (1000, 208, 32768, true, false), (768, 768, split * (fp8 ? 128 : 64), false, false) })
        {
            string text = KernelTexts.Gemm(format, format, kMajor, kMajor, fp8, m, n, k, k, k, full, adds);
            AssertInstruction(Compile($"#define FP8LM_TILE {tile}\n#define FP8LM_SPLIT {split}\n" + text), fp8 ? "QGMMA" : "HGMMA");
        }
    }

    /// <summary>Scales per row or square and 128 of K, on every tile that serves them.</summary>
    [Theory]
    [MemberData(nameof(BlockScaledGemmTests.Tiles), MemberType = typeof(BlockScaledGemmTests))]
    public void BlockScaledProductsDoNotSpill(int tile, bool squares, bool full)
    {
        foreach ((long n, long k) in ((long, long)[])[(4096, 4096), (4096, 128), (4112, 2064)])
        {
            foreach (bool adds in full ? [false] : new[] { false, true })
            {
                string text = KernelTexts.Gemm(ElementFormat.E4M3, ElementFormat.E4M3, true, true, true, 4096, n, k, k, k, full, adds, new BlockScaling(squares, 1, 1));
                AssertInstruction(Compile($"#define FP8LM_TILE {tile}\n" + text), "QGMMA");
            }
        }
    }

    [Theory]
    [InlineData(ElementFormat.BF16, 4096, 768)]
    [InlineData(ElementFormat.F32, 768, 3072)]
    [InlineData(ElementFormat.BF16, 144, 208)]
    [InlineData(ElementFormat.F32, 37, 190)]
    [InlineData(ElementFormat.F16, 768, 3072)]
    [InlineData(ElementFormat.E4M3, 768, 3072)]
    public void GroupedCastsDoNotSpill(ElementFormat source, int rows, int columns)
    {
        Compile(KernelTexts.GroupedCast(source, rows, columns, columns, "", "", false));
        foreach (string groups in (string[])["Row", "Block", "Square"])
        {
            Compile(KernelTexts.GroupedCast(source, rows, columns, columns, "e4m3", groups, powerOfTwo: true));
            Compile(KernelTexts.GroupedCast(source, rows, columns, columns, "e5m2", groups, powerOfTwo: false, factor: true));
        }
    }

    [Theory]
    [InlineData(ElementFormat.BF16, 64, 0)]
    [InlineData(ElementFormat.BF16, 64, 0, 1000)]
    [InlineData(ElementFormat.BF16, 128, 0)]
    [InlineData(ElementFormat.BF16, 128, 0, 1000)]
    [InlineData(ElementFormat.BF16, 128, 200)]
    [InlineData(ElementFormat.BF16, 96, 0)]
    [InlineData(ElementFormat.BF16, 256, 0)]
    [InlineData(ElementFormat.F16, 64, 0)]
    [InlineData(ElementFormat.F16, 128, 0)]
    [InlineData(ElementFormat.F16, 128, 200)]
    [InlineData(ElementFormat.F16, 96, 0)]
    [InlineData(ElementFormat.F16, 256, 0)]
    [InlineData(ElementFormat.F32, 64, 0)]
    [InlineData(ElementFormat.F32, 256, 0)]
    public void AttentionUsesItsInstructions(ElementFormat format, int headSize, int window, int sequence = 1024)
    {
        AttentionCase c = new(format, headSize, Heads: 8, KvHeads: 4, Batch: 2, sequence, window);
        string instruction = format == ElementFormat.F32 ? "FFMA" : headSize is 64 or 128 ? "HGMMA" : "HMMA";
        foreach (string source in (IEnumerable<string>)
            [KernelTexts.AttentionForward(c), KernelTexts.AttentionBackwardKeyValue(c), KernelTexts.AttentionBackwardQuery(c)])
        {
            AssertInstruction(Compile(source), instruction);
        }
    }

    private static CompiledKernel Compile(string source)
    {
        Needs.Nvrtc();
        CompiledKernel kernel = KernelCompiler.Compile(source, []);
        KernelResources resources = Assert.Single(kernel.Resources);
        Assert.Equal(0, resources.SpillStoreBytes + resources.SpillLoadBytes + resources.StackBytes);
        Assert.DoesNotContain("warning", kernel.Log, StringComparison.Ordinal);
        return kernel;
    }

    /// <summary>Looks into the machine code where a disassembler is installed.</summary>
    private static void AssertInstruction(CompiledKernel kernel, string mnemonic)
    {
        string? cuobjdump = CuobjdumpPlaces.FirstOrDefault(File.Exists);
        if (cuobjdump is null)
        {
            return;
        }

        string file = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName());
        File.WriteAllBytes(file, kernel.Cubin);
        try
        {
            ProcessStartInfo start = new(cuobjdump, ["-sass", file]) { RedirectStandardOutput = true };
            using Process process = Process.Start(start)!;
            string text = process.StandardOutput.ReadToEnd();
            process.WaitForExit();
            Assert.Contains(mnemonic, text, StringComparison.Ordinal);
        }
        finally
        {
            File.Delete(file);
        }
    }
}
