using System;
using System.Collections.Generic;
using System.Linq;
using System.Text.RegularExpressions;
using Fp8Lm.Cuda.Jit;
using Fp8Lm.Execution;
using Fp8Lm.Execution.Cost;
using TinyGpt;
using Xunit;

namespace Fp8Lm.Kernels.Tests;

/// <summary>The cost model against measurements. Its constants were fitted to two of the recorded cases; the others were not looked at for that.</summary>
public sealed class GemmCostTests(ITestOutputHelper output)
{
    private static readonly string[] Fitted = ["gpt-1.3b", "gpt-175b-layer"];

    [Theory]
    [InlineData("gpt-1.3b", 24, 0.05, 1.15)]
    [InlineData("gpt-175b-layer", 24, 0.05, 1.15)]
    [InlineData("gpt-7b-layer", 24, 0.06, 1.15)]
    [InlineData("gpt-125m", 24, 0.15, 1.35)]
    public void PredictionsStayWithinAFactorOfWhatWasMeasured(string name, int count, double typical, double worst)
    {
        List<(string What, double Ratio)> ratios = [];
        foreach ((RecordedKernels.Kernel measured, LinearProduct product, GemmGeometry geometry) in RecordedKernels.Products.Where(p => p.Measured.Case == name))
        {
            ratios.Add((measured.Name + " FP8", Predict(measured, product, geometry, fp8: true) / measured.Fp8));
            if (measured.Bf16 is { } bf16)
            {
                ratios.Add((measured.Name + " BF16", Predict(measured, product, geometry, fp8: false) / bf16));
            }
        }

        double error = Math.Sqrt(ratios.Average(r => Math.Pow(Math.Log(r.Ratio), 2)));
        (string what, double off) = ratios.MaxBy(r => Math.Abs(Math.Log(r.Ratio)));
        output.WriteLine(FormattableString.Invariant($"{name}{(Fitted.Contains(name) ? " (fitted)" : "")}: typical error {error:P1}, worst {what} at {off:F2} of the measured time"));
        Assert.Equal(count, ratios.Count);
        Assert.All(ratios, r => Assert.InRange(r.Ratio, 1 / worst, worst));
        Assert.InRange(error, 0, typical);
    }

    [Fact]
    public void TheFasterFormatIsPredictedWhereverTheDifferenceIsMoreThanATenth()
    {
        int pairs = 0;
        foreach ((RecordedKernels.Kernel measured, LinearProduct product, GemmGeometry geometry) in RecordedKernels.Products)
        {
            if (measured.Bf16 is not { } bf16 || Math.Abs((measured.Fp8 / bf16) - 1) <= 0.1)
            {
                continue;
            }

            pairs++;
            Assert.Equal(measured.Fp8 > bf16, Predict(measured, product, geometry, fp8: true) > Predict(measured, product, geometry, fp8: false));
        }

        Assert.InRange(pairs, 42, 48);
    }

    /// <summary>Norms that cast what they make, forward and backward, against the same norms in BF16: what two casts cost.</summary>
    [Fact]
    public void CastsCostWhatTheyWerePredictedTo()
    {
        int count = 0;
        foreach (IGrouping<(string Case, string Norm), RecordedKernels.Kernel> norm in RecordedKernels.All
            .Where(k => k.Name.StartsWith("gpt_", StringComparison.Ordinal) && (k.Name.EndsWith("blocks_attentionnorm", StringComparison.Ordinal) || k.Name.EndsWith("blocks_mlpnorm", StringComparison.Ordinal)))
            .GroupBy(k => (k.Case, k.Name.Split('_')[^1])))
        {
            RecordedKernels.Kernel[] directions = [.. norm];
            Assert.Equal(2, directions.Length);
            long columns = directions[0].Dims[DimBinding.FirstModelDim + 2];
            double predicted = 2 * HopperCost.Cast(directions[0].Dims.Tokens * columns, columns, delayed: true), cost = directions.Sum(k => k.Fp8 - k.Bf16!.Value);
            output.WriteLine(FormattableString.Invariant($"{norm.Key}: {cost:F1} us measured, {predicted:F1} predicted"));
            Assert.InRange(predicted / cost, 1 / 1.5, 1.5);
            count++;
        }

        Assert.Equal(8, count);
    }

    /// <summary>The whole layer: products, and the norms that hold most of the casts, FP8 against BF16 as measured and as predicted.</summary>
    [Theory]
    [InlineData("gpt-1.3b")]
    [InlineData("gpt-125m")]
    [InlineData("gpt-7b-layer")]
    public void WhatFp8SavesInALayerIsPredicted(string name)
    {
        RecordedKernels.Kernel[] all = [.. RecordedKernels.All.Where(k => k.Case == name && k.Bf16 is not null && k.Name.Contains("_blocks_", StringComparison.Ordinal) && !k.Name.Contains("_after_", StringComparison.Ordinal))];
        double measured = all.Sum(k => k.Bf16!.Value - k.Fp8);
        IReadOnlyList<LinearCost> costs = LinearCost.Of(RecordedKernels.Program, all[0].Dims);
        double predicted = costs.Sum(c => c.Bf16 - c.Fp8);
        output.WriteLine(FormattableString.Invariant($"{name}: FP8 saves {measured:F0} us of a layer, {predicted:F0} predicted"));
        Assert.InRange(predicted / measured, 0.75, 1.33);
        Assert.DoesNotContain(costs, c => c.Loses);
    }

    [Fact]
    public void TheTilesAreThoseOfTheHeader()
    {
        string header = DeviceLibrary.Headers["fp8lm/gemm/tile.cuh"];
        Assert.Equal(
            GemmTiles.Tiles.ToArray(),
            Regex.Matches(header, @"\{(\d+), (\d+), Consumers::(\w+), (\d+)\}").Select(m => new GemmTiles.Tile(Number(m, 1), Number(m, 2), m.Groups[3].Value == "InTurn", Number(m, 4))));
        foreach ((string name, GemmTiles.Speed[] speeds) in new (string, GemmTiles.Speed[])[]
        {
            ("kFp8Speeds", GemmTiles.Fp8), ("kFp8LightSpeeds", GemmTiles.Fp8Light), ("kPromotedSpeeds", GemmTiles.Promoted), ("kPromotedPlainSpeeds", GemmTiles.PromotedPlain),
            ("kBf16PlainSpeeds", GemmTiles.Bf16Plain), ("kBf16Speeds", GemmTiles.Bf16), ("kBf16WideSpeeds", GemmTiles.Bf16Wide),
        })
        {
            string row = Regex.Match(header, name + @" = \{\{(.*)\}\};").Groups[1].Value;
            Assert.Equal(speeds, Regex.Matches(row, @"\{(\d+), (\d+)\}").Select(m => new GemmTiles.Speed(Number(m, 1), Number(m, 2))));
        }

        static int Number(Match match, int group) => int.Parse(match.Groups[group].Value, System.Globalization.CultureInfo.InvariantCulture);
    }

    /// <summary>With 48 features a sum is one stage of K in either format, and scales of the tensor itself cost a kernel for every cast.</summary>
    [Fact]
    public void ALinearThatLosesIsNamedWithTheMicroBatchAndWhatToWrite()
    {
        DimBinding dims = new([2, 32, .. Parity.Models.KeptLinears.Definition.Sizes[0].Values]);
        ModelProgram program = Parity.Models.KeptLinears.Definition.Program("TransformerEngineCurrent");
        IReadOnlyList<LinearCost> costs = LinearCost.Of(program, dims);
        foreach (LinearCost cost in costs)
        {
            output.WriteLine(FormattableString.Invariant($"{cost.Linear.Weight} {cost.Fp8:F1} {cost.Casts:F1} {cost.Bf16:F1}"));
        }

        string sentence = Assert.Single(Fp8Advice.Sentences(program, dims), s => s.Contains("layers.*.kv ", StringComparison.Ordinal));
        Assert.Matches(
            @"^FP8 is predicted slower than BF16 for the linear of layers\.\*\.kv at micro-batch 2 x 32 on an H100 or H200: [\d.]+ us a layer, of which [\d.]+ are casts, and [\d.]+ us\. "
            + @"Use a larger micro-batch, or keep it in BF16 with 'readonly Weight kv = new\(\.\.\.\) \{ Fp8 = false \}'\.$", sentence);
        Assert.Empty(Fp8Advice.Sentences(Parity.Models.KeptLinears.Definition.Program("Bf16"), dims));
    }

    [Fact]
    public void LinearsThatAreKeptAreComparedAndNeverWarnedAbout()
    {
        DimBinding dims = new([4, 1024, .. Parity.Models.KeptLinears.Definition.Sizes[0].Values]);
        IReadOnlyList<LinearCost> kept = LinearCost.Of(Parity.Models.KeptLinears.Definition.Program("TransformerEngine"), dims);
        IReadOnlyList<LinearCost> everywhere = LinearCost.Of(Parity.Models.KeptLinears.Definition.Program("TransformerEngineEverywhere"), dims);

        // 'left' and 'right' share the product of their gradients, so one entry of the two lacks it.
        Assert.Equal(["layers.*.q", "layers.*.project", "layers.*.down", "layers.*.right"], kept.Where(c => !c.Linear.Fp8).Select(c => c.Linear.Weight));
        Assert.All(everywhere, c => Assert.True(c.Linear.Fp8));
        Assert.All(kept.Where(c => !c.Linear.Fp8), c => Assert.False(c.Loses));
    }

    private static double Predict(RecordedKernels.Kernel measured, LinearProduct product, GemmGeometry geometry, bool fp8) => HopperCost.Product(
        geometry.M(measured.Dims), geometry.N(measured.Dims), geometry.K(measured.Dims), fp8, product.Promotes, fp8 ? product.Epilogue : product.Epilogue.WithoutFp8);
}
