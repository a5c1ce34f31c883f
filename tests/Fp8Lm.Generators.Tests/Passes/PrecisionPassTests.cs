using System;
using System.Linq;
using Fp8Lm.Generators.Emit;
using Fp8Lm.Generators.Ir;
using Fp8Lm.Generators.Kernels;
using Fp8Lm.Generators.Model;
using Fp8Lm.Generators.Tests.Harness;
using Xunit;

namespace Fp8Lm.Generators.Tests.Passes;

/// <summary>Where casts come to be, and where they end up.</summary>
public sealed class PrecisionPassTests
{
    private const string Loop = """
        [Fp8Model(Recipes = [Recipe.TransformerEngine])]
        public partial class M
        {
            static readonly Dim Vocab = new(), Width = new(), Layers = new();
            [ModelSize] static readonly Size Small = new() { [Vocab] = 256, [Width] = 64, [Layers] = 2 };
            readonly Weight table = new(Vocab, Width);
            readonly Repeat<Layer> layers = new(Layers, () => new Layer(Width));
            Tensor Forward(Tokens ids)
            {
                Tensor x = Embed(table, ids);
                foreach (Layer layer in layers) x = layer.Forward(x);
                return Linear(x, table);
            }
        }

        [Fp8Module]
        public partial class Layer(Dim width)
        {
            readonly Weight w = new(width, width);
            public Tensor Forward(Tensor x) => x + Linear(x, w);
        }
        """;

    private static CompiledProgram Compile(string source, string recipe) => CompilerTest.Compile(source, CompilerTest.Recipe(recipe));

    [Theory]
    [InlineData("Fp32", 0)]
    [InlineData("Bf16", 0)]
    [InlineData("TransformerEngine", 3)]
    [InlineData("TransformerEngineCurrent", 3)]
    [InlineData("Rowwise", 3)]
    [InlineData("BlockScaled", 3)]
    public void EveryOperandIsQuantisedOnce(string recipe, int casts)
    {
        PrintedIr ir = Compile(Loop, recipe).After("PrecisionAssignment");

        // Input, weight and output gradient of the one linear in a block; the head stays in the compute format.
        Assert.Equal(casts, ir.Of("Quantize").Count());
        Assert.Equal(casts, ir.Of("Quantize").Select(q => q.Inputs[0]).Distinct().Count());
        Assert.Equal(recipe == "TransformerEngineCurrent" ? casts : 0, ir.Of("Amax").Count());
        Assert.Equal(recipe == "Rowwise" ? casts : 0, ir.Of("GroupAmax").Count());
    }

    /// <summary>BF16 gradients need no scale: the product adds and stores, weights keep F32 masters and the scales of the recipe, and the optimizer is one pass.</summary>
    [Theory]
    [InlineData("Bf16", 0)]
    [InlineData("TransformerEngine", 3)]
    [InlineData("TransformerEngineCurrent", 3)]
    [InlineData("Rowwise", 0)]
    public void Bf16GradientsAreStoredByTheProduct(string recipe, int families)
    {
        CompiledProgram program = Compile(Loop, recipe);
        KernelProgram product = Assert.Single(program.Kernels, k => k.Gemm is { Role: GemmRole.Wgrad } && k.Group.Block.Loop is not null);
        StoreOutput store = Assert.IsType<StoreOutput>(Assert.Single(product.Bodies[0].Final.Outputs));
        Assert.Equal(ElementType.BF16, store.Param.Type);
        Assert.True(store is { Accumulate: true, When: not null });
        Assert.Equal(families, program.Graph.Scales.Count);
        Assert.Empty(program.Graph.WeightScales);
        string[] library = [.. LibraryKernels.Of(CompilerTest.Recipe(recipe)).Select(k => k.Name)];
        Assert.Single(library, "adamw");
        Assert.DoesNotContain("adamw_amax", library);
        Assert.DoesNotContain("state_scales", library);
    }

    /// <summary>Where any state has a scale, amax and store are two passes.</summary>
    [Fact]
    public void OneStateWithAScaleTakesTwoPasses()
    {
        RecipeSpec recipe = RecipeSpec.TransformerEngine with { SecondMoment = Generators.Model.Format.F16 };
        CompiledProgram program = CompilerTest.Compile(Loop, recipe);
        string[] library = [.. LibraryKernels.Of(recipe).Select(k => k.Name)];
        Assert.Equal(["adamw_amax", "adamw_store", "state_scales"], library.Where(k => k.StartsWith("adamw", StringComparison.Ordinal) || k == "state_scales"));
        Assert.Single(program.Graph.WeightScales);
    }

    /// <summary>Scales and exponents of moments in groups are found where moments are stored: alone they need no pass and no table of scales, nor give copies of weights a scale.</summary>
    [Theory]
    [InlineData("Coat", Generators.Model.Format.F32, "adamw")]
    [InlineData("Coat", Generators.Model.Format.F16, "adamw_amax,adamw_store,state_scales")]
    public void MomentsInGroupsTakeOnePass(string name, Generators.Model.Format master, string passes)
    {
        RecipeSpec recipe = CompilerTest.Recipe(name) with { Master = master };
        CompiledProgram program = CompilerTest.Compile(Loop, recipe);
        LibraryKernel[] library = [.. LibraryKernels.Of(recipe).Where(k => k.Name.StartsWith("adamw", StringComparison.Ordinal) || k.Name == "state_scales")];
        Assert.Equal(passes.Split(','), library.Select(k => k.Name));
        Assert.Equal(master == Generators.Model.Format.F32 ? 0 : 1, program.Graph.WeightScales.Count);
        Assert.All(library.Where(k => k.Name != "state_scales"), k =>
        {
            Assert.Contains("optim::Grouped<e4m3>, optim::Grouped<e4m3>>::", k.Type, StringComparison.Ordinal);
            Assert.Contains("GroupedState<E4M3State>, GroupedState<E4M3State>>", k.Cpu, StringComparison.Ordinal);
            Assert.Equal(["m_groups", "v_groups"], k.Params.Skip(7).Take(2).Select(p => p.Name));
            Assert.All(k.Params.Skip(7).Take(2), p => Assert.Equal(k.Name != "adamw_amax", p.Written));
        });
    }

    /// <summary>The pass that stores has a counting form where it stores anything in fewer than 32 bits, and no other of the optimizer's; the program lists what it counts.</summary>
    [Theory]
    [InlineData("Fp32", "")]
    [InlineData("TransformerEngine", "")]
    [InlineData("Fp8LmO1", "adamw_store: master F16")]
    [InlineData("Fp8LmO2", "adamw_store: master F16, first_moment E4M3, second_moment F16")]
    [InlineData("Coat", "adamw: first_moment E4M3, second_moment E4M3")]
    public void StoresOfNarrowStatesHaveACountingForm(string name, string expected)
    {
        CompiledProgram program = Compile(Loop, name);
        LibraryKernel[] counting = [.. LibraryKernels.Of(program.States).Where(k => k.Params.Any(p => p.Counts))];
        string states = string.Join(", ", program.Context.Casts.States.Select(s => $"{s.Role} {s.Format}").Distinct());
        Assert.Equal(expected, counting.Length == 0 ? states : $"{Assert.Single(counting).Name}: {states}");
        Assert.All(counting, k =>
        {
            Assert.Equal("casts", k.Params[^1].Name);
            Assert.StartsWith("CpuKernels.Counted", k.Cpu, StringComparison.Ordinal);
            Assert.Contains("StepState* state FP8LM_COUNTED(, CastStatistics* casts))", k.Cuda(), StringComparison.Ordinal);
            Assert.Contains("state FP8LM_COUNTED(, casts));", k.Cuda(), StringComparison.Ordinal);
        });

        // Masters of others than the layers' linears are F32; moments are those of all parameters.
        int parameters = program.Graph.Spec.Parameters.Count;
        Assert.All(program.Context.Casts.States.GroupBy(s => s.Role), role => Assert.Equal(
            role.Key == "master" ? program.Graph.LinearWeights.Order() : Enumerable.Range(0, parameters), role.Select(s => s.Parameter)));
    }

    /// <summary>Scales per row or block are outputs of the cast and operands of the product; the cast is a kernel of its own, and there are no slots.</summary>
    [Theory]
    [InlineData("Rowwise", "scales per row, powers of two", "scales per row, powers of two")]
    [InlineData("BlockScaled", "scales per block", "scales per square")]
    public void GroupedScalesGoFromTheCastToTheProduct(string recipe, string activation, string weight)
    {
        CompiledProgram program = Compile(Loop, recipe);
        PrintedIr ir = program.After("DeadCodeElimination2");

        Assert.Empty(program.Graph.Scales);
        foreach (PrintedNode gemm in ir.Of("Gemm").Where(g => g.Block.EndsWith(" layers", StringComparison.Ordinal)))
        {
            Assert.Equal(4, gemm.Inputs.Length);
            Assert.All(gemm.Inputs, i => Assert.Equal("Quantize", ir.Nodes[i].Op));
            Assert.Equal(gemm.Inputs[..2], gemm.Inputs[2..]);
        }

        Assert.Equal([weight, activation, activation], ir.Of("Quantize").Select(q => q.Data.Trim('{', '}')));
        Assert.Equal(3, program.Kernels.Count(k => k.Cast is { Format: not null }));
        Assert.DoesNotContain(program.Kernels, k => k.Cast is null && k.Group.Members.Any(m => m.Op == OpCode.Quantize));
    }

    [Theory]
    [InlineData("{ Fp8 = false }", "TransformerEngine", 0)]
    [InlineData("{ Fp8 = false }", "TransformerEngineCurrent", 0)]
    [InlineData("{ Fp8 = true }", "TransformerEngine", 3)]
    public void AWeightThatOptsOutKeepsItsLinearInTheComputeFormat(string weight, string recipe, int casts)
    {
        PrintedIr ir = Compile(Loop.Replace("w = new(width, width);", "w = new(width, width) " + weight + ";", StringComparison.Ordinal), recipe).After("PrecisionAssignment");

        Assert.Equal(casts, ir.Of("Quantize").Count());
        Assert.Equal(3, ir.Of("Gemm").Count(g => g.Block.EndsWith(" layers", StringComparison.Ordinal)));
    }

    [Fact]
    public void ARecipeForAllLinearsTakesNoNoticeOfIt()
    {
        PrintedIr ir = CompilerTest.Compile(
            Loop.Replace("w = new(width, width);", "w = new(width, width) { Fp8 = false };", StringComparison.Ordinal), CompilerTest.Recipe("TransformerEngine") with { AllLinears = true }).After("PrecisionAssignment");

        Assert.Equal(3, ir.Of("Quantize").Count());
    }

    [Theory]
    [InlineData("Bf16", "Cast")]
    [InlineData("TransformerEngine", "Quantize")]
    public void WeightsAreCastInSetup(string recipe, string cast)
    {
        PrintedIr ir = Compile(Loop, recipe).After("PrecisionAssignment");

        Assert.All(ir.Nodes.Where(n => n.Op == cast && ir.Nodes[n.Inputs[0]].Op == "Parameter"), n => Assert.StartsWith("setup ", n.Block, StringComparison.Ordinal));
        Assert.Contains(ir.Nodes, n => n.Op == cast && n.Block == "setup layers");
    }

    [Fact]
    public void Fp8ProductsReadBothOperandsKMajor()
    {
        PrintedIr ir = Compile(Loop, "TransformerEngine").After("PrecisionAssignment");

        PrintedNode[] products = [.. ir.Of("Gemm").Where(g => g.Block.EndsWith(" layers", StringComparison.Ordinal))];
        Assert.Equal(3, products.Length);
        Assert.All(products, g => Assert.Contains(", TN", g.Data, StringComparison.Ordinal));
        Assert.Equal(["dgrad", "wgrad"], products.Where(g => g.Data.Contains("promote", StringComparison.Ordinal)).Select(g => g.Data[1..6]));
    }

    [Fact]
    public void ACastOfTheLayersInputMovesToTheLayerBefore()
    {
        CompiledProgram program = Compile(Loop, "TransformerEngine");
        PrintedIr before = program.After("PrecisionAssignment"), after = program.After("CastPlacement");

        Assert.Contains(before.Of("Quantize"), q => before.Root(q.Inputs[0]).Op == "CarryIn");
        Assert.DoesNotContain(after.Of("Quantize"), q => after.Root(q.Inputs[0]).Op == "CarryIn");
        // One cast of the value before the first layer, one of each layer's result; both copies are carried.
        Assert.Single(after.Of("Quantize"), q => q.Block == "forward stem" && q.Data.Contains("@First", StringComparison.Ordinal));
        Assert.Single(after.Of("Quantize"), q => q.Block == "forward layers" && q.Data.Contains("@NextLayer", StringComparison.Ordinal));
        Assert.Equal(2, after.Carries.Count(c => c.Block == "forward layers" && after.Nodes[c.Initial].Op == "Quantize"));
    }

    [Theory]
    [InlineData("Gpt")]
    [InlineData("Llama")]
    [InlineData("GptJ")]
    [InlineData("Gemma")]
    [InlineData("SpeedRun")]
    public void NoCastReadsACarriedValue(string model)
    {
        PrintedIr ir = Compile(CompilerTest.Models[model], "TransformerEngine").After("CastPlacement");

        Assert.NotEmpty(ir.Of("Quantize"));
        Assert.DoesNotContain(ir.Of("Quantize"), q => ir.Root(q.Inputs[0]).Op == "CarryIn");
    }

    [Fact]
    public void ACastOfAConcatenationBecomesCastsOfItsParts()
    {
        CompiledProgram program = Compile(ModelSources.Gpt, "TransformerEngine");
        PrintedIr before = program.After("PrecisionAssignment"), after = program.After("CastPlacement");

        // The gradient of q, k and v together.
        Assert.Single(before.Of("Quantize"), q => before.Root(q.Inputs[0]).Op == "Concat");
        Assert.DoesNotContain(after.Of("Quantize"), q => after.Root(q.Inputs[0]).Op == "Concat");
        Assert.Equal(3, after.Of("Quantize").Count(q => after.Root(q.Inputs[0]).Op.StartsWith("AttentionGrad", StringComparison.Ordinal)));
    }

    [Fact]
    public void APartOfTwoWholesIsCopied()
    {
        CompiledProgram program = CompilerTest.Compile(FrontendTest.Model("return Linear(Concat(x, x), w);", "readonly Weight w = new(Width, 2 * Width);"), CompilerTest.Recipe("Fp32"));

        Assert.Empty(program.After("CastPlacement").Of("Cast"));
        PrintedIr after = program.After("ViewCopies");
        PrintedNode concat = after.Of("Concat").First(c => c.Block == "forward stem");
        Assert.Equal("Cast", after.Nodes[concat.Inputs[1]].Op);
        Assert.Equal(2, concat.Inputs.Distinct().Count());
    }

    [Fact]
    public void AValueThatOnlyChangesItsSlotIsCopied()
    {
        string source = Loop.Replace("Tensor x = Embed(table, ids);", "Tensor x = Embed(table, ids), y = Silu(x);", StringComparison.Ordinal)
            .Replace("x = layer.Forward(x);", "{ Tensor t = layer.Forward(x) * y; y = x; x = t; }", StringComparison.Ordinal)
            .Replace("Linear(x, table)", "Linear(x + y, table)", StringComparison.Ordinal);
        CompiledProgram program = Compile(source, "Fp32");
        PrintedIr before = program.After("ViewCopies"), after = program.After("CarryCopies");

        Assert.Contains(before.Carries, c => c.Block == "forward layers" && before.Root(c.Result).Op == "CarryIn");
        Assert.DoesNotContain(after.Carries, c => after.Root(c.Result).Op is "CarryIn" or "CarryOut" or "Slice");
        // No slot is filled by a value that also fills another.
        Assert.Distinct(after.Carries.Select(c => after.Root(c.Result).Id));
    }
}
