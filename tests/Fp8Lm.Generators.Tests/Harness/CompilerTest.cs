using System;
using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Generators.Emit;
using Fp8Lm.Generators.Model;
using Xunit;

namespace Fp8Lm.Generators.Tests.Harness;

/// <summary>Source to compiled programs, with the verifier between all passes.</summary>
internal static class CompilerTest
{
    /// <summary>Every built-in recipe.</summary>
    public static readonly RecipeSpec[] Recipes = [RecipeSpec.Fp32, RecipeSpec.Bf16, RecipeSpec.Fp16, RecipeSpec.TransformerEngine, RecipeSpec.TransformerEngineCurrent,
        RecipeSpec.Rowwise, RecipeSpec.BlockScaled, RecipeSpec.Fp8LmO1, RecipeSpec.Fp8LmO2, RecipeSpec.Fp8LmO3, RecipeSpec.Coat];

    /// <summary>Whole architectures by name.</summary>
    public static readonly IReadOnlyDictionary<string, string> Models = new SortedDictionary<string, string>(StringComparer.Ordinal)
    {
        ["Gpt"] = ModelSources.Gpt,
        ["Llama"] = ModelSources.Llama,
        ["GptJ"] = MoreModelSources.GptJ,
        ["Gemma"] = MoreModelSources.Gemma,
        ["SpeedRun"] = MoreModelSources.SpeedRun,
    };

    /// <summary>Names of models times names of recipes.</summary>
    public static TheoryData<string, string> ModelsAndRecipes()
    {
        TheoryData<string, string> data = [];
        foreach (string model in Models.Keys)
        {
            foreach (RecipeSpec recipe in Recipes)
            {
                data.Add(model, recipe.Name);
            }
        }

        return data;
    }

    public static RecipeSpec Recipe(string name) => Recipes.Single(r => r.Name == name);

    public static CompiledProgram Compile(string source, RecipeSpec recipe) => Compile(FrontendTest.Spec(source), recipe);

    public static CompiledProgram Compile(ModelSpec spec, RecipeSpec recipe)
    {
        List<CompileError> errors = [];
        CompiledProgram? program = ModelCompiler.CompileRecipe(spec, recipe, errors, verify: true);
        Assert.Equal([], errors.Select(e => e.Code + ": " + string.Join(", ", e.Arguments.AsEnumerable())));
        return program!;
    }

    /// <summary>The graph as it was printed after a pass.</summary>
    public static PrintedIr After(this CompiledProgram program, string pass) => PrintedIr.Parse(program.Printed.Single(p => p.Pass == pass).Text);
}
