using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;

namespace Fp8Lm.Execution;

/// <summary>Says from the plan alone why a program does not fit a device and what would.</summary>
internal static class MemoryFit
{
    /// <summary>Largest micro-batch up to the plan's own whose plan takes at most <paramref name="bytes"/>; 0: not even one sequence.</summary>
    public static long LargestMicroBatch(MemoryPlan plan, long bytes, bool checkpointing)
    {
        // The plan grows with the micro-batch, so the place where it stops fitting can be searched by halves.
        long fits = 0, tooLarge = plan.Dims[DimBinding.MicroBatch] + 1;
        while (tooLarge - fits > 1)
        {
            long middle = fits + ((tooLarge - fits) / 2);
            if (With(plan, middle, checkpointing).TotalBytes <= bytes)
            {
                fits = middle;
            }
            else
            {
                tooLarge = middle;
            }
        }

        return fits;
    }

    /// <summary>What the plan needs by category, what there is, and what would fit.</summary>
    /// <param name="plan">A plan that takes more than <paramref name="free"/>.</param>
    /// <param name="device">The device's name.</param>
    /// <param name="free">Bytes that a plan may take.</param>
    /// <param name="total">All bytes of the device.</param>
    public static string Explain(MemoryPlan plan, string device, long free, long total)
    {
        IEnumerable<string> categories = Enum.GetValues<BufferCategory>().Select(
            category => string.Create(CultureInfo.InvariantCulture, $"{category.ToString().ToLowerInvariant()} {Mebibytes(plan.Bytes(category))}"));
        return string.Create(
            CultureInfo.InvariantCulture,
            $"{plan.Definition.Name} with recipe {plan.Program.Recipe} needs {Mebibytes(plan.TotalBytes)} MiB at micro-batch {plan.Dims[DimBinding.MicroBatch]} x {plan.Dims[DimBinding.Sequence]} tokens ({string.Join(", ", categories)}); {device} has {Mebibytes(free)} of {Mebibytes(total)} MiB free. {Advice(plan, free)}");
    }

    private static string Advice(MemoryPlan plan, long free)
    {
        long fits = LargestMicroBatch(plan, free, plan.Checkpointing);
        string largest = fits > 0 ? $"The largest micro-batch that fits is {fits}" : "Not even one sequence fits";
        long checkpointed = plan.Checkpointing || !plan.Training ? 0 : LargestMicroBatch(plan, free, checkpointing: true);
        string other = checkpointed > fits ? $"; with checkpointing it is {checkpointed}" : fits > 0 ? "" : "; choose a smaller size";
        return $"{largest}{other}.";
    }

    private static MemoryPlan With(MemoryPlan plan, long microBatch, bool checkpointing)
    {
        long[] dims = [.. Enumerable.Range(0, plan.Dims.Count).Select(i => i == DimBinding.MicroBatch ? microBatch : plan.Dims[i])];
        return MemoryPlan.Unchecked(plan.Definition, plan.Program, new DimBinding(dims), checkpointing, plan.Training);
    }

    private static string Mebibytes(long bytes) => (bytes / (double)(1 << 20)).ToString("F0", CultureInfo.InvariantCulture);
}
