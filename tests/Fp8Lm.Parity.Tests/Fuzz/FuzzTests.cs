using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using Fp8Lm.Generators.Ir;
using Fp8Lm.Parity.Tests.Harness;
using Fp8Lm.Parity.Tests.Reference;
using Xunit;

namespace Fp8Lm.Parity.Tests.Fuzz;

/// <summary>
/// Random models: gradients against difference quotients, every pass against the graph before it, and the emitted program on the CPU against float64.
/// FP8LM_FUZZ=FIRST-LAST tries other ones than those of every run.
/// </summary>
public sealed class FuzzTests(ITestOutputHelper output)
{
    public static TheoryData<int> Seeds
    {
        get
        {
            int[] range = [.. (Environment.GetEnvironmentVariable("FP8LM_FUZZ") ?? "0-11").Split('-').Select(p => int.Parse(p, CultureInfo.InvariantCulture))];
            return [.. Enumerable.Range(range[0], range[^1] - range[0] + 1)];
        }
    }

    [Theory]
    [MemberData(nameof(Seeds))]
    public void AgreesWithTheReference(int seed)
    {
        FuzzModel model = FuzzModel.Compile(seed);
        Problem problem = model.Problem();
        ReferenceResult reference = ReferenceResult.Of(problem);
        List<string> faults = [.. Slopes(problem, reference.Gradients), .. Passes(problem)];
        foreach (string recipe in model.Spec.Recipes.Select(r => r.Name))
        {
            faults.AddRange(FuzzProgram.Faults(problem, reference, recipe, other => new ModelRun(problem, recipe, checkpointing: other, workers: other ? 5 : 2), output));
        }

        Assert.True(faults.Count == 0, string.Join('\n', faults) + "\n\n" + model.Text);
    }

    /// <summary>All weights along one random direction; where that is wrong, each of them along its part.</summary>
    private static IEnumerable<string> Slopes(Problem problem, double[][][] gradients)
    {
        Graph forward = CompilerPasses.Construct(problem.Spec);
        (string Name, double[] Weights, double[] Direction, double Gradient)[] tensors =
        [
            .. from p in Enumerable.Range(0, gradients.Length)
               from layer in Enumerable.Range(0, gradients[p].Length)
               let direction = DifferenceQuotient.Direction(problem.Name(p, layer), gradients[p][layer].Length)
               select (problem.Name(p, layer), problem.Weights[p][layer], direction, direction.Zip(gradients[p][layer], (d, g) => d * g).Sum()),
        ];
        if (IsWrong([.. tensors.Select(t => (t.Weights, t.Direction))], tensors.Sum(t => t.Gradient), out string all))
        {
            yield return all;
            foreach (var tensor in tensors)
            {
                if (IsWrong([(tensor.Weights, tensor.Direction)], tensor.Gradient, out string one))
                {
                    yield return $"{tensor.Name}: {one}";
                }
            }
        }

        bool IsWrong((double[], double[])[] along, double actual, out string message)
        {
            double expected = DifferenceQuotient.Along(forward, problem, along);
            bool wrong = !(Math.Abs(expected - actual) <= (1e-6 * Math.Abs(expected)) + 1e-8);
            if (wrong)
            {
                // A kink between the points; there is hardly one where they are close to each other, but more rounding.
                expected = DifferenceQuotient.Along(forward, problem, along, DifferenceQuotient.Step / 100);
                wrong = !(Math.Abs(expected - actual) <= (1e-5 * Math.Abs(expected)) + 1e-7);
            }

            message = $"difference quotient {expected:R}, gradient {actual:R}";
            return wrong;
        }
    }

    private static IEnumerable<string> Passes(Problem problem)
    {
        foreach (var recipe in problem.Spec.Recipes)
        {
            double loss = double.NaN;
            double[]? gradients = null;
            foreach ((string pass, Graph graph) in CompilerPasses.Run(problem.Spec, recipe))
            {
                GraphInterpreter run = GraphInterpreter.Run(graph, problem);
                if (pass == "GraphConstruction")
                {
                    loss = run.Loss;
                    continue;
                }

                double[] now = Measure.Flat(run.Gradients);
                double error = gradients is null ? 0 : Measure.RelativeError(gradients, now);
                gradients ??= now;
                if (!(Math.Abs(run.Loss - loss) <= 1e-11 * Math.Abs(loss)) || !(error < 1e-9))
                {
                    yield return $"{recipe.Name}, {pass}: loss {run.Loss:R} instead of {loss:R}, gradients changed by {error:E1}";
                }
            }
        }
    }
}
