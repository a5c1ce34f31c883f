using System;
using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Cuda;
using Fp8Lm.Parity.Tests.Harness;
using Fp8Lm.Parity.Tests.Reference;
using Xunit;

namespace Fp8Lm.Parity.Tests;

/// <summary>
/// The same programs on a GPU: against the float64 reference, and against themselves. Needs a Hopper GPU; skipped elsewhere. A class per recipe, because
/// classes run side by side and most of the time goes into compiling kernels.
/// </summary>
public abstract class CudaParityTests(string recipe, ITestOutputHelper output)
{
    private static readonly Lazy<(CudaDevice? Device, string Problem)> Found = new(() => (CudaDevice.Find(out string problem), problem));

    protected static IEnumerable<string> ModelsWith(string recipe) => GraphTests.Recipes.Where(r => r.Data.Item2 == recipe).Select(r => r.Data.Item1);

    protected void Check(string model)
    {
        if (Found.Value.Device is not { } device)
        {
            Assert.Skip(Found.Value.Problem);
            return;
        }

        output.WriteLine(Comparison.WithReference(model, recipe, p => Start(p, recipe, device)));

        // Two runs, one of them with its blocks computed again in backward, end with the same bytes.
        Problem problem = new(ModelSources.Spec(model));
        using ModelRun one = Start(problem, recipe, device), other = Start(problem, recipe, device, checkpointing: true);
        other.PoisonGradients();
        Assert.Equal(one.Train(), other.Train());
        Assert.True(one.GradientBytes().AsSpan().SequenceEqual(other.GradientBytes()), "recomputing a block changed its gradients");
    }

    private static ModelRun Start(Problem problem, string recipe, CudaDevice device, bool checkpointing = false) =>
        new(problem, recipe, checkpointing, plan => new CudaSession(plan, device));
}

public sealed class CudaFp32ParityTests(ITestOutputHelper output) : CudaParityTests("Fp32", output)
{
    public static TheoryData<string> Models => [.. ModelsWith("Fp32")];

    [Theory]
    [MemberData(nameof(Models))]
    public void AgreesWithTheReference(string model) => Check(model);
}

public sealed class CudaBf16ParityTests(ITestOutputHelper output) : CudaParityTests("Bf16", output)
{
    public static TheoryData<string> Models => [.. ModelsWith("Bf16")];

    [Theory]
    [MemberData(nameof(Models))]
    public void AgreesWithTheReference(string model) => Check(model);
}

public sealed class CudaFp16ParityTests(ITestOutputHelper output) : CudaParityTests("Fp16", output)
{
    public static TheoryData<string> Models => [.. ModelsWith("Fp16")];

    [Theory]
    [MemberData(nameof(Models))]
    public void AgreesWithTheReference(string model) => Check(model);
}

public sealed class CudaDelayedParityTests(ITestOutputHelper output) : CudaParityTests("TransformerEngine", output)
{
    public static TheoryData<string> Models => [.. ModelsWith("TransformerEngine")];

    [Theory]
    [MemberData(nameof(Models))]
    public void AgreesWithTheReference(string model) => Check(model);
}

public sealed class CudaCurrentParityTests(ITestOutputHelper output) : CudaParityTests("TransformerEngineCurrent", output)
{
    public static TheoryData<string> Models => [.. ModelsWith("TransformerEngineCurrent")];

    [Theory]
    [MemberData(nameof(Models))]
    public void AgreesWithTheReference(string model) => Check(model);
}

public sealed class CudaRowwiseParityTests(ITestOutputHelper output) : CudaParityTests("Rowwise", output)
{
    public static TheoryData<string> Models => [.. ModelsWith("Rowwise")];

    [Theory]
    [MemberData(nameof(Models))]
    public void AgreesWithTheReference(string model) => Check(model);
}

public sealed class CudaBlockScaledParityTests(ITestOutputHelper output) : CudaParityTests("BlockScaled", output)
{
    public static TheoryData<string> Models => [.. ModelsWith("BlockScaled")];

    [Theory]
    [MemberData(nameof(Models))]
    public void AgreesWithTheReference(string model) => Check(model);
}

public sealed class CudaFp8LmO1ParityTests(ITestOutputHelper output) : CudaParityTests("Fp8LmO1", output)
{
    public static TheoryData<string> Models => [.. ModelsWith("Fp8LmO1")];

    [Theory]
    [MemberData(nameof(Models))]
    public void AgreesWithTheReference(string model) => Check(model);
}

public sealed class CudaFp8LmO2ParityTests(ITestOutputHelper output) : CudaParityTests("Fp8LmO2", output)
{
    public static TheoryData<string> Models => [.. ModelsWith("Fp8LmO2")];

    [Theory]
    [MemberData(nameof(Models))]
    public void AgreesWithTheReference(string model) => Check(model);
}

public sealed class CudaFp8LmO3ParityTests(ITestOutputHelper output) : CudaParityTests("Fp8LmO3", output)
{
    public static TheoryData<string> Models => [.. ModelsWith("Fp8LmO3")];

    [Theory]
    [MemberData(nameof(Models))]
    public void AgreesWithTheReference(string model) => Check(model);
}
