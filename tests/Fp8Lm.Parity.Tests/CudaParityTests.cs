using System;
using Fp8Lm.Cuda;
using Fp8Lm.Parity.Tests.Harness;
using Fp8Lm.Parity.Tests.Reference;
using Xunit;

namespace Fp8Lm.Parity.Tests;

/// <summary>The same programs on a GPU: against the float64 reference, and against themselves. Needs a Hopper GPU; skipped elsewhere.</summary>
public sealed class CudaParityTests(ITestOutputHelper output)
{
    private static readonly Lazy<(CudaDevice? Device, string Problem)> Found = new(() => (CudaDevice.Find(out string problem), problem));

    public static TheoryData<string, string> Programs => GraphTests.Recipes;

    [Theory]
    [MemberData(nameof(Programs))]
    public void LossAndGradientsAgreeWithTheReference(string model, string recipe)
    {
        CudaDevice device = Require();
        output.WriteLine(Comparison.WithReference(model, recipe, p => Start(p, recipe, device)));
    }

    /// <summary>Two runs, one of them with its blocks computed again in backward, end with the same bytes.</summary>
    [Theory]
    [MemberData(nameof(Programs))]
    public void ARunIsRepeatable(string model, string recipe)
    {
        CudaDevice device = Require();
        Problem problem = new(ModelSources.Spec(model));
        using ModelRun one = Start(problem, recipe, device), other = Start(problem, recipe, device, checkpointing: true);
        Assert.Equal(one.Train(), other.Train());
        Assert.True(one.GradientBytes().AsSpan().SequenceEqual(other.GradientBytes()));
    }

    private static CudaDevice Require()
    {
        if (Found.Value.Device is null)
        {
            Assert.Skip(Found.Value.Problem);
        }

        return Found.Value.Device!;
    }

    private static ModelRun Start(Problem problem, string recipe, CudaDevice device, bool checkpointing = false) =>
        new(problem, recipe, checkpointing, plan => new CudaSession(plan, device));
}
