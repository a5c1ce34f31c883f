using System;
using Fp8Lm.Cuda;
using Xunit;

namespace Fp8Lm.Runtime.Tests.Cuda;

/// <summary>The GPU of this machine, or a skipped test with the reason.</summary>
internal static class Gpu
{
    private static readonly Lazy<(CudaDevice? Device, string Problem)> Found = new(() => (CudaDevice.Find(out string problem), problem));

    public static CudaDevice Require()
    {
        if (Found.Value.Device is null)
        {
            Assert.Skip(Found.Value.Problem);
        }

        return Found.Value.Device!;
    }
}
