using System;
using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Generators;
using Fp8Lm.Generators.Emit;
using Fp8Lm.Generators.Ir;
using Fp8Lm.Generators.Ir.Language;
using Fp8Lm.Generators.Model;
using Fp8Lm.Generators.Passes.Autodiff;
using Fp8Lm.Parity.Tests.Harness;
using Fp8Lm.Parity.Tests.Reference;
using Fp8Lm.Training;
using Xunit;

namespace Fp8Lm.Parity.Tests;

/// <summary>Autodiff against finite differences, and every pass against the graph before it, all in float64.</summary>
public sealed class GraphTests
{
    public static TheoryData<string> Models => [.. ModelSources.Names];

    public static TheoryData<string, string> Recipes =>
        [.. ModelSources.Names.SelectMany(m => ModelSources.Spec(m).Recipes.Select(r => new TheoryDataRow<string, string>(m, r.Name)))];

    /// <summary>
    /// Every instance of every weight along one random direction through all of its elements, and along one element: the slope by central
    /// differences equals the gradient's projection.
    /// </summary>
    [Theory]
    [MemberData(nameof(Models))]
    public void GradientsAgreeWithFiniteDifferences(string model)
    {
        Problem problem = new(ModelSources.Spec(model), microBatch: 2, sequence: 12);
        Graph forward = CompilerPasses.Construct(problem.Spec), backward = CompilerPasses.Construct(problem.Spec);
        ReverseModeAutodiff.Run(backward);
        double[][][] gradients = GraphInterpreter.Run(backward, problem).Gradients;
        List<string> wrong = [];
        for (int p = 0; p < gradients.Length; p++)
        {
            for (int layer = 0; layer < gradients[p].Length; layer++)
            {
                double[] weights = problem.Weights[p][layer], gradient = gradients[p][layer];
                int element = (int)(CounterRandom.Mix(CounterRandom.Key(3, problem.Name(p, layer)), 77) % (ulong)weights.Length);
                Compare("direction", DifferenceQuotient.Direction(problem.Name(p, layer), weights.Length));
                Compare($"[{element}]", [.. weights.Select((_, i) => i == element ? 1.0 : 0)]);

                void Compare(string what, double[] along)
                {
                    double expected = DifferenceQuotient.Along(forward, problem, [(weights, along)]), actual = along.Zip(gradient, (a, g) => a * g).Sum();
                    if (!(Math.Abs(expected - actual) <= (1e-6 * Math.Abs(expected)) + 2e-9))
                    {
                        wrong.Add($"{problem.Name(p, layer)} {what}: difference quotient {expected:R}, gradient {actual:R}");
                    }
                }
            }
        }

        Assert.Equal([], wrong);
    }

    [Theory]
    [MemberData(nameof(Recipes))]
    public void PassesChangeNeitherLossNorGradients(string model, string recipe)
    {
        Problem problem = new(ModelSources.Spec(model), microBatch: 2, sequence: 12);
        double loss = double.NaN;
        double[][][]? gradients = null;
        double[]? logits = null;
        foreach ((string pass, Graph graph) in CompilerPasses.Run(problem.Spec, problem.Spec.Recipes.First(r => r.Name == recipe)))
        {
            GraphInterpreter run = GraphInterpreter.Run(graph, problem);
            if (pass == "GraphConstruction")
            {
                (loss, logits) = (run.Loss, run.Logits);
                continue;
            }

            Assert.True(Math.Abs(run.Loss - loss) <= 1e-12 * Math.Abs(loss), $"{pass}: loss {run.Loss:R} instead of {loss:R}");
            Assert.True(Measure.RelativeError(logits, run.Logits) < 1e-12, $"{pass}: logits changed");
            gradients ??= run.Gradients;
            for (int p = 0; p < gradients.Length; p++)
            {
                for (int layer = 0; layer < gradients[p].Length; layer++)
                {
                    double error = Measure.RelativeError(gradients[p][layer], run.Gradients[p][layer], floor: 1e-6);
                    Assert.True(error < 1e-10, $"{pass}: gradient of {problem.Name(p, layer)} changed by {error:E1}");
                }
            }
        }
    }

    /// <summary>The list of passes that this suite walks is the compiler's.</summary>
    [Theory]
    [MemberData(nameof(Recipes))]
    public void ThePassesAreTheCompilers(string model, string recipe)
    {
        ModelSpec spec = ModelSources.Spec(model);
        RecipeSpec chosen = spec.Recipes.First(r => r.Name == recipe);
        List<CompileError> errors = [];
        CompiledProgram program = ModelCompiler.CompileRecipe(spec, chosen, errors, verify: true)!;
        Assert.Empty(errors);
        List<(string, string)> ours = [.. CompilerPasses.Run(spec, chosen).Select(s => (s.Pass, GraphPrinter.Print(s.Graph)))];
        Assert.Equal(ours, program.Printed.Take(ours.Count));
    }

    [Fact]
    public void EveryOpOfTheLanguageIsInAModel()
    {
        IEnumerable<string> used = ModelSources.Names.SelectMany(m => ModelSources.Spec(m).Forward)
            .SelectMany(s => s is LoopSpec loop ? loop.Body.AsEnumerable() : [s]).OfType<OpSpec>().Select(o => o.Op).Distinct();
        Assert.Equal([], LanguageOps.Keys.Except(used));
    }
}
