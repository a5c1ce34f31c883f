using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Generators.Ir;
using Fp8Lm.Generators.Kernels;
using Fp8Lm.Generators.Model;

namespace Fp8Lm.Generators.Emit.CSharp;

/// <summary>The linears of repeated modules with what the cost model wants to know of their products; only in recipes with FP8, where there is a choice.</summary>
internal static class LinearTable
{
    public static void Write(SourceWriter w, CompiledProgram compiled)
    {
        RecipeSpec recipe = compiled.Recipe;
        List<IGrouping<int, KernelProgram>> linears =
            [.. compiled.Kernels.Where(k => recipe.UsesFp8 && k is { Gemm.Weight: >= 0, Group.Block: { Loop: not null, Phase: not Phase.Head } }).GroupBy(k => k.Gemm!.Weight).OrderBy(g => g.Key)];
        if (linears.Count == 0)
        {
            return;
        }

        w.Line("public override IReadOnlyList<LinearInfo> Linears { get; } =").Line("[");
        foreach (IGrouping<int, KernelProgram> linear in linears)
        {
            ParameterSpec weight = compiled.Graph.Spec.Parameters[linear.Key];
            string layers = ProgramText.Lambda(linear.First().Group.Block.Loop!.Count);
            w.Line($"    new({ProgramText.Quote(weight.Path)}, {(recipe.InFp8(weight) ? "true" : "false")}, {layers},").Line("    [");
            foreach (KernelProgram kernel in linear)
            {
                GemmProgram gemm = kernel.Gemm!;
                bool promote = gemm.Role == GemmRole.Fprop ? recipe.PromoteForward : recipe.PromoteBackward;
                w.Line($"        new(K.{kernel.Name}, GemmRole.{gemm.Role}, {(promote ? "true" : "false")}, {ProgramText.N(gemm.ScaleA)}, {ProgramText.N(gemm.ScaleB)}, {Epilogue(kernel)}),");
            }

            w.Line("    ]),");
        }

        w.Line("];").Line();
    }

    private static string Epilogue(KernelProgram kernel)
    {
        Stage stage = kernel.Bodies[0].Final;
        List<StoreOutput> stores = [.. stage.Outputs.OfType<StoreOutput>()];
        List<QuantizeOutput> casts = [.. stage.Outputs.OfType<QuantizeOutput>()];
        List<StoreOutput> added = [.. stores.Where(s => s.Accumulate)];
        int loads = stage.Columns.OfType<LoadStatement>().Where(l => l.Access is { Base: not AccessBase.None, Column: true }).Sum(l => Bytes(l.Param)) + added.Sum(s => Bytes(s.Param));
        (string Name, int Value)[] facts =
        [
            ("LoadBytes", loads), ("StoreBytes", stores.Sum(s => Bytes(s.Param))), ("Casts", casts.Count(c => c.Row is not null)),
            ("TransposedCasts", casts.Count(c => c.Transposed is not null)), ("CastOnly", casts.Select(c => c.Operand).Distinct().Count(o => stores.All(s => s.Operand != o))),
            ("ColumnSums", stage.Outputs.OfType<SumOutput>().Count()), ("Operations", stage.Columns.OfType<OpStatement>().Count()),
        ];
        return $"new() {{ {string.Join(", ", facts.Where(f => f.Value > 0).Select(f => f.Name + " = " + ProgramText.N(f.Value)))} }}";
    }

    private static int Bytes(KernelParam param) => param.Type switch
    {
        ElementType.F32 => 4,
        ElementType.BF16 or ElementType.F16 => 2,
        _ => 1,
    };
}
