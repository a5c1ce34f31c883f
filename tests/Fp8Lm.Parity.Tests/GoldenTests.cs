using System;
using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Parity.Tests.Harness;
using Fp8Lm.Parity.Tests.Reference;
using Xunit;

namespace Fp8Lm.Parity.Tests;

/// <summary>Six architectures against PyTorch: files with inputs, weights, logits, loss and all gradients, made by eng/golden/make_golden.py.</summary>
public sealed class GoldenTests(ITestOutputHelper output)
{
    private const double Tolerance = 1e-4;

    public static TheoryData<string> Models => ["Gpt2", "Llama", "GptJ", "GeGluModel", "Gemma", "GatedMqa"];

    [Theory]
    [MemberData(nameof(Models))]
    public void Fp32ProgramAgreesWithPyTorch(string model)
    {
        (Problem problem, Dictionary<string, double[]> golden) = Load(model);
        using ModelRun run = new(problem, "Fp32");
        Compare(model + " Fp32", problem, golden, run.Train(), run.Gradients(), run.Logits(), Tolerance);
    }

    /// <summary>The float64 reference and PyTorch, which computes in float64 too, were written independently of each other; the files hold float32.</summary>
    [Theory]
    [MemberData(nameof(Models))]
    public void ReferenceAgreesWithPyTorch(string model)
    {
        (Problem problem, Dictionary<string, double[]> golden) = Load(model);
        ReferenceResult reference = ReferenceResult.Of(problem);
        Assert.Equal(golden["loss"][0], reference.Loss, 1e-12);
        Compare(model + " reference", problem, golden, reference.Loss, reference.Gradients, reference.Logits, 1e-6);
    }

    private void Compare(string what, Problem problem, Dictionary<string, double[]> golden, double loss, double[][][] gradients, double[] logits, double tolerance)
    {
        double worst = 0;
        List<string> wrong = [];
        Check("loss", golden["loss"], [loss]);
        Check("logits", golden["logits"], logits);
        for (int p = 0; p < gradients.Length; p++)
        {
            for (int layer = 0; layer < gradients[p].Length; layer++)
            {
                Check("gradient." + problem.Name(p, layer), golden["gradient." + problem.Name(p, layer)], gradients[p][layer]);
            }
        }

        output.WriteLine(FormattableString.Invariant($"{what}: worst {worst:E2}"));
        Assert.Equal([], wrong);

        void Check(string name, double[] expected, double[] actual)
        {
            double error = Measure.RelativeError(expected, actual);
            worst = Math.Max(worst, error);
            if (!(error <= tolerance))
            {
                wrong.Add($"{name}: {error:E2}");
            }
        }
    }

    private static (Problem Problem, Dictionary<string, double[]> Tensors) Load(string model)
    {
        Dictionary<string, double[]> tensors = GoldenFile.Read(model + ".safetensors");
        Problem problem = new(ModelSources.Spec(model), microBatch: 2, sequence: 32, size: ModelSources.Spec(model).Sizes.ToList().FindIndex(s => s.Name == "Golden"));
        HashSet<string> weights = [.. tensors.Keys.Where(k => k.StartsWith("weight.", StringComparison.Ordinal))];
        for (int p = 0; p < problem.Weights.Length; p++)
        {
            for (int layer = 0; layer < problem.Weights[p].Length; layer++)
            {
                string name = "weight." + problem.Name(p, layer);
                Assert.Equal(problem.Weights[p][layer].Length, tensors[name].Length);
                problem.Weights[p][layer] = tensors[name];
                weights.Remove(name);
            }
        }

        Assert.Empty(weights);
        problem.SetBatch(
            System.Array.ConvertAll(tensors["input.tokens"], v => (int)v),
            System.Array.ConvertAll(tensors["input.labels"], v => (int)v),
            System.Array.ConvertAll(tensors["input.label_weights"], v => (float)v));
        return (problem, tensors);
    }
}
