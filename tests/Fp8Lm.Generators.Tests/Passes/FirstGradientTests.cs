using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Generators.Emit;
using Fp8Lm.Generators.Ir;
using Fp8Lm.Generators.Kernels;
using Fp8Lm.Generators.Tests.Harness;
using Xunit;

namespace Fp8Lm.Generators.Tests.Passes;

/// <summary>Which weight gradients the first micro-batch of a step assigns.</summary>
public sealed class FirstGradientTests
{
    [Theory]
    [InlineData("Gpt", "Fp32")]
    [InlineData("Gpt", "TransformerEngine")]
    [InlineData("Gpt", "Fp8LmO2")]
    [InlineData("Llama", "TransformerEngine")]
    public void EveryMatrixOfALinearIsAssigned(string model, string recipe)
    {
        CompiledProgram program = CompilerTest.Compile(CompilerTest.Models[model], CompilerTest.Recipe(recipe));
        IEnumerable<int> products = program.Kernels.Where(k => k.Gemm is { Role: GemmRole.Wgrad }).Select(k => k.Gemm!.Weight).Distinct();

        Assert.Equal(products.Order(), program.Context.FirstGradients.Keys.Order());
        Assert.All(program.Kernels.Where(k => k.Gemm is { Role: GemmRole.Wgrad }), k => Assert.Contains(k.Params, p => p.Name == "adds"));
    }

    /// <summary>A weight that all layers read gets a product from each; only a layer's own is assigned. The tied head comes before the embedding, and its first chunk assigns.</summary>
    [Fact]
    public void WhatSeveralProductsAddToIsClearedOrAssignedByTheFirst()
    {
        CompiledProgram program = CompilerTest.Compile(
            """
            using Fp8Lm;
            using static Fp8Lm.Ops;

            [Fp8Model]
            public partial class Shared
            {
                static readonly Dim Vocab = new(), Width = new(), Layers = new();
                [ModelSize] static readonly Size Tiny = new() { [Vocab] = 64, [Width] = 32, [Layers] = 2 };
                readonly Weight tokens = new(Vocab, Width);
                readonly Weight all = new(Width, Width);
                readonly Repeat<Layer> layers = new(Layers, () => new Layer(Width));

                Tensor Forward(Tokens ids)
                {
                    Tensor x = Embed(tokens, ids);
                    foreach (Layer layer in layers) x = layer.Forward(Linear(x, all));
                    return Linear(x, tokens);
                }
            }

            [Fp8Module]
            public partial class Layer(Dim width)
            {
                readonly Weight own = new(width, width), twice = new(width, width);

                public Tensor Forward(Tensor x) => x + Linear(Linear(Linear(x, own), twice), twice);
            }
            """,
            CompilerTest.Recipe("Fp32"));
        Dictionary<string, int> byPath = program.Graph.Spec.Parameters.Select((p, i) => (p.Path, i)).ToDictionary(p => p.Path, p => p.i);
        Dictionary<string, KernelProgram[]> adding = program.Kernels.Where(k => k.Params.Any(p => p.Name == "adds")).GroupBy(k => k.Gemm!.Weight)
            .ToDictionary(g => program.Graph.Spec.Parameters[g.Key].Path, g => g.ToArray());

        Assert.Equal(["layers.*.own", "layers.*.twice", "tokens"], adding.Keys.Order());
        Assert.All(adding.Values, kernels => Assert.Single(kernels));
        Assert.False(program.Context.FirstGradients.ContainsKey(byPath["all"]));
        Assert.Equal("s.GradientsHold || chunk > 0 ? 1 : 0", adding["tokens"][0].Params.Single(p => p.Name == "adds").Argument);
        Assert.Equal("s.GradientsHold ? 1 : 0", adding["layers.*.own"][0].Params.Single(p => p.Name == "adds").Argument);
    }

    /// <summary>Scales of FP8 gradients are updated where a gradient has one: with products in 16 bits too, and not in a model without such weights, whose plan has no room for them.</summary>
    [Theory]
    [InlineData("Fp8 = false", "Linear(x, own)", true)]
    [InlineData("Fp8 = true", "Linear(x, own)", true)]
    [InlineData("Fp8 = true", "Linear(Linear(x, own), own)", false)]
    public void ScalesOfGradientsAreThoseThatExist(string option, string linears, bool scales)
    {
        CompiledProgram program = Layers(option, linears, "Fp8LmO2");
        string text = Fp8Lm.Generators.Emit.CSharp.ProgramEmitter.Emit(program);
        Assert.Equal(scales, text.Contains("K.gradient_scales", System.StringComparison.Ordinal));
        Assert.Equal(scales, text.Contains("DelayedGradients = true", System.StringComparison.Ordinal));
        Assert.DoesNotContain("K.gradient_amax", text, System.StringComparison.Ordinal);
    }

    /// <summary>
    /// Where no weight is stored in the formats of masters and gradients, the plan has no scales of states unless a moment has one, and the optimizer must not write any:
    /// O1 is then the optimizer in F32, O2 still has its FP8 moments.
    /// </summary>
    [Theory]
    [InlineData("Fp8LmO1", "Linear(x, own)", "K.adamw_amax")]
    [InlineData("Fp8LmO1", "Linear(Linear(x, own), own)", "K.adamw, s.MasterArena, s.GradientArena")]
    [InlineData("Fp8LmO2", "Linear(Linear(x, own), own)", "K.adamw_amax")]
    [InlineData("TransformerEngine", "Linear(Linear(x, own), own)", "K.adamw, s.MasterArena, s.GradientArena")]
    public void TheOptimizerHasWhatIsStored(string recipe, string linears, string launch)
    {
        string text = Fp8Lm.Generators.Emit.CSharp.ProgramEmitter.Emit(Layers("Fp8 = true", linears, recipe));
        Assert.Contains(launch, text, System.StringComparison.Ordinal);
        Assert.Equal(launch == "K.adamw_amax", text.Contains("WorkspacePart.StateAmax", System.StringComparison.Ordinal));
        Assert.Equal(launch == "K.adamw_amax", text.Contains("ParameterFormats", System.StringComparison.Ordinal));
        Assert.Equal(launch == "K.adamw_amax", text.Contains("K.state_scales", System.StringComparison.Ordinal));
    }

    private static CompiledProgram Layers(string option, string linears, string recipe) => CompilerTest.Compile(
        $$"""
        using Fp8Lm;
        using static Fp8Lm.Ops;

        [Fp8Model]
        public partial class Some
        {
            static readonly Dim Vocab = new(), Width = new(), Layers = new();
            [ModelSize] static readonly Size Tiny = new() { [Vocab] = 64, [Width] = 32, [Layers] = 2 };
            readonly Weight tokens = new(Vocab, Width);
            readonly Repeat<Layer> layers = new(Layers, () => new Layer(Width));

            Tensor Forward(Tokens ids)
            {
                Tensor x = Embed(tokens, ids);
                foreach (Layer layer in layers) x = layer.Forward(x);
                return Linear(x, tokens);
            }
        }

        [Fp8Module]
        public partial class Layer(Dim width)
        {
            readonly Weight own = new(width, width) { {{option}} };

            public Tensor Forward(Tensor x) => x + {{linears}};
        }
        """,
        CompilerTest.Recipe(recipe));
}
