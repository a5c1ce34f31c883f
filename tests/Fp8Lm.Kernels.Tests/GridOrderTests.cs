using System.Linq;
using Fp8Lm.Cuda.Jit;
using Xunit;

namespace Fp8Lm.Kernels.Tests;

/// <summary>That <see cref="GridOrder"/> finds what it looks for; the kernels themselves are judged in <see cref="SampleKernelTests"/>.</summary>
public sealed class GridOrderTests
{
    [Theory]
    [InlineData("begin_grid(); y[threadIdx.x] = x[threadIdx.x];", "")]
    [InlineData("y[threadIdx.x] = x[threadIdx.x];", "does not wait for the kernel before it")]
    [InlineData("const float first = *(volatile const float*)x; begin_grid(); y[threadIdx.x] = first;", "touches global memory before it waits")]
    [InlineData("if (threadIdx.x > count) return; begin_grid(); y[threadIdx.x] = x[threadIdx.x];", "has threads that end before they wait")]
    [InlineData("if (threadIdx.x < count) begin_grid(); y[threadIdx.x] = x[threadIdx.x];", "waits for the kernel before it on a condition")]
    [InlineData("asm volatile(\"griddepcontrol.launch_dependents;\"); begin_grid(); y[threadIdx.x] = x[threadIdx.x];", "lets the kernel behind it come before its own blocks end")]
    public void BreachesAreFound(string statements, string problem)
    {
        if (!KernelCompiler.IsAvailable(out string missing))
        {
            Assert.Skip(missing);
        }

        string source = $$"""
            #include <fp8lm/common/begin_grid.cuh>
            using namespace fp8lm;
            extern "C" __global__ void test(const float* x, float* y, int count) { {{statements}} }
            """;

        Assert.Equal(problem, string.Join("; ", GridOrder.Problems(KernelCompiler.Compile(source, []).Cubin).Order()));
    }
}
