using Fp8Lm.Cuda.Jit;
using Xunit;

namespace Fp8Lm.Runtime.Tests.Jit;

/// <summary>Skips a test on machines that lack what it needs, with the reason in the report.</summary>
internal static class Needs
{
    public static void Nvrtc()
    {
        if (!KernelCompiler.IsAvailable(out string problem))
        {
            Assert.Skip(problem);
        }
    }
}
