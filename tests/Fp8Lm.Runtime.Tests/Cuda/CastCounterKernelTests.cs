using System;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Fp8Lm.Execution;
using Fp8Lm.Numerics;
using Fp8Lm.Runtime.Tests.Cpu;
using Xunit;

namespace Fp8Lm.Runtime.Tests.Cuda;

/// <summary>Counters of casts on a GPU: what a look at every value and its byte finds.</summary>
public sealed class CastCounterKernelTests
{
    public static TheoryData<string, ElementFormat> Cases
    {
        get
        {
            TheoryData<string, ElementFormat> cases = [];
            foreach (string kind in CastCounterTests.Kinds)
            {
                cases.Add(kind, ElementFormat.E4M3);
                cases.Add(kind, ElementFormat.E5M2);
            }

            return cases;
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void CountsAreThoseOfEveryElement(string kind, ElementFormat format)
    {
        const int Count = 10007;
        Gpu.Require();
        foreach (float scale in (float[])[1f, 37.5f, 3e-5f])
        {
            float[] values = CastCounterTests.Numbers(kind, Count);
            int words = Unsafe.SizeOf<CastStatistics>() / sizeof(int);
            KernelInfo kernel = new("test", KernelKind.Row, KernelTexts.CastCounter(format, Count), null!, ["x", "scale", "by_warp", "by_block"], new RowGeometry(_ => 64, _ => 512));
            using KernelHarness harness = new(
                kernel, new TestBuffer(ElementFormat.F32, Count), new TestBuffer(ElementFormat.F32, 1), new TestBuffer(ElementFormat.I32, words), new TestBuffer(ElementFormat.I32, words));
            harness.Upload(0, values);
            harness.Upload(1, new[] { scale });
            harness.Upload(2, new CastStatistics[1]);
            harness.Upload(3, new CastStatistics[1]);
            harness.LaunchOnBuffers();
            TensorNumerics expected = TensorNumerics.Measure(values, CastCounterTests.Codes(values, format, scale), format, scale);
            foreach (int buffer in (int[])[2, 3])
            {
                CastStatistics counted = MemoryMarshal.Cast<byte, CastStatistics>(harness.Download<byte>(buffer))[0];
                CastCounterTests.AssertCounts(expected, counted.Numerics, FormattableString.Invariant($"{kind} {format} {scale}, {(buffer == 2 ? "by warp" : "by block")}"));
                Assert.Equal(scale, counted.Scale);
            }
        }
    }
}
