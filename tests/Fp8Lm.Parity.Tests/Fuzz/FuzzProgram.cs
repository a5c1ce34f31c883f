using System;
using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Generators.Ir;
using Fp8Lm.Parity.Tests.Harness;
using Fp8Lm.Parity.Tests.Reference;
using Xunit;

namespace Fp8Lm.Parity.Tests.Fuzz;

/// <summary>What can be said about the emitted program of any model, on either back end.</summary>
internal static class FuzzProgram
{
    /// <param name="start">A run; a second one, for true, with blocks that are computed again and whatever else must not change a bit.</param>
    /// <returns>What is wrong, in words.</returns>
    public static IEnumerable<string> Faults(Problem problem, ReferenceResult reference, string recipe, Func<bool, ModelRun> start, ITestOutputHelper output)
    {
        using ModelRun run = start(false), again = start(true);
        double loss = run.Train(), error = Math.Abs(loss - reference.Loss) / reference.Loss;
        double[][][] actual = run.Gradients();
        string[] wrong = [.. Sensitivity.Of(problem, reference, recipe).Wrong(problem, reference.Gradients, actual)];
        output.WriteLine(FormattableString.Invariant($"{recipe}: loss off by {error:E1}, {wrong.Length} tensors"));
        if (!(error <= (recipe == "Fp32" ? 1e-5 : 0.1)) || wrong.Length > 0)
        {
            yield return FormattableString.Invariant($"{recipe}: loss off by {error:E1}; ") + string.Join(", ", wrong);
        }

        byte[] bytes = run.GradientBytes();
        again.PoisonGradients();
        if (!again.Train().Equals(loss) || !again.GradientBytes().AsSpan().SequenceEqual(bytes))
        {
            yield return $"{recipe}: another run, with blocks computed again and poisoned gradients, has other bytes";
        }

        if (!Drops(problem) && !run.Evaluate().Equals(loss))
        {
            yield return $"{recipe}: evaluation measures another loss";
        }

        run.Train(times: 2);
        double twice = Measure.RelativeError([.. Measure.Flat(actual).Select(v => 2 * v)], Measure.Flat(run.Gradients()));
        if (!(twice < 1e-6))
        {
            yield return FormattableString.Invariant($"{recipe}: two micro-batches do not add up, {twice:E1}");
        }
    }

    private static bool Drops(Problem problem) => CompilerPasses.Construct(problem.Spec).Nodes.Any(n => n.Op == OpCode.Uniform);
}
