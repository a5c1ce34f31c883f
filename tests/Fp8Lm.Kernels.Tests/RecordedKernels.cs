using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Text.Json;
using Fp8Lm.Execution;
using TinyGpt;

namespace Fp8Lm.Kernels.Tests;

/// <summary>The kernels of the profile that the cost model is checked against, with the sizes they ran at.</summary>
internal static class RecordedKernels
{
    /// <summary>One kernel of one case, measured in both recipes or in FP8 only.</summary>
    /// <param name="Case">For example <c>gpt-7b-layer</c>.</param>
    /// <param name="Name">The kernel.</param>
    /// <param name="Dims">Sizes.</param>
    /// <param name="Fp8">Microseconds in TransformerEngine.</param>
    /// <param name="Bf16">Microseconds in Bf16; null: not measured.</param>
    public sealed record Kernel(string Case, string Name, DimBinding Dims, double Fp8, double? Bf16);

    /// <summary>All of them.</summary>
    public static IReadOnlyList<Kernel> All { get; } = Read();

    /// <summary>TransformerEngine of the sample GPT.</summary>
    public static ModelProgram Program { get; } = Gpt.Definition.Program("TransformerEngine");

    /// <summary>The products among them. Weight gradients were assigned, not added to.</summary>
    public static IEnumerable<(Kernel Measured, LinearProduct Product, GemmGeometry Geometry)> Products =>
        from kernel in All
        from product in Program.Linears.SelectMany(l => l.Products)
        let info = Program.Kernels[product.Kernel]
        where info.Name == kernel.Name
        let measured = product.Role == GemmRole.Wgrad ? product with { Epilogue = product.Epilogue with { LoadBytes = 0 } } : product
        select (kernel, measured, (GemmGeometry)info.Geometry);

    private static List<Kernel> Read()
    {
        using StreamReader reader = new(typeof(RecordedKernels).Assembly.GetManifestResourceStream("gemm-cost.jsonl")!);
        List<JsonElement> lines = [.. reader.ReadToEnd().Split('\n', System.StringSplitOptions.RemoveEmptyEntries).Select(l => JsonDocument.Parse(l).RootElement).Where(IsOfProfile)];
        Dictionary<string, DimBinding> dims = lines.Where(l => l.TryGetProperty("micro_batch", out _)).GroupBy(Case).ToDictionary(g => g.Key, g => Dims(g.First()));
        Dictionary<(string, string, string), double> times = lines.Where(l => l.TryGetProperty("kernel", out _))
            .ToDictionary(l => (Case(l), l.GetProperty("mode").GetString()!, l.GetProperty("kernel").GetString()!), l => l.GetProperty("us").GetDouble());
        return
        [
            .. from time in times
               where time.Key.Item2 == "TransformerEngine"
               let bf16 = times.TryGetValue((time.Key.Item1, "Bf16", time.Key.Item3), out double us) ? us : (double?)null
               select new Kernel(time.Key.Item1, time.Key.Item3, dims[time.Key.Item1], time.Value, bf16),
        ];
    }

    /// <summary>Our two recipes; of gpt-1.3b, which was measured twice, the whole training step.</summary>
    private static bool IsOfProfile(JsonElement line) =>
        line.TryGetProperty("mode", out JsonElement mode) && mode.GetString() is "TransformerEngine" or "Bf16" && (Case(line), line.GetProperty("part").GetString()) != ("gpt-1.3b", "stack");

    private static string Case(JsonElement line) => line.GetProperty("case").GetString()!;

    private static DimBinding Dims(JsonElement line)
    {
        long Number(string name) => line.GetProperty(name).GetInt64();
        const long Vocabulary = 50304; // no product of a layer depends on it
        return new DimBinding(Number("micro_batch"), Number("seq"), Vocabulary, Number("seq"), Number("d"), Number("heads"), Number("layers"));
    }
}
