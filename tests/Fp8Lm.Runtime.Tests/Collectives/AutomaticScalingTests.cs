using System;
using System.Collections.Generic;
using System.Linq;
using System.Text.Json;
using Fp8Lm.Collectives;
using Fp8Lm.Cpu;
using Xunit;

namespace Fp8Lm.Runtime.Tests.Collectives;

/// <summary>Check 6 of the fact sheet's section 8, on factors alone and on whole reductions.</summary>
public sealed class AutomaticScalingTests : IDisposable
{
    private static readonly GradientTensor[] tensors = [new("a", 1000), new("b", 1_000_000)];

    private readonly CpuPool pool = new(2);

    public void Dispose() => pool.Dispose();

    [Theory]
    [InlineData(GradientScaling.PreScaling, 1.0 / 16)]
    [InlineData(GradientScaling.PostScaling, 1.0)]
    [InlineData(GradientScaling.InverseSquareRoot, 0.25)]
    [InlineData(GradientScaling.Automatic, 0.25)]
    public void Every_rule_starts_where_its_paper_says_and_only_one_moves(GradientScaling scaling, double initial)
    {
        var factors = new ScalingFactors(tensors, 16, scaling);
        Assert.Equal((float)initial, factors[0]);
        factors.Update([1, 0]);
        Assert.Equal((float)initial * (scaling == GradientScaling.Automatic ? 0.5f : 1f), factors[0]);
        Assert.Equal(scaling == GradientScaling.Automatic, factors[1] > (float)initial);
    }

    [Theory]
    [InlineData(1, 1000)]
    [InlineData(10, 1000)]
    [InlineData(1, 100)]
    public void Nothing_saturated_doubles_mu_in_the_doubling_steps(int interval, int doubling)
    {
        var factors = new ScalingFactors(tensors, 16, GradientScaling.Automatic, new AutomaticScalingOptions { Interval = interval, DoublingSteps = doubling });
        for (int step = 0; step < doubling; step++)
        {
            factors.Update([0, 1e-5]);
        }

        Assert.Equal(0.5f, factors[0]);
        Assert.Equal(0.5f, factors[1]);
    }

    [Fact]
    public void Saturation_above_the_threshold_halves_at_every_step()
    {
        var factors = new ScalingFactors(tensors, 16, GradientScaling.Automatic);
        for (int step = 1; step <= 5; step++)
        {
            factors.Update([1.0000001e-5, 0.5]);
            Assert.Equal(MathF.ScaleB(0.25f, -step), factors[0]);
            Assert.Equal(MathF.ScaleB(0.25f, -step), factors[1]);
        }
    }

    [Fact]
    public void Bounds_hold_and_a_step_that_says_nothing_leaves_mu()
    {
        var factors = new ScalingFactors(tensors, 16, GradientScaling.Automatic, new AutomaticScalingOptions { Least = 1.0 / 64, Most = 2, DoublingSteps = 1 });
        for (int step = 0; step < 40; step++)
        {
            factors.Update([1, 0]);
        }

        Assert.Equal((1f / 64, 2f), (factors[0], factors[1]));
        factors.Update([double.NaN, double.NaN]);
        Assert.Equal((1f / 64, 2f), (factors[0], factors[1]));
    }

    [Fact]
    public void A_constant_gradient_with_room_doubles_mu_in_a_thousand_reductions()
    {
        // Cancels between the ranks, so that neither payloads nor sum come near the top.
        GradientReducer reducer = Reducer(16, 64);
        float[] up = [.. Enumerable.Repeat(300f, 64)], down = [.. Enumerable.Repeat(-300f, 64)];
        for (int step = 0; step < 1000; step++)
        {
            ReductionNumerics seen = Reduce(reducer, r => r % 2 == 0 ? up : down);
            Assert.Equal(0, seen.Saturation);
        }

        Assert.Equal(0.5f, reducer.Factors[0]);
    }

    [Fact]
    public void A_saturating_gradient_halves_mu_per_step_until_it_fits()
    {
        GradientReducer reducer = Reducer(16, 64);
        float[] gradient = [.. Enumerable.Repeat(300f, 64)];
        List<float> mu = [];
        ReductionNumerics seen;
        do
        {
            mu.Add(reducer.Factors[0]);
            seen = Reduce(reducer, _ => gradient);
        }
        while (seen.Saturation > 1e-5 && mu.Count < 20);

        // 16 ranks of 300 mu: 1200 and 600 are beyond 448, 300 fits.
        Assert.Equal([0.25f, 0.125f, 0.0625f], mu);
        Assert.Equal(0, seen.Overflow);
        Assert.True(reducer.Factors[0] > 0.0625f && reducer.Factors[0] < 0.0626f);
        float[] mean = new float[64];
        reducer.Mean.Read(0, mean);
        Assert.All(mean, m => Assert.InRange(m, 270f, 330f));
    }

    [Fact]
    public void Saturation_of_one_rank_counts_though_the_sum_cancels()
    {
        GradientReducer reducer = Reducer(2, 64);
        reducer.Restore(reducer.Save() with { Mu = [4] });
        ReductionNumerics seen = Reduce(reducer, r => [.. Enumerable.Repeat(r == 0 ? 300f : -300f, 64)]);
        Assert.Equal((0, 1), (seen.Overflow, seen.Saturation));
        Assert.Equal(2f, reducer.Factors[0]);
    }

    [Fact]
    public void A_restored_reducer_goes_on_byte_for_byte()
    {
        GradientReducer one = Reducer(8, 3000), other = Reducer(8, 3000);
        for (int step = 0; step < 20; step++)
        {
            Reduce(one, r => Gradients.Wild((step * 8) + r, 3000));
        }

        // Through JSON, as a checkpoint keeps it.
        other.Restore(JsonSerializer.Deserialize<GradientReductionState>(JsonSerializer.Serialize(one.Save()))!);
        for (int step = 20; step < 30; step++)
        {
            float[] Gradient(int r) => step == 20 ? new float[3000] : Gradients.Wild((step * 8) + r, 3000);
            Assert.Equal(Reduce(one, Gradient), Reduce(other, Gradient));
            Assert.Equal(one.Mean.Codes.ToArray(), other.Mean.Codes.ToArray());
            Assert.Equal(one.Mean.Scale(0), other.Mean.Scale(0));
        }
    }

    [Fact]
    public void Another_number_of_ranks_rescales_mu()
    {
        GradientReducer small = Reducer(8, 64), large = Reducer(32, 64);
        small.Restore(small.Save() with { Mu = [0.5], Steps = 7 });
        large.Restore(small.Save());
        Assert.Equal(0.25f, large.Factors[0]);
        Assert.Equal(7, large.Factors.Steps);
    }

    [Fact]
    public void Damaged_or_foreign_states_are_refused()
    {
        GradientReducer reducer = Reducer(8, 64);
        GradientReductionState state = reducer.Save();
        Assert.Contains("has version 9", Refused(state with { Version = 9 }));
        Assert.Contains("is of 2 tensors", Refused(state with { Tensors = ["w", "x"] }));
        Assert.Contains("2 factors", Refused(state with { Mu = [1, 2] }));
        Assert.Contains("2 scales", Refused(state with { Scale = [1, 2] }));
        Assert.Contains("is other; this model has w", Refused(state with { Tensors = ["other"] }));
        Assert.Contains("mu 0 ", Refused(state with { Mu = [0] }));
        Assert.Contains("damaged", Refused(state with { Mu = [double.NaN] }));
        Assert.Contains("damaged", Refused(state with { Scale = [float.PositiveInfinity] }));
        Assert.Contains("of 0 ranks", Refused(state with { Ranks = 0 }));
        Assert.Contains("step -1", Refused(state with { Steps = -1 }));
        Assert.Equal(state.Mu, reducer.Save().Mu);

        string Refused(GradientReductionState bad) => Assert.Throws<ArgumentException>(() => reducer.Restore(bad)).Message;
    }

    [Fact]
    public void Options_out_of_range_are_refused()
    {
        foreach ((AutomaticScalingOptions options, string name) in new (AutomaticScalingOptions, string)[]
        {
            (new() { Threshold = 1 }, "Threshold is 1"), (new() { Threshold = double.NaN }, "Threshold is NaN"), (new() { DoublingSteps = 0 }, "DoublingSteps is 0"),
            (new() { Interval = 0 }, "Interval is 0"), (new() { Least = 0 }, "Least is 0"), (new() { Most = 0.5 }, "Most is 0.5"), (new() { Most = double.PositiveInfinity }, "Most is "),
        })
        {
            Assert.Contains(name, Assert.Throws<ArgumentException>(() => new ScalingFactors(tensors, 8, GradientScaling.Automatic, options)).Message);
        }

        Assert.Contains("2 gradients; got 1 shares", Assert.Throws<ArgumentException>(() => new ScalingFactors(tensors, 8, GradientScaling.Automatic).Update([0])).Message);
    }

    private GradientReducer Reducer(int ranks, int elements) => new(
        new GradientLayout([new GradientTensor("w", elements)], ranks), new SimulatedReplicas(ranks, ReductionOrder.Ring, pool), new GradientReductionOptions(), pool);

    private static ReductionNumerics Reduce(GradientReducer reducer, Func<int, float[]> gradient)
    {
        for (int rank = 0; rank < reducer.Layout.Ranks; rank++)
        {
            reducer.Cast(rank, 0, gradient(rank));
        }

        return Assert.Single(reducer.Reduce());
    }
}
