using System;
using System.Collections.Generic;
using System.Diagnostics;
using System.Linq;
using Fp8Lm.Parity.Tests.Harness;
using Fp8Lm.Training;
using Xunit;

namespace Fp8Lm.Parity.Tests;

/// <summary>300 steps of TinyGpt's architecture from the same weights on the same batches as PyTorch FP32 (eng/golden/make_curve.py).</summary>
public sealed class CurveTests(ITestOutputHelper output)
{
    [Theory]
    [InlineData("Fp32", 0.001)]
    [InlineData("Fp16", 0.001)]
    [InlineData("TransformerEngine", 0.01)]
    [InlineData("Fp8LmO1", 0.01)]
    [InlineData("Fp8LmO2", 0.01)]
    public void LossesFollowPyTorch(string recipe, double tolerance)
    {
        Stopwatch watch = Stopwatch.StartNew();
        double[] expected = GoldenFile.Read("Curve.safetensors")["loss"];
        List<StepReport> steps = Curve.Train(recipe);
        Assert.Equal(expected.Length, steps.Count);
        double[] errors = [.. steps.Select((s, i) => (s.Loss - expected[i]) / expected[i])];
        for (int step = 50; step <= expected.Length; step += 50)
        {
            output.WriteLine(FormattableString.Invariant($"{recipe} step {step}: {steps[step - 1].Loss:F5}, PyTorch {expected[step - 1]:F5}, {errors[step - 1]:P4}"));
        }

        output.WriteLine(FormattableString.Invariant($"{recipe}: first {errors[0]:E1}, worst of all steps {errors.Max(Math.Abs):P4}, {watch.Elapsed.TotalSeconds:F0} s"));
        Assert.All(Enumerable.Range(1, expected.Length / 50), fifty => Assert.InRange(errors[(50 * fifty) - 1], -tolerance, tolerance));
    }
}
