using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Generators.Emit;
using Fp8Lm.Generators.Ir;
using Fp8Lm.Generators.Ir.Plan;
using Fp8Lm.Generators.Tests.Harness;
using Xunit;

namespace Fp8Lm.Generators.Tests.Passes;

/// <summary>What a kernel engineer would look for in the list of kernels.</summary>
public sealed class FusionTests
{
    private static CompiledProgram Compile(string model, string recipe) => CompilerTest.Compile(CompilerTest.Models[model], CompilerTest.Recipe(recipe));

    private static IEnumerable<FusedGroup> Rows(CompiledProgram program) => program.Fusion.Groups.Where(g => g.IsRow && g.Block.Phase != Phase.Setup);

    /// <summary>Casts and transposed copies ride in the kernel that makes the value; only weights, which nobody makes, have kernels of their own.</summary>
    [Theory]
    [InlineData("Gpt")]
    [InlineData("Llama")]
    public void NoKernelOfAStepOnlyCasts(string model) => Assert.Equal([], OnlyCasts(Compile(model, "TransformerEngine")));

    private static FusedGroup[] OnlyCasts(CompiledProgram program) => [.. Rows(program).Where(g => g.Members.All(m => m.Class == OpClass.Cast))];

    [Theory]
    [MemberData(nameof(CompilerTest.ModelsAndRecipes), MemberType = typeof(CompilerTest))]
    public void AGroupReadsOnlyWhatEarlierGroupsStore(string model, string recipe)
    {
        CompiledProgram program = Compile(model, recipe);
        Dictionary<FusedGroup, int> order = program.Graph.Blocks.SelectMany(b => program.Fusion.Of(b)).Select((g, i) => (g, i)).ToDictionary(p => p.g, p => p.i);

        foreach (FusedGroup group in program.Fusion.Groups)
        {
            // Constants are printed where they are used, also when a loop wants one in memory.
            foreach (Value input in group.Members.SelectMany(m => m.Inputs).Select(FusionPlan.Peel).Where(v => v.Op != OpCode.Constant))
            {
                if (program.Fusion.Owner.TryGetValue(input.Node, out FusedGroup? owner) && owner != group && owner.Stores.Contains(input))
                {
                    Assert.True(order[owner] < order[group], $"{group} reads {input} of {owner}");
                }
            }
        }
    }

    /// <summary>A layer of GPT-2 in FP8: six products with everything else in their epilogues, attention, and a kernel for each norm.</summary>
    [Fact]
    public void TheLayersOfAGptHaveTheKernelsOfAnEngineer()
    {
        CompiledProgram program = Compile("Gpt", "TransformerEngine");

        string[] forward = [.. program.Fusion.Groups.Where(g => g.Block.Phase == Phase.Forward && g.Block.Loop is not null).Select(g => g.Anchor?.Op.ToString() ?? "row")];
        Assert.Equal(["row", "Gemm", "Attention", "Gemm", "row", "Gemm", "Gemm"], forward);
        Assert.Equal(8, program.Fusion.Groups.Count(g => g.Block.Phase == Phase.Backward && g.Block.Loop is not null && g.Anchor?.Op == OpCode.Gemm));
        Assert.Equal(2, program.Fusion.Groups.Count(g => g.Block.Phase == Phase.Backward && g.Block.Loop is not null && g.Anchor?.Op is OpCode.AttentionGradKeyValue or OpCode.AttentionGradQuery));
    }

    /// <summary>Bias, activation, cast, transposed copy and amax of the MLP's first product happen where its sums are.</summary>
    [Fact]
    public void TheEpilogueOfTheUpProjectionDoesItAll()
    {
        CompiledProgram program = Compile("Gpt", "TransformerEngine");

        FusedGroup up = program.Fusion.Groups.Single(g => g.Block.Phase == Phase.Forward && g.Anchor is { Op: OpCode.Gemm, Label: "up" });
        Assert.Contains(up.Members, m => m.Op == OpCode.Sigmoid);
        Node cast = up.Members.Single(m => m.Op == OpCode.Quantize);
        Assert.Contains(cast.Out(0), up.Stores);
        Assert.Contains(cast.Out(1), up.Stores);
    }

    [Fact]
    public void EveryStoredValueHasAPlace()
    {
        foreach (string model in CompilerTest.Models.Keys)
        {
            CompiledProgram program = Compile(model, "TransformerEngine");
            Assert.All(program.Fusion.Groups.SelectMany(g => g.Stores), v => Assert.True(program.Buffers.Places.ContainsKey(v), v.ToString()));
            Assert.All(program.Buffers.Buffers, b => Assert.InRange(b.First, 0, b.Last));
            Assert.Distinct(program.Buffers.Buffers.Select(b => b.Name));
        }
    }

    /// <summary>Parts of q, k, v and of their gradient are ranges of one buffer: splitting and joining costs nothing.</summary>
    [Fact]
    public void SlicesAndConcatenationsShareMemory()
    {
        CompiledProgram program = Compile("Gpt", "TransformerEngine");

        Node[] slices = [.. program.Graph.Nodes.Where(n => n.Op == OpCode.Slice && n.Block.Phase == Phase.Forward)];
        Assert.Equal(3, slices.Length);
        Assert.Single(slices.Select(s => program.Buffers.Places[s.Out()].Buffer).Distinct());
        foreach (Node concat in program.Graph.Nodes.Where(n => n.Op == OpCode.Concat && program.Buffers.Places.ContainsKey(n.Out())))
        {
            Assert.All(concat.Inputs, part => Assert.Equal(program.Buffers.Places[concat.Out()].Buffer, program.Buffers.Places[FusionPlan.Peel(part)].Buffer));
        }
    }

    /// <summary>One place per layer where backward reads it, one in all where it does not.</summary>
    [Fact]
    public void OnlyWhatBackwardReadsIsKeptPerLayer()
    {
        CompiledProgram program = Compile("Gpt", "TransformerEngine");

        string[] kept = [.. program.Buffers.Buffers.Where(b => b.Scope == BufferScope.PerLayer).Select(b => b.Name)];
        Assert.Contains("blocks.gelu.transposed", kept);
        Assert.DoesNotContain("blocks.gelu.fp8", kept);
        Assert.Contains("blocks.gelu.fp8", program.Buffers.Buffers.Select(b => b.Name));
    }
}
