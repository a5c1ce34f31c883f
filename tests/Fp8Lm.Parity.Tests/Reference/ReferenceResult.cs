using System.Linq;
using Fp8Lm.Generators.Ir;
using Fp8Lm.Generators.Passes.Autodiff;
using Fp8Lm.Parity.Tests.Harness;

namespace Fp8Lm.Parity.Tests.Reference;

/// <summary>Loss, logits and gradients of a problem in float64, from the graph right after differentiation.</summary>
internal sealed record ReferenceResult(double Loss, double[] Logits, double[][][] Gradients)
{
    public static ReferenceResult Of(Problem problem)
    {
        Graph graph = CompilerPasses.Construct(problem.Spec);
        ReverseModeAutodiff.Run(graph);
        GraphInterpreter run = GraphInterpreter.Run(graph, problem);
        return new ReferenceResult(run.Loss, run.Logits, run.Gradients);
    }

    /// <summary>The same with the recipe's casts of GEMM operands, and float64 everywhere else.</summary>
    public static ReferenceResult WithCasts(Problem problem, string recipe)
    {
        Graph graph = CompilerPasses.Run(problem.Spec, problem.Spec.Recipes.First(r => r.Name == recipe)).First(s => s.Pass == "PrecisionAssignment").Graph;
        GraphInterpreter run = GraphInterpreter.Run(graph, problem, round: true);
        return new ReferenceResult(run.Loss, run.Logits, run.Gradients);
    }
}
