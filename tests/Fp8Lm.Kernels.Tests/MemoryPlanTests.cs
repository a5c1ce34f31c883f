using System;
using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Execution;
using TinyGpt;
using Xunit;

namespace Fp8Lm.Kernels.Tests;

/// <summary>The memory of GPT-1.3B at micro-batch 8 x 2048: what a layer keeps between forward and backward, and the peak.</summary>
public sealed class MemoryPlanTests
{
    private const double MiB = 1 << 20, GiB = 1 << 30;

    private static readonly DimBinding Dims = new([8, 2048, .. Gpt.Definition.Sizes.Single(s => s.Name == "Gpt1B3").Values]);

    /// <summary>
    /// A width of 2048 and 16384 tokens are 32 MiB a byte. FP8: the residual stream twice and q, k, v and the attention's output in BF16 (2 x 6), the transposed inputs of
    /// project and down (1 + 4), the slope (4), 1 MiB of log-sum-exps and four statistics of rows. BF16: twice 12, and log-sum-exps and statistics; scales per row or block keep the inputs of qkv and up (1 + 1), and their scales.
    /// </summary>
    [Theory]
    [InlineData("Fp32", 2049.25)]
    [InlineData("Bf16", 897.25)]
    [InlineData("Fp16", 897.25)]
    [InlineData("TransformerEngine", 673.25)]
    [InlineData("Rowwise", 737.3046875)]
    [InlineData("BlockScaled", 744.25)]
    [InlineData("Fp8LmO1", 673.25)]
    [InlineData("Fp8LmO2", 673.25)]
    [InlineData("Fp8LmO3", 673.25)]
    [InlineData("Coat", 673.25)]
    public void ALayerKeepsWhatBackwardReads(string recipe, double mebibytes)
    {
        IEnumerable<BufferInfo> kept = Gpt.Definition.Program(recipe).Buffers.Where(b => b.Category == BufferCategory.Activations && b.Scope is BufferScope.PerLayer or BufferScope.Carried);

        Assert.Equal(mebibytes, kept.Sum(b => b.Elements(Dims) * b.Format.Bytes()) / MiB);
    }

    /// <summary>25.1 GiB are 42 % less than the 43.3 of PyTorch in BF16 (design, "GPT-1.3B training step").</summary>
    [Fact]
    public void TheSecondLevelOfFp8LmTrainsGpt1B3In25GiB() => Assert.InRange(Plan("Fp8LmO2").TotalBytes / GiB, 20, 25.1);

    /// <summary>Beyond what layers keep, at most 720 MiB live at once, and packing intervals into the arena loses less than 1 %.</summary>
    [Theory]
    [InlineData("Bf16")]
    [InlineData("TransformerEngine")]
    [InlineData("Fp8LmO2")]
    public void TheArenaIsHardlyLargerThanWhatLivesAtOnce(string recipe)
    {
        MemoryPlan plan = Plan(recipe);
        List<(BufferInfo Buffer, double Bytes)> shared = [.. plan.Program.Buffers.Select((b, i) => (b, (double)plan.Buffers[i].Stride * plan.Buffers[i].Instances))
            .Where(b => b.b.Category is BufferCategory.Activations or BufferCategory.Workspace)];
        double peak = shared.Select(s => s.Buffer.FirstUse).Distinct().Max(at => shared.Where(s => s.Buffer.FirstUse <= at && at <= s.Buffer.LastUse).Sum(s => s.Bytes));
        double kept = shared.Where(s => s.Buffer.Scope is BufferScope.PerLayer or BufferScope.Carried).Sum(s => s.Bytes);

        Assert.InRange(plan.Bytes(ArenaKind.Activations), peak, peak * 1.01);
        Assert.InRange((peak - kept) / MiB, 400, 720);
    }

    private static MemoryPlan Plan(string recipe) => MemoryPlan.Create(Gpt.Definition, Gpt.Definition.Program(recipe), Dims, checkpointing: false);
}
