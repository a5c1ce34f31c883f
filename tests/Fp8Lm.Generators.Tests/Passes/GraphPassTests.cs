using System;
using System.Linq;
using Fp8Lm.Generators.Emit;
using Fp8Lm.Generators.Tests.Harness;
using Xunit;

namespace Fp8Lm.Generators.Tests.Passes;

/// <summary>Passes up to precision: what each one promises, on a model of a few lines and on whole architectures.</summary>
public sealed class GraphPassTests
{
    private static readonly string[] Composites = ["LayerNorm", "RmsNorm", "Softmax", "CrossEntropy", "Rotary"];
    private static readonly string[] Sinks = ["AccumulateGradient", "AccumulateColumnSum", "EmbedGradient", "PositionGradient", "LossRow", "Amax"];
    private static readonly string[] Elementwise = ["Neg", "Abs", "Exp", "Log", "Sqrt", "Rsqrt", "Tanh", "Sigmoid", "Erf", "Pow", "Add", "Sub", "Mul", "Div", "Min", "Max", "Select"];

    private static CompiledProgram Tiny(string body, string members = "", string more = "") =>
        CompilerTest.Compile(FrontendTest.Model(body, members, more), CompilerTest.Recipe("Fp32"));

    [Fact]
    public void ConstructionPutsTheLastLinearAndTheLossIntoTheHead()
    {
        PrintedIr ir = Tiny("return Silu(x);").After("GraphConstruction");

        Assert.Equal(["Parameter", "Tokens", "Gather", "Sigmoid", "Mul"], ir.Ops("forward stem"));
        Assert.Equal(["Parameter", "Gemm", "Labels", "CrossEntropy"], ir.Ops("head head"));
    }

    [Fact]
    public void ConstructionMakesOneBlockOfALoopWhateverItsCount()
    {
        PrintedIr ir = CompilerTest.Compile(ModelSources.Gpt, CompilerTest.Recipe("Fp32")).After("GraphConstruction");

        Assert.Contains("forward blocks for layer in 0..Layers-1\n", ir.Text, StringComparison.Ordinal);
        Assert.Single(ir.Carries);
        Assert.Single(ir.Of("Attention"));
    }

    [Fact]
    public void AutodiffAddsTwoProductsToEveryProductAndSumsSharedWeights()
    {
        PrintedIr ir = Tiny("return Silu(Linear(x, w));", "readonly Weight w = new(Width, Width);").After("ReverseModeAutodiff");

        foreach (string role in new[] { "fprop", "dgrad", "wgrad" })
        {
            Assert.Equal(2, ir.Of("Gemm").Count(g => g.Data.Contains(role, StringComparison.Ordinal)));
        }

        // The table is read by the embedding and, tied, by the head; both add to its gradient.
        PrintedNode table = ir.Of("Parameter").First(p => p.Label == "table");
        Assert.Single(ir.Of("EmbedGradient"), g => g.Data == table.Data);
        Assert.Single(ir.Of("AccumulateGradient"), g => g.Data == table.Data);
    }

    [Fact]
    public void AutodiffWalksLayersBackwards()
    {
        PrintedIr ir = CompilerTest.Compile(ModelSources.Gpt, CompilerTest.Recipe("Fp32")).After("ReverseModeAutodiff");

        Assert.Contains("backward blocks for layer in Layers-1..0\n", ir.Text, StringComparison.Ordinal);
        Assert.Equal(2, ir.Carries.Count);
        Assert.Equal("backward blocks", ir.Of("AttentionGradQuery").Single().Block);
    }

    [Fact]
    public void AutodiffConcatenatesGradientsOfSlicesThatTileAValue()
    {
        PrintedIr ir = Tiny("var (a, b) = Split2(x); return Concat(Silu(a), Tanh(b));").After("ReverseModeAutodiff");

        Assert.Equal(2, ir.Of("Concat").Count());
        Assert.DoesNotContain(ir.Of("Constant"), c => c.Types.Contains("tokens", StringComparison.Ordinal));
    }

    [Theory]
    [MemberData(nameof(CompilerTest.ModelsAndRecipes), MemberType = typeof(CompilerTest))]
    public void ExpansionLeavesNoComposite(string model, string recipe)
    {
        CompiledProgram program = CompilerTest.Compile(CompilerTest.Models[model], CompilerTest.Recipe(recipe));

        Assert.Contains(program.After("ReverseModeAutodiff").Nodes, n => Composites.Contains(n.Op));
        Assert.DoesNotContain(program.After("CompositeExpansion").Nodes, n => Composites.Contains(n.Op));
    }

    [Fact]
    public void ExpansionComputesRotaryTablesOncePerStep()
    {
        PrintedIr ir = CompilerTest.Compile(ModelSources.Llama, CompilerTest.Recipe("Bf16")).After("CompositeExpansion");

        Assert.All(ir.Of("Sin").Concat(ir.Of("Cos")), n => Assert.Equal("setup tables", n.Block));
        // Queries and keys turn alike: with equal head sizes they share the table.
        Assert.InRange(ir.Of("Sin").Count(), 1, 2);
    }

    [Fact]
    public void CanonicalizationFlattensElementwiseOpsOnHeads()
    {
        CompiledProgram program = Tiny("return MergeHeads(Silu(SplitHeads(x, Heads)));");

        Assert.Contains(program.After("CompositeExpansion").Of("Sigmoid"), s => s.Types == "[tokens, Heads, Width / Heads]");
        PrintedIr after = program.After("DeadCodeElimination");
        Assert.All(after.Nodes.Where(n => Elementwise.Contains(n.Op)), n => Assert.DoesNotContain("Heads", n.Types, StringComparison.Ordinal));
        Assert.Empty(after.Of("Reshape"));
    }

    [Theory]
    [MemberData(nameof(CompilerTest.ModelsAndRecipes), MemberType = typeof(CompilerTest))]
    public void EliminationLeavesOnlyWhatReachesASink(string model, string recipe)
    {
        CompiledProgram program = CompilerTest.Compile(CompilerTest.Models[model], CompilerTest.Recipe(recipe));
        PrintedIr ir = program.After("DeadCodeElimination");

        int[] carried = [.. ir.Carries.SelectMany(c => new[] { c.Initial, c.Result, c.Parameter })];
        Assert.All(ir.Nodes, n => Assert.True(Sinks.Contains(n.Op) || carried.Contains(n.Id) || ir.UsersOf(n.Id).Any() || IsLogits(n), $"%{n.Id} = {n.Op} is dead\n{ir.Text}"));
        Assert.True(ir.Nodes.Count <= program.After("Canonicalization").Nodes.Count);

        bool IsLogits(PrintedNode node) => node.Block == "head head" && node.Types == $"[tokens, {program.Graph.Logits.Type.Columns}]";
    }

    [Fact]
    public void EliminationDropsTheGradientOfWhatIsNotTrained()
    {
        CompiledProgram program = Tiny("return x;");

        // The head's dgrad feeds the embedding's gradient; nothing else is left of backward.
        Assert.Equal(["EmbedGradient"], program.After("DeadCodeElimination").Ops("backward stem"));
    }
}
