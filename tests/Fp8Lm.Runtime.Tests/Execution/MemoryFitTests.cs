using System;
using Fp8Lm.Execution;
using Xunit;

namespace Fp8Lm.Runtime.Tests.Execution;

public sealed class MemoryFitTests
{
    [Fact]
    public void The_largest_micro_batch_is_the_last_whose_plan_fits()
    {
        MemoryPlan plan = Plan(8);
        for (long microBatch = 1; microBatch <= 8; microBatch++)
        {
            long bytes = Plan(microBatch).TotalBytes;
            Assert.Equal(microBatch, MemoryFit.LargestMicroBatch(plan, bytes, checkpointing: false));
            Assert.Equal(microBatch - 1, MemoryFit.LargestMicroBatch(plan, bytes - 1, checkpointing: false));
        }
    }

    [Fact]
    public void The_message_names_categories_free_memory_and_what_fits()
    {
        MemoryPlan plan = Plan(8);

        string text = MemoryFit.Explain(plan, "NVIDIA H100", Plan(3).TotalBytes, 80L << 30);

        Assert.StartsWith("Planned with recipe Fp32 needs ", text, StringComparison.Ordinal);
        Assert.Matches(@"MiB at micro-batch 8 x 512 tokens \(weights \d+, gradients \d+, optimizer \d+, activations \d+, workspace \d+\); NVIDIA H100 has \d+ of 81920 MiB free\.", text);
        Assert.Matches(@"The largest micro-batch that fits is 3(; with checkpointing it is [4-8])?\.$", text);
        Assert.EndsWith("Not even one sequence fits; choose a smaller size.", MemoryFit.Explain(plan, "x", 1000, 2000), StringComparison.Ordinal);
    }

    private static MemoryPlan Plan(long microBatch) => MemoryPlan.Create(
        MemoryPlanTests.PlannedProgram.Definition, new MemoryPlanTests.PlannedProgram(), new DimBinding(microBatch, 512, 64, 6), checkpointing: false);
}
