using System.Linq;
using Fp8Lm.Cuda;
using Fp8Lm.Cuda.Jit;
using Fp8Lm.Execution;
using Fp8Lm.Parity.Tests.Harness;
using Fp8Lm.Parity.Tests.Reference;
using Xunit;

namespace Fp8Lm.Parity.Tests.Fuzz;

/// <summary>The kernels of the same random models: that they compile (needs NVRTC), and what they compute (needs a Hopper GPU, too). Skipped elsewhere.</summary>
public sealed class CudaFuzzTests(ITestOutputHelper output)
{
    public static TheoryData<int> Seeds => FuzzTests.Seeds;

    /// <summary>Some hundred kernels a model, which takes two cores two minutes; so one model here, and all of them where they run.</summary>
    public static TheoryData<int> Compiled => [.. FuzzTests.Seeds.Select(s => s.Data).Take(1)];

    [Theory]
    [MemberData(nameof(Compiled))]
    public void KernelsCompile(int seed)
    {
        if (!KernelCompiler.IsAvailable(out string problem))
        {
            Assert.Skip(problem);
        }

        FuzzModel model = FuzzModel.Compile(seed);
        Problem numbers = model.Problem();
        DimBinding dims = new([numbers.MicroBatch, numbers.Sequence, .. numbers.Size.Values]);
        string[] sources = [.. model.Spec.Recipes.SelectMany(r => model.Definition.Program(r.Name).Kernels).Select(k => k.CudaSource).Distinct()];
        output.WriteLine($"{sources.Length} kernels");
        Assert.Equal(sources.Length, KernelCompiler.CompileAll(sources, CudaSession.Defines(model.Definition, dims)).Count);
    }

    [Theory]
    [MemberData(nameof(Seeds))]
    public void AgreesWithTheReference(int seed)
    {
        if (CudaDevice.Find(out string missing) is not { } device)
        {
            Assert.Skip(missing);
            return;
        }

        FuzzModel model = FuzzModel.Compile(seed);
        Problem problem = model.Problem();
        ReferenceResult reference = ReferenceResult.Of(problem);
        string[] faults =
        [
            .. model.Spec.Recipes.SelectMany(r => FuzzProgram.Faults(
                problem, reference, r.Name, other => new ModelRun(problem, r.Name, other, plan => new CudaSession(plan, device)), output)),
        ];
        Assert.True(faults.Length == 0, string.Join('\n', faults) + "\n\n" + model.Text);
    }
}
