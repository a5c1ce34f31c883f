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

    /// <summary>
    /// Operations and bytes an element in epilogues as they were when the profile was taken (26ee79d), where the compiler emits others today: the GELU's input was saved in BF16, and its
    /// slope computed in backward.
    /// </summary>
    private static readonly Dictionary<string, (int Operations, int Load, int Store)> EpiloguesThen = new()
    {
        ["gpt_forward_blocks_up_fprop"] = (7, 0, 2),
        ["gpt_backward_blocks_down_dgrad"] = (18, 2, 0),
    };

    /// <summary>When the profile was taken, weight gradients were F32.</summary>
    private const int GradientBytesThen = sizeof(float);

    /// <summary>The products among them, with the epilogues that were measured.</summary>
    public static IEnumerable<(Kernel Measured, LinearProduct Product, GemmGeometry Geometry)> Products =>
        from kernel in All
        from product in Program.Linears.SelectMany(l => l.Products)
        let info = Program.Kernels[product.Kernel]
        where info.Name == kernel.Name
        let then = EpiloguesThen.TryGetValue(info.Name, out (int Operations, int Load, int Store) e)
            ? product with { Epilogue = product.Epilogue with { Operations = e.Operations, LoadBytes = e.Load, StoreBytes = e.Store } }
            : product.Role == GemmRole.Wgrad ? product with { Epilogue = product.Epilogue with { LoadBytes = GradientBytesThen, StoreBytes = GradientBytesThen } }
            : product
        select (kernel, then, (GemmGeometry)info.Geometry);

    private static List<Kernel> Read()
    {
        using StreamReader reader = new(typeof(RecordedKernels).Assembly.GetManifestResourceStream("gemm-cost.jsonl")!);
        List<JsonElement> lines = [.. reader.ReadToEnd().Split('\n', System.StringSplitOptions.RemoveEmptyEntries).Skip(1).Select(l => JsonDocument.Parse(l).RootElement)];
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

    private static string Case(JsonElement line) => line.GetProperty("case").GetString()!;

    private static DimBinding Dims(JsonElement line)
    {
        long Number(string name) => line.GetProperty(name).GetInt64();
        const long Vocabulary = 50304; // no product of a layer depends on it
        return new DimBinding(Number("micro_batch"), Number("seq"), Vocabulary, Number("seq"), Number("d"), Number("heads"), Number("layers"));
    }
}
