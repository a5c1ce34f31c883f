using System;
using System.IO;
using Fp8Lm.Cuda;
using Fp8Lm.Execution;
using Fp8Lm.Runtime.Tests.Jit;
using Xunit;

namespace Fp8Lm.Runtime.Tests.Cuda;

/// <summary>What an error of the driver carries, with a driver that fails on purpose; the same on a GPU is in <see cref="FailureTests"/>.</summary>
public sealed class LaunchFailureTests
{
    private static readonly KernelInfo Scale = new(
        "scale", KernelKind.Row, "extern \"C\" __global__ void scale(float* x, long long count) {}", null!, ["x: float* (written)", "count: long long"], new RowGeometry(_ => 40, _ => 1));

    [Theory]
    [InlineData("launch-fails", "0", nameof(ALaunchThatTheDriverRefuses))]
    [InlineData("kernel-fails", "1", nameof(AKernelThatFailsWithChecks))]
    [InlineData("kernel-fails", "0", nameof(AKernelThatFailsWithoutChecks))]
    public void ErrorsCarryKernelLaunchAndArguments(string mode, string check, string child)
    {
        Needs.Nvrtc();
        string library = FakeDriver.Build();
        try
        {
            ChildTest.Wait(ChildTest.Start(typeof(LaunchFailureTests), child, ("FP8LM_CUDA_DRIVER", library), ("FAKE_CUDA", mode), ("FP8LM_CHECK", check)));
        }
        finally
        {
            File.Delete(library);
        }
    }

    [Fact(Explicit = true)]
    public void ALaunchThatTheDriverRefuses() => AssertDescribed(Fail(launches: 1), "Kernel scale failed: CUDA_ERROR_INVALID_VALUE (as a test wants it).\n");

    [Fact(Explicit = true)]
    public void AKernelThatFailsWithChecks() =>
        AssertDescribed(Fail(launches: 1), "Kernel scale failed: cuStreamSynchronize: CUDA_ERROR_ILLEGAL_ADDRESS (as a test wants it).\n");

    /// <summary>The second launch meets the error of the first and does not take the blame.</summary>
    [Fact(Explicit = true)]
    public void AKernelThatFailsWithoutChecks() =>
        AssertDescribed(Fail(launches: 2), "Kernel scale failed: CUDA_ERROR_ILLEGAL_ADDRESS (as a test wants it). A kernel that was queued before has failed; FP8LM_CHECK=1 names it.\n");

    private static string Fail(int launches)
    {
        KernelHarness harness = new(Scale, new TestBuffer(ElementFormat.F32, 40));
        return Assert.Throws<CudaException>(() =>
        {
            for (int i = 0; i < launches; i++)
            {
                harness.Session.Launch(0, harness[0], 7);
            }
        }).Message;
    }

    private static void AssertDescribed(string message, string start)
    {
        Assert.StartsWith(start, message, StringComparison.Ordinal);
        Assert.Matches(@"\n  launch: \d+ x 1 x 1 blocks of 512 threads with 0 bytes of shared memory", message);
        Assert.Contains("\n  D_MicroBatch=1 D_Sequence=1", message, StringComparison.Ordinal);
        Assert.Matches(@"\n  x: float\* \(written\) = 0x[0-9a-f]+, \w+ \+ 0: b0\[0\] \+ 0 \(40 F32\)\n  count: long long = 7", message);
    }
}
