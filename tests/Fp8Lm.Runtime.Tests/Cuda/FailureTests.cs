using System;
using Fp8Lm.Cuda;
using Fp8Lm.Execution;
using Xunit;

namespace Fp8Lm.Runtime.Tests.Cuda;

/// <summary>What a failing kernel leaves behind. A failure ends the device for its process, so these run only when asked for, one process each.</summary>
public sealed class FailureTests
{
    private const string Source = """
        extern "C" __global__ void bad(float* x, long long count) { x[(1ll << 40) + count] = 1; }
        """;

    private static readonly KernelInfo Bad = new(
        "bad", KernelKind.Row, Source, null!, ["x: float* (written)", "count: long long"], new RowGeometry(_ => 1, _ => 1));

    [Fact(Explicit = true)]
    public void With_checks_a_failing_kernel_is_named_with_launch_and_arguments()
    {
        Environment.SetEnvironmentVariable("FP8LM_CHECK", "1");
        KernelHarness harness = new(Bad, new TestBuffer(ElementFormat.F32, 4));

        string message = Assert.Throws<CudaException>(() => harness.Launch(harness[0], 7)).Message;

        Assert.StartsWith("Kernel bad failed: cuStreamSynchronize: CUDA_ERROR_", message, StringComparison.Ordinal);
        Assert.Contains("launch: 1 x 1 x 1 blocks of 512 threads", message, StringComparison.Ordinal);
        Assert.Contains("D_MicroBatch=1 D_Sequence=1", message, StringComparison.Ordinal);
        Assert.Matches(@"x: float\* \(written\) = 0x[0-9a-f]+, \w+ \+ 0: \w+\[0\] \+ 0 \(4 F32\)", message);
        Assert.Contains("count: long long = 7", message, StringComparison.Ordinal);
    }

    [Fact(Explicit = true)]
    public void Without_checks_the_message_says_how_to_find_the_kernel()
    {
        Environment.SetEnvironmentVariable("FP8LM_CHECK", null);
        KernelHarness harness = new(Bad, new TestBuffer(ElementFormat.F32, 4));

        string message = Assert.Throws<CudaException>(() => harness.Launch(harness[0], 7)).Message;

        Assert.EndsWith("A kernel that was queued before has failed; FP8LM_CHECK=1 names it.", message, StringComparison.Ordinal);
    }
}
