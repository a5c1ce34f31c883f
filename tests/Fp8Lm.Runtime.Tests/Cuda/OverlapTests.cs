using System;
using System.IO;
using System.Runtime.InteropServices;
using Fp8Lm.Cuda;
using Fp8Lm.Execution;
using Fp8Lm.Runtime.Tests.Jit;
using Xunit;

namespace Fp8Lm.Runtime.Tests.Cuda;

/// <summary>Which launches may overlap with the operation before them, seen by a driver that only writes it down.</summary>
public sealed unsafe class OverlapTests
{
    private static readonly KernelInfo Kernel = new("k", KernelKind.Row, "extern \"C\" __global__ void k(float* x) {}", null!, ["x: float* (written)"], new RowGeometry(_ => 4, _ => 1));

    [Theory]
    [InlineData("1", "0", "0", nameof(AKernelBehindAKernelOverlaps))]
    [InlineData("0", "0", "0", nameof(NothingOverlaps))]
    [InlineData("1", "1", "0", nameof(NothingOverlaps))]
    [InlineData("1", "0", "1", nameof(NothingOverlaps))]
    [InlineData("1", "0", "0", nameof(KernelsThatDoNotWaitNeverOverlap))]
    public void Launches(string overlap, string check, string profile, string child)
    {
        Needs.Nvrtc();
        string library = FakeDriver.Build();
        try
        {
            ChildTest.Wait(ChildTest.Start(
                typeof(OverlapTests), child, ("FP8LM_CUDA_DRIVER", library), ("FP8LM_PDL", overlap), ("FP8LM_CHECK", check), ("FP8LM_PROFILE", profile)));
        }
        finally
        {
            File.Delete(library);
        }
    }

    [Fact(Explicit = true)]
    public void AKernelBehindAKernelOverlaps() => Assert.Equal("aoo" + "ao" + "ao" + "ao" + "ao" + "aoo" + "ao", Run(waits: true));

    [Fact(Explicit = true)]
    public void NothingOverlaps() => Assert.Equal(new string('a', 16), Run(waits: true));

    [Fact(Explicit = true)]
    public void KernelsThatDoNotWaitNeverOverlap() => Assert.Equal(new string('a', 16), Run(waits: false));

    private static string Run(bool waits)
    {
        using KernelHarness harness = new(Kernel, new DimBinding(1, 1), waits, new TestBuffer(ElementFormat.F32, 4));
        CudaSession session = harness.Session;
        void Launch(int count)
        {
            for (int i = 0; i < count; i++)
            {
                session.Launch(0, harness[0]);
            }
        }

        Launch(3);
        session.Clear(harness[0], 16);
        Launch(2);
        session.CopyOnDevice(harness[0], harness[0] + 8, 8);
        Launch(2);
        session.CopyFromHost(new byte[4], harness[0]);
        Launch(2);
        using CudaEvent mark = new(session.Context);
        mark.Record();
        Launch(2);
        using CudaGraph graph = CudaGraph.Capture(session.Context, () => Launch(3));
        graph.Launch();
        Launch(2);
        nint driver = NativeLibrary.Load(Environment.GetEnvironmentVariable("FP8LM_CUDA_DRIVER")!);
        return Marshal.PtrToStringUTF8(((delegate* unmanaged<nint>)NativeLibrary.GetExport(driver, "fake_launches"))())!;
    }
}
