using System;
using System.Collections.Generic;
using System.Linq;
using Fp8Lm.Generators.Emit;
using Fp8Lm.Generators.Ir;
using Fp8Lm.Generators.Ir.Plan;
using Fp8Lm.Generators.Kernels;
using Fp8Lm.Generators.Tests.Harness;
using Xunit;

namespace Fp8Lm.Generators.Tests.Passes;

/// <summary>Normalised inputs of linears that the norm's gradient writes instead of forward.</summary>
public sealed class InputRecomputationTests
{
    /// <summary>What a layer keeps between forward and backward: neither copies of normalised inputs, nor anything that only an FP8 product of forward reads.</summary>
    [Theory]
    [InlineData("TransformerEngine", "attention bf16, lse f32, attentionNorm.rowsum f32, attentionNorm.rowsum~2 f32, mlpNorm.rowsum f32, mlpNorm.rowsum~2 f32, qkv bf16, reshape.transposed e4m3, add bf16, gelu.transposed e4m3, gelu_slope u8")]
    [InlineData("TransformerEngineCurrent", "attention bf16, lse f32, attentionNorm.rowsum f32, attentionNorm.rowsum~2 f32, mlpNorm.rowsum f32, mlpNorm.rowsum~2 f32, qkv bf16, reshape.transposed e4m3, add bf16, gelu.transposed e4m3, gelu_slope u8")]
    [InlineData("Fp8LmO2", "attention bf16, lse f32, attentionNorm.rowsum f32, attentionNorm.rowsum~2 f32, mlpNorm.rowsum f32, mlpNorm.rowsum~2 f32, qkv bf16, reshape.transposed e4m3, add bf16, gelu.transposed e4m3, gelu_slope u8")]
    [InlineData("Bf16", "attention bf16, lse f32, attentionNorm.rowsum f32, attentionNorm.rowsum~2 f32, mlpNorm.rowsum f32, mlpNorm.rowsum~2 f32, qkv~2 bf16, add bf16, gelu bf16, gelu_slope bf16")]
    public void WhatALayerOfGptKeeps(string recipe, string expected)
    {
        CompiledProgram program = Gpt(recipe);
        IEnumerable<string> kept = program.Buffers.Buffers.Where(b => b.Scope == BufferScope.PerLayer)
            .Select(b => (b.Name.EndsWith("lse", StringComparison.Ordinal) ? "lse" : b.Name["blocks.".Length..]) + " " + b.Format.ToString().ToLowerInvariant());

        Assert.Equal(expected.Split(", ").Order(StringComparer.Ordinal), kept.Order(StringComparer.Ordinal));
    }

    /// <summary>No kernel comes on top, and none but the norms' reads or writes anything else.</summary>
    [Theory]
    [InlineData("Gpt", "TransformerEngine")]
    [InlineData("Gpt", "Fp8LmO2")]
    [InlineData("Gpt", "Bf16")]
    [InlineData("Llama", "TransformerEngine")]
    [InlineData("Llama", "Fp16")]
    [InlineData("Gemma", "TransformerEngine")]
    public void TheNormsGradientWritesItsInput(string model, string recipe)
    {
        CompiledProgram program = CompilerTest.Compile(CompilerTest.Models[model], CompilerTest.Recipe(recipe));
        CompiledProgram without = CompilerTest.Compile(CompilerTest.Models[model], CompilerTest.Recipe(recipe) with { Recompute = Model.Recompute.Nothing });

        Assert.Equal(without.Kernels.Select(k => k.Name).Order(StringComparer.Ordinal), program.Kernels.Select(k => k.Name).Order(StringComparer.Ordinal));
        Assert.True(Kept(program) < Kept(without));
        foreach (Node product in program.Graph.Nodes.Where(n => n.Op == OpCode.Gemm && n.Data.Gemm == GemmRole.Wgrad && n.Inputs[1].Node.Block == n.Block && n.Block.Loop is not null))
        {
            FusedGroup norm = program.Fusion.Owner[product.Inputs[1].Node];
            Assert.Contains(norm.Members, m => m.Class == OpClass.RowReduction);
            Assert.True(norm.Index < program.Fusion.Owner[product].Index);
        }
    }

    /// <summary>The copy in backward has the scale of the one in forward, and measures nothing.</summary>
    [Fact]
    public void BothCopiesHaveOneScale()
    {
        CompiledProgram program = Gpt("TransformerEngineCurrent");
        Node product = program.Graph.Nodes.Single(n => n.Op == OpCode.Gemm && n.Data.Gemm == GemmRole.Wgrad && n.Label == "up");
        Node cast = product.Inputs[1].Node;
        Node forward = program.Graph.Nodes.Single(n => n.Op == OpCode.Quantize && n.Block.Phase == Phase.Forward && n.Data.Scale == cast.Data.Scale);

        Assert.Equal((forward.Data.ScaleIndex, true, false), (cast.Data.ScaleIndex, cast.Data.FixedScale, cast.Data.CurrentScale));
        Assert.True(forward.Data.CurrentScale);
        KernelProgram kernel = program.Kernels.Single(k => k.Group == program.Fusion.Owner[cast]);
        Assert.Null(kernel.Bodies[0].Final.Outputs.OfType<QuantizeOutput>().Single(q => q.Operand == Operand(kernel)).Amax);

        static string Operand(KernelProgram kernel) => kernel.Bodies[0].Final.Outputs.OfType<QuantizeOutput>().Single(q => q.Row is null).Operand;
    }

    /// <summary>Casts with scales per row or block read their input from memory; inputs that are no norm, or that backward reads for itself, are as they were.</summary>
    [Theory]
    [InlineData("Gpt", "Rowwise")]
    [InlineData("Gpt", "BlockScaled")]
    [InlineData("Gpt", "Fp32")]
    public void ElsewhereNothingChanges(string model, string recipe)
    {
        CompiledProgram program = CompilerTest.Compile(CompilerTest.Models[model], CompilerTest.Recipe(recipe));

        Assert.DoesNotContain(program.Graph.Nodes, n => n.Op == OpCode.Gemm && n.Data.Gemm == GemmRole.Wgrad && n.Block.Loop is not null && n.Inputs[1].Node.Block == n.Block);
    }

    private static CompiledProgram Gpt(string recipe) => CompilerTest.Compile(CompilerTest.Models["Gpt"], CompilerTest.Recipe(recipe));

    /// <summary>Bytes of one token and layer, of a width of 64.</summary>
    private static long Kept(CompiledProgram program) =>
        program.Buffers.Buffers.Where(b => b.Scope == BufferScope.PerLayer && b.Rows == BufferRows.Tokens).Sum(b => LoweringContext.Bytes(b.Format) * (b.Columns.IsOne ? 1L : 64L));
}
