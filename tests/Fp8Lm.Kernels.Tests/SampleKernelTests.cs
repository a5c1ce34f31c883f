using System;
using System.Collections.Concurrent;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using System.Text.RegularExpressions;
using System.Threading.Tasks;
using Fp8Lm.Cuda;
using Fp8Lm.Cuda.Jit;
using Fp8Lm.Execution;
using Xunit;

namespace Fp8Lm.Kernels.Tests;

/// <summary>
/// What can be said about emitted kernels without a GPU: every one compiles for sm_90a at every declared size and recipe, keeps its values in
/// registers, does not make ptxas serialise its tensor cores, uses them where it should, and waits for the kernel before it.
/// </summary>
public sealed partial class SampleKernelTests
{
    // A text with the same defines is the same kernel, whichever size asks for it.
    private static readonly ConcurrentDictionary<string, string[]> Judged = new(StringComparer.Ordinal);

    public static TheoryData<string, string, string> Cases()
    {
        TheoryData<string, string, string> cases = [];
        foreach (ModelDefinition model in SampleKernels.Samples)
        {
            foreach (ModelSizeInfo size in model.Sizes)
            {
                foreach (string recipe in model.Recipes)
                {
                    cases.Add(model.Name, size.Name, recipe);
                }
            }
        }

        // One size; FP8 with a scale per tensor where there is a choice: its kernels are those of the other recipes with casts.
        foreach (ModelDefinition model in SampleKernels.Coverage)
        {
            cases.Add(model.Name, model.Sizes[0].Name, model.Recipes[^1]);
        }

        return cases;
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public void EveryKernelCompilesWell(string model, string size, string recipe)
    {
        if (!KernelCompiler.IsAvailable(out string problem))
        {
            Assert.Skip(problem);
        }

        KernelCase[] kernels = [.. SampleKernels.Of(model, size, recipe)];
        Assert.NotEmpty(kernels);
        ConcurrentBag<string> problems = [];
        Parallel.ForEach(Partitioner.Create(kernels, EnumerablePartitionerOptions.NoBuffering), kernel =>
        {
            foreach (string found in Judged.GetOrAdd(string.Join('\n', kernel.Defines) + "\n" + kernel.Source, _ => [.. Judge(kernel)]))
            {
                problems.Add($"{kernel.Info.Name} ({string.Join(' ', kernel.Defines)}): {found}");
            }
        });
        Assert.True(problems.IsEmpty, string.Join("\n", problems.Order(StringComparer.Ordinal)));
    }

    /// <summary>In steps that are not sampled counting costs nothing: the machine code is that of the text without it.</summary>
    [Theory]
    [InlineData("TransformerEngine")]
    [InlineData("BlockScaled")]
    [InlineData("Fp8LmO2")]
    [InlineData("Coat")]
    public void ThePlainFormHasNoTraceOfCounting(string recipe)
    {
        if (!KernelCompiler.IsAvailable(out string problem))
        {
            Assert.Skip(problem);
        }

        int compared = 0;
        foreach (KernelCase kernel in SampleKernels.Of("Gpt", "Tiny", recipe).Where(k => KernelText.Counts(k.Source)))
        {
            string without = CountedText().Replace(kernel.Source, "");
            byte[] machineCode = KernelCompiler.Compile(without, kernel.Defines.Where(d => d != KernelText.CountingDefine).ToArray()).Cubin;
            bool counts = kernel.Defines.Contains(KernelText.CountingDefine);
            Assert.DoesNotContain("FP8LM_COUNTED", without, StringComparison.Ordinal);
            Assert.Equal(!counts, machineCode.AsSpan().SequenceEqual(KernelCompiler.Compile(kernel.Source, kernel.Defines).Cubin));
            compared++;
        }

        Assert.True(compared >= 10 && compared % 2 == 0, $"{compared} kernels");
    }

    // What stands inside has parentheses of its own, at most two deep.
    [GeneratedRegex(@" ?FP8LM_COUNTED\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)")]
    private static partial Regex CountedText();

    private static IEnumerable<string> Judge(KernelCase kernel)
    {
        CompiledKernel compiled;
        try
        {
            compiled = KernelCompiler.Compile(kernel.Source, kernel.Defines);
        }
        catch (CudaException exception)
        {
            return [exception.Message];
        }

        return Resources(kernel, compiled).Concat(Warnings(compiled)).Concat(Instructions(kernel, compiled)).Concat(GridOrder.Problems(compiled.Cubin));
    }

    // Counters come on top of what a kernel was made to hold. A counting form runs in sampled steps only, where a few values on the stack are nothing beside the counting.
    private const int CountingStack = 64;

    private static IEnumerable<string> Resources(KernelCase kernel, CompiledKernel compiled)
    {
        int stack = kernel.Defines.Contains(KernelText.CountingDefine) ? CountingStack : 0;
        KernelResources? entry = compiled.Resources.Count == 1 ? compiled.Resources[0] : null;
        if (entry is null || entry.Name != kernel.Info.Name)
        {
            yield return "expected one entry function of the kernel's name, found " + string.Join(", ", compiled.Resources.Select(r => r.Name));
        }
        else if (Spills(entry) ? stack == 0 || entry.StackBytes > stack : entry.StackBytes > stack && !ReducesAngles(kernel))
        {
            yield return string.Create(CultureInfo.InvariantCulture, $"{entry.SpillStoreBytes} bytes of spill stores, {entry.SpillLoadBytes} of spill loads, {entry.StackBytes} of stack, {entry.Registers} registers");
        }
    }

    private static bool Spills(KernelResources entry) => entry.SpillStoreBytes + entry.SpillLoadBytes > 0;

    /// <summary>The accurate sine keeps digits of 2/pi on the stack, for arguments far beyond any position; nothing spills.</summary>
    private static bool ReducesAngles(KernelCase kernel) =>
        kernel.Source.Contains("sin_(", StringComparison.Ordinal) || kernel.Source.Contains("cos_(", StringComparison.Ordinal);

    /// <summary>C75xx among them: ptxas says that it had to serialise wgmma.</summary>
    private static IEnumerable<string> Warnings(CompiledKernel compiled) =>
        compiled.Log.Split('\n').Where(l => l.Contains("warning", StringComparison.OrdinalIgnoreCase) || l.Contains("C75", StringComparison.Ordinal));

    private static IEnumerable<string> Instructions(KernelCase kernel, CompiledKernel compiled)
    {
        int[] wanted = (kernel.Info.Kind, kernel.Operand) switch
        {
            (_, null or ElementFormat.F32) => [],
            (KernelKind.Gemm, ElementFormat.E4M3 or ElementFormat.E5M2) => [MachineCode.Qgmma],
            (KernelKind.Gemm, _) => [MachineCode.Hgmma],
            _ => [MachineCode.Hgmma, MachineCode.Hmma],
        };
        if (wanted.Length > 0 && !MachineCode.Opcodes(compiled.Cubin).Overlaps(wanted))
        {
            yield return $"no tensor-core instruction for {kernel.Operand} operands";
        }
    }
}
