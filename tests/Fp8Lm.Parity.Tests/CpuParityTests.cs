using System;
using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Parity.Tests.Harness;
using Fp8Lm.Parity.Tests.Reference;
using Xunit;

namespace Fp8Lm.Parity.Tests;

/// <summary>
/// Generated programs on the CPU against the float64 reference, for every model and recipe: loss, logits and the gradient of every
/// instance of every weight. The measure is the norm of the difference over the norm of the reference's tensor; a norm counts as at least
/// a thousandth of the whole gradient's, so that a tensor whose gradient cancels is judged by what the optimizer would see.
/// </summary>
public sealed class CpuParityTests(ITestOutputHelper output)
{
    public static TheoryData<string, string> Programs => GraphTests.Recipes;

    public static TheoryData<string, string> Fp8Programs => [.. Programs.Where(r => Comparison.IsFp8(r.Data.Item2))];

    [Theory]
    [MemberData(nameof(Programs))]
    public void LossAndGradientsAgreeWithTheReference(string model, string recipe) => output.WriteLine(Comparison.WithReference(model, recipe, p => new ModelRun(p, recipe)));

    /// <summary>
    /// What FP8 costs a gradient is what the casts of GEMM operands cost in the float64 reference, and not more. The two gradients need not be
    /// close to each other: BF16 values between kernels push elements over rounding boundaries, and soon the errors are independent.
    /// </summary>
    [Theory]
    [MemberData(nameof(Fp8Programs))]
    public void Fp8CostsNoMoreThanItsCasts(string model, string recipe)
    {
        Problem problem = new(ModelSources.Spec(model));
        double[] exact = Measure.Flat(ReferenceResult.Of(problem).Gradients), rounded = Measure.Flat(ReferenceResult.WithCasts(problem, recipe).Gradients);
        using ModelRun run = new(problem, recipe);
        run.Train();
        double casts = Measure.RelativeError(exact, rounded), program = Measure.RelativeError(exact, Measure.Flat(run.Gradients()));
        output.WriteLine(FormattableString.Invariant($"{model} {recipe}: the casts cost {casts:E2}, the program {program:E2}"));
        Assert.True(program <= 1.25 * casts, $"the program's gradient is off by {program:E2}; the casts alone cost {casts:E2}");
    }

    [Theory]
    [MemberData(nameof(Programs))]
    public void RecomputingABlockChangesNoBit(string model, string recipe) => AssertSameBits(model, recipe, p => new ModelRun(p, recipe, checkpointing: true));

    [Theory]
    [MemberData(nameof(Programs))]
    public void TheNumberOfWorkersChangesNoBit(string model, string recipe) => AssertSameBits(model, recipe, p => new ModelRun(p, recipe, workers: 5), p => new ModelRun(p, recipe, workers: 1));

    /// <summary>Two passes over one micro-batch: the same mean loss, and gradients twice as large.</summary>
    [Theory]
    [MemberData(nameof(Programs))]
    public void GradientsAddUp(string model, string recipe)
    {
        Problem problem = new(ModelSources.Spec(model));
        using ModelRun run = new(problem, recipe);
        double loss = run.Train();
        double[] once = Measure.Flat(run.Gradients());
        double again = run.Train(times: 2);
        Assert.Equal(loss, again, 1e-12);
        Assert.True(Measure.RelativeError([.. once.Select(v => 2 * v)], Measure.Flat(run.Gradients())) < 1e-6);
    }

    /// <summary>Gradients that a step starts from by assigning are never read, and all others are cleared.</summary>
    [Theory]
    [MemberData(nameof(Programs))]
    public void WhatAStepLeavesInGradientsDoesNotReachTheNext(string model, string recipe)
    {
        Problem problem = new(ModelSources.Spec(model));
        using ModelRun run = new(problem, recipe);
        double loss = run.Train(times: 2);
        byte[] gradients = run.GradientBytes();
        run.PoisonGradients();
        Assert.Equal(loss, run.Train(times: 2));
        Assert.True(run.GradientBytes().AsSpan().SequenceEqual(gradients), "a step on poisoned gradients has others");
    }

    [Theory]
    [MemberData(nameof(Programs))]
    public void EvaluationMeasuresTheSameLoss(string model, string recipe)
    {
        Problem problem = new(ModelSources.Spec(model));
        using ModelRun run = new(problem, recipe);
        double evaluated = run.Evaluate(), trained = run.Train();
        if (model is nameof(Parity.Models.DropoutModel) or nameof(Parity.Models.Funnel))
        {
            Assert.NotEqual(evaluated, trained);
        }
        else
        {
            Assert.Equal(trained, evaluated);
        }
    }

    private static void AssertSameBits(string model, string recipe, Func<Problem, ModelRun> other, Func<Problem, ModelRun>? one = null)
    {
        Problem problem = new(ModelSources.Spec(model));
        using ModelRun a = one is null ? new ModelRun(problem, recipe) : one(problem), b = other(problem);
        Assert.Equal(a.Train(), b.Train());
        Assert.True(a.GradientBytes().AsSpan().SequenceEqual(b.GradientBytes()), Differences(problem, a.Gradients(), b.Gradients()));
    }

    private static string Differences(Problem problem, double[][][] a, double[][][] b) => string.Join(", ",
        from p in Enumerable.Range(0, a.Length)
        from l in Enumerable.Range(0, a[p].Length)
        where !a[p][l].SequenceEqual(b[p][l])
        select FormattableString.Invariant($"{problem.Name(p, l)} {Measure.RelativeError(a[p][l], b[p][l]):E1}"));
}
