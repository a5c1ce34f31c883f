using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Generators.Kernels;
using Fp8Lm.Generators.Model;

namespace Fp8Lm.Generators.Emit.CSharp;

/// <summary>Model.g.cs: what the class is to the runtime, whatever the recipe: dimensions, sizes, parameters, programs.</summary>
internal static class ModelEmitter
{
    public static string Emit(ModelSpec spec, int vocabularyParameter)
    {
        SourceWriter w = new();
        ProgramText.Header(w, "Fp8Lm.Execution");
        int depth = ProgramText.OpenType(w, spec.Type, " : IFp8Model");
        w.Line("/// <summary>The compiled model: sizes, parameters, and one program per recipe.</summary>");
        w.Line("public static ModelDefinition Definition { get; } = new(").Line($"    {ProgramText.Quote(spec.Name)},");
        w.Line($"    [{string.Join(", ", spec.Dims.Select(ProgramText.Quote))}],");
        w.Line("    [");
        foreach (SizeSpec size in spec.Sizes)
        {
            w.Line($"        new({ProgramText.Quote(size.Name)}, [{string.Join(", ", size.Values.Select(v => v.ToString(System.Globalization.CultureInfo.InvariantCulture)))}]),");
        }

        // By number: names of indices would be members of the user's class and could meet the user's own.
        string[] symbols = ["MicroBatch", "Sequence", .. spec.Dims];
        string Symbol(string name) => $"d[{ProgramText.N(System.Array.IndexOf(symbols, name))} /* {name} */]";
        w.Line("    ],").Line("    [");
        foreach (ParameterSpec parameter in spec.Parameters)
        {
            string shape = $"static d => [{string.Join(", ", parameter.Shape.Select(s => s.Print(Symbol)))}]";
            bool repeated = parameter.Loop >= 0;
            LoopSpec? loop = spec.Forward.OfType<LoopSpec>().FirstOrDefault(l => l.Id == parameter.Loop);
            string layers = repeated && loop is not null ? ProgramText.Lambda(loop.Count, Symbol) : "static _ => 1";
            w.Line($"        new({ProgramText.Quote(parameter.Path)}, {shape}, {layers}, {(repeated ? "true" : "false")}, InitKind.{parameter.Init.Kind}, {CpuText.Number(parameter.Init.Value)}, {(parameter.Decay ? "true" : "false")}),");
        }

        w.Line("    ],").Line($"    {ProgramText.N(vocabularyParameter)},");
        w.Line($"    [{string.Join(", ", spec.Recipes.Select(r => $"static () => new {ProgramName(r)}()"))}],");
        w.Line($"    [{string.Join(", ", spec.Recipes.Select(r => ProgramText.Quote(r.Name)))}]);").Line();
        ProgramText.CloseType(w, depth);
        return w.ToString();
    }

    public static string ProgramName(RecipeSpec recipe) => LoweringContext.Clean(recipe.Name) + "Program";
}
